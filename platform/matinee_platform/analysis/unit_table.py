"""Fold the log of one arm into one row per unit: the sums from which every analysis starts.

The log streams by row group. What stays in memory is the table itself and, while rewards are
joined to their decisions, 12 bytes for each of at most `partition_rows` decisions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.decision_log import read_parts
from matinee_platform.log_schema import matrix
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, Int64Array, UInt64Array
from matinee_policies.errors import DataError
from matinee_policies.records import PAD

PARTITION_ROWS = 2**22
"""Decisions held in memory at once while rewards are joined."""

_MERGED_AT_ONCE = 2**18


@dataclass(frozen=True, slots=True)
class UnitTable:
    """What the `n` exposed units of one arm did over the run.

    Attributes:
        unit: pseudonyms, ascending, `uint64 [n]`.
        active: whether the unit came on each day of the run, `bool [n, days]`; every unit came
            at least once, its first day is its exposure.
        pages: slates shown, `int64 [n]`.
        impressions: items shown, `int64 [n]`.
        clicks: items clicked, `int64 [n]`.
        engagement: sum of the watched fractions of clicked items, `float64 [n]`.
        orphan_rewards: rewards in the log whose decision is not: counted, joined to nobody.
    """

    unit: UInt64Array
    active: BoolArray
    pages: Int64Array
    impressions: Int64Array
    clicks: Int64Array
    engagement: FloatArray
    orphan_rewards: int = 0

    def __len__(self) -> int:
        return int(self.unit.size)

    @property
    def days(self) -> int:
        """Length of the run in days."""
        return int(self.active.shape[1])

    @property
    def exposure_day(self) -> Int64Array:
        """Day of the first decision of each unit, `int64 [n]`."""
        first: Int64Array = self.active.argmax(axis=1).astype(np.int64)
        return first

    @property
    def sessions(self) -> Int64Array:
        """Sessions of each unit, at most one a day, `int64 [n]`."""
        sessions: Int64Array = self.active.sum(axis=1, dtype=np.int64)
        return sessions


def read_unit_table(
    run: Path, arm: str, *, days: int, partition_rows: int = PARTITION_ROWS
) -> UnitTable:
    """Read one arm's log; an arm without decisions gives a table without units.

    Args:
        run: folder of the run.
        arm: name of the arm.
        days: length of the run; a logged day must lie below.
        partition_rows: how many decisions to hold at once while rewards are joined.

    Raises:
        DataError: if there is no log, or it breaks a rule of its format.
    """
    where = run / "decisions" / arm
    if not (run / "decisions").is_dir():
        raise DataError(run, rule="must hold the log of a run, a folder 'decisions'")
    units, decisions = _distinct_units(run, arm)
    table = UnitTable(
        unit=units,
        active=np.zeros((units.size, days), dtype=np.bool_),
        pages=np.zeros(units.size, dtype=np.int64),
        impressions=np.zeros(units.size, dtype=np.int64),
        clicks=np.zeros(units.size, dtype=np.int64),
        engagement=np.zeros(units.size),
    )
    for rows in read_parts(run, "decisions", arm, ["unit", "day", "slate"]):
        _add_decisions(table, rows, where)
    partitions = max(1, -(-decisions // partition_rows))
    orphans = sum(
        _add_rewards(table, run, arm, part=part, parts=partitions) for part in range(partitions)
    )
    return UnitTable(
        table.unit,
        table.active,
        table.pages,
        table.impressions,
        table.clicks,
        table.engagement,
        orphans,
    )


def _distinct_units(run: Path, arm: str) -> tuple[UInt64Array, int]:
    """Units of the log in ascending order, and the number of decisions."""
    units = [np.zeros(0, dtype=np.uint64)]
    decisions, fresh = 0, 0
    for rows in read_parts(run, "decisions", arm, ["unit"]):
        units.append(np.unique(_numbers(rows, "unit")))
        decisions += rows.num_rows
        fresh += units[-1].size
        # Sorting all again for every few rows would cost the square of their number.
        if fresh > max(_MERGED_AT_ONCE, units[0].size):
            units, fresh = [np.unique(np.concatenate(units))], 0
    return np.unique(np.concatenate(units)), decisions


def _add_decisions(table: UnitTable, rows: pa.Table, where: Path) -> None:
    index = np.searchsorted(table.unit, _numbers(rows, "unit"))
    day = _numbers(rows, "day")
    outside = (day < 0) | (day >= table.days)
    if outside.any():
        raise DataError(
            where, rule=f"day must be at least 0 and below {table.days}", value=int(day[outside][0])
        )
    shown = (matrix(rows.column("slate")) != PAD).sum(axis=1)
    table.active[index, day] = True
    np.add.at(table.pages, index, 1)
    np.add.at(table.impressions, index, shown)


def _add_rewards(table: UnitTable, run: Path, arm: str, *, part: int, parts: int) -> int:
    """Join the rewards of decisions whose id is `part` modulo `parts`; returns the orphans."""
    ids, units = _decision_units(table, run, arm, part=part, parts=parts)
    orphans = 0
    for rows in read_parts(run, "rewards", arm, ["decision_id", "component", "value"]):
        decision = _numbers(rows, "decision_id")
        here = decision % np.uint64(parts) == part
        place = np.minimum(np.searchsorted(ids, decision), max(ids.size - 1, 0))
        known = here & (ids[place] == decision) if ids.size else np.zeros_like(here)
        orphans += int((here & ~known).sum())
        component = rows.column("component").cast(pa.string()).to_numpy()
        clicked, watched = (known & (component == name) for name in ("click", "watch"))
        watch = _numbers(rows, "value")[watched].astype(np.float64)
        _check_watch(watch, run / "rewards" / arm)
        np.add.at(table.clicks, units[place[clicked]], 1)
        np.add.at(table.engagement, units[place[watched]], watch)
    return orphans


def _decision_units(
    table: UnitTable, run: Path, arm: str, *, part: int, parts: int
) -> tuple[UInt64Array, AnyArray]:
    """Ascending decision ids of one partition, and the row of the unit of each."""
    ids, units = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int32)]
    for decision, unit in _ids_and_units(run, arm):
        here = decision % np.uint64(parts) == part
        ids.append(decision[here])
        units.append(np.searchsorted(table.unit, unit[here]).astype(np.int32))
    all_ids, all_units = np.concatenate(ids), np.concatenate(units)
    order = np.argsort(all_ids, kind="stable")
    all_ids = all_ids[order]
    twice = all_ids[1:] == all_ids[:-1]
    if twice.any():
        raise DataError(
            run / "decisions" / arm, rule="decision_id must occur once", value=all_ids[1:][twice][0]
        )
    return all_ids, all_units[order]


def _ids_and_units(run: Path, arm: str) -> Iterator[tuple[UInt64Array, UInt64Array]]:
    for rows in read_parts(run, "decisions", arm, ["decision_id", "unit"]):
        yield _numbers(rows, "decision_id"), _numbers(rows, "unit")


def _check_watch(watch: FloatArray, where: Path) -> None:
    wrong = ~((watch >= 0) & (watch <= 1))
    if wrong.any():
        raise DataError(
            where, rule="watch must be a fraction within 0 and 1", value=float(watch[wrong][0])
        )


def _numbers(rows: pa.Table, name: str) -> AnyArray:
    values: AnyArray = rows.column(name).to_numpy()
    return values
