"""From units and rows as a log gives them to `UnitDays`: ordered, merged, without strays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from matinee_platform.analysis.side_by_side import side_by_side
from matinee_platform.analysis.unit_days.first_states import FirstStates
from matinee_platform.analysis.unit_days.fold_kernels import count_into_order
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt64Array,
)

ROWS: Mapping[str, type] = {
    "row_calendar_day": np.int16,
    "sessions": np.int64,
    "pages": np.int64,
    "impressions": np.int64,
    "clicks": np.int64,
    "engagement": np.float64,
    "fallbacks": np.int64,
}
"""Columns of `UnitDays` that a log gives by row, and the kinds that they are summed in."""

SUMMED = frozenset(ROWS) - {"row_calendar_day"}


@dataclass(slots=True, kw_only=True)
class Gathered:
    """Units and rows in the order of the log.

    Attributes:
        arms: names of the arms.
        unit: pseudonyms, distinct, `uint64 [n]`.
        arm: `int16 [n]`.
        several: whether a unit was seen in several arms, `bool [n]`.
        exposed_at: `int64 [n]`.
        exposed_on: `int32 [n]`.
        observed: `int32 [n]`.
        states: what was known of the units at their first decisions, in the order of `unit`.
        rows: pieces of `row_unit` (places in `unit`), `row_day`, and the columns of `ROWS`.
            They are taken out as they are used. Without `sessions`, every day has one.
        days: of the experiment.
        orphan_rewards: rewards without a decision.
        rewarded: `int32 [n]`, or None as in `UnitDays`.
    """

    arms: tuple[str, ...]
    unit: UInt64Array
    arm: AnyArray
    several: BoolArray
    exposed_at: Int64Array
    exposed_on: IndexArray
    observed: IndexArray
    states: FirstStates
    rows: dict[str, list[AnyArray]] = field(repr=False)
    days: int
    orphan_rewards: int
    rewarded: IndexArray | None = None


def unit_days(gathered: Gathered) -> UnitDays:
    """Put everything in the order of `UnitDays`."""
    by_unit = np.argsort(gathered.unit, kind="stable")
    kept = by_unit[~gathered.several[by_unit]]
    rank = np.full(gathered.unit.size, -1, dtype=np.int32)
    rank[kept] = np.arange(kept.size, dtype=np.int32)
    row_unit = rank[_joined(gathered.rows, "row_unit")]
    order = _order(row_unit, kept.size)
    row_unit = row_unit[order]
    row_day = _joined(gathered.rows, "row_day")[order].astype(np.int16, copy=False)
    same_unit = row_unit[1:] == row_unit[:-1]
    if (same_unit & (row_day[1:] < row_day[:-1])).any():
        again = np.lexsort((row_day, row_unit))
        row_unit, row_day, order = row_unit[again], row_day[again], order[again]
    begins = np.ones(row_unit.size, dtype=np.bool_)
    begins[1:] = ~((row_unit[1:] == row_unit[:-1]) & (row_day[1:] == row_day[:-1]))
    starts = None if begins.all() else np.flatnonzero(begins)
    given = [name for name in ROWS if name in gathered.rows]
    # The widest columns and the states of units take longest.
    parts: dict[str, Callable[[], Any]] = {
        name: partial(_column, gathered.rows, name, order, starts)
        for name in sorted(given, key=lambda name: ROWS[name] is not np.float64)
    }
    parts = {"states": partial(gathered.states.told, kept), **parts}
    made = dict(zip(parts, side_by_side(list(parts.values()), units=kept.size), strict=True))
    covariates, segments, labels = made.pop("states")
    columns: dict[str, AnyArray] = made
    if starts is not None:
        row_unit, row_day = row_unit[starts], row_day[starts]
    columns.setdefault("sessions", np.ones(row_unit.size, dtype=np.uint8))
    return UnitDays(
        arms=gathered.arms,
        unit=gathered.unit[kept],
        arm=gathered.arm[kept],
        exposed_at=gathered.exposed_at[kept],
        exposed_on=gathered.exposed_on[kept],
        observed=gathered.observed[kept],
        covariates=covariates,
        segments=segments,
        segment_labels=labels,
        row_unit=row_unit,
        row_day=row_day,
        days=gathered.days,
        several_arms=np.sort(gathered.unit[gathered.several]),
        orphan_rewards=gathered.orphan_rewards,
        rewarded=None if gathered.rewarded is None else gathered.rewarded[kept],
        **columns,
    )


def narrow(values: AnyArray) -> AnyArray:
    """A copy of numbers in the smallest kind that holds them: a log is long, a day's sums small."""
    if values.size and np.issubdtype(values.dtype, np.integer) and values.min() >= 0:
        return values.astype(np.min_scalar_type(values.max()))
    return values.copy()


def with_covariate(
    table: UnitDays, name: str, *, unit: UInt64Array, values: FloatArray
) -> UnitDays:
    """The same table with what is known of its units from elsewhere.

    Args:
        table: of units.
        name: of the covariate.
        unit: whose values they are, distinct, `uint64 [k]`; others get NaN.
        values: known before the exposure, `float64 [k]`.
    """
    order = np.argsort(unit)
    place = np.minimum(np.searchsorted(unit, table.unit, sorter=order), max(unit.size - 1, 0))
    found = np.full(len(table), np.nan)
    if unit.size:
        there = unit[order[place]] == table.unit
        found[there] = values[order[place[there]]]
    return replace(table, covariates={**table.covariates, name: found})


def _order(rank: IndexArray, units: int) -> IndexArray:
    """Places of the rows that count, by rank and then as they came."""
    counted = rank[rank >= 0] if rank.min(initial=0) < 0 else rank
    counts = np.bincount(counted, minlength=units)
    ends = np.zeros(units, dtype=np.int64)
    ends[1:] = np.cumsum(counts)[:-1]
    order = np.empty(int(counts.sum()), dtype=np.int32)
    count_into_order(rank, ends, order)
    return order


def _column(
    rows: dict[str, list[AnyArray]], name: str, order: IndexArray, starts: Int64Array | None
) -> AnyArray:
    """One column in order; rows of one unit and day become one."""
    values: AnyArray = _joined(rows, name)[order]
    if name not in SUMMED:
        values = values.astype(ROWS[name], copy=False)
        return values if starts is None else values[starts]
    return values if starts is None else narrow(np.add.reduceat(values, starts, dtype=ROWS[name]))


def _joined(rows: dict[str, list[AnyArray]], name: str) -> AnyArray:
    """The pieces of a column as one, of a kind that holds them all; they are let go."""
    pieces = rows.pop(name)
    kind = np.result_type(*pieces) if pieces else ROWS.get(name, np.int32)
    whole: AnyArray = np.empty(sum(piece.size for piece in pieces), dtype=kind)
    at = 0
    while pieces:
        piece = pieces.pop(0)
        whole[at : at + piece.size] = piece
        at += piece.size
    return whole
