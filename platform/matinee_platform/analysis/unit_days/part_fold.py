"""Fold the parts of a log, one after another, into units and rows; see `fold_kernels`."""

from typing import Any, NamedTuple

import numpy as np

from matinee_platform.analysis.unit_days.bad_log import EXAMPLES, BadLog
from matinee_platform.analysis.unit_days.fold_kernels import (
    ARM,
    AT_ONCE,
    BACKWARDS,
    BUCKET,
    FACTS,
    FIRST_AT,
    FIRST_DAY,
    NOBODY,
    OTHER_BUCKET,
    OUTSIDE,
    SLOT,
    TWICE,
    UNIT,
    VALUE,
    DecisionColumns,
    IdTable,
    RewardColumns,
    RowArrays,
    Units,
    find_all,
    fold_decisions,
    fold_rewards,
    refill,
    some_rewards,
)
from matinee_platform.analysis.unit_days.gathered import narrow
from matinee_platform.log_rows import COMPONENTS
from matinee_policies.arrays import AnyArray, BoolArray, IndexArray, Int64Array, UInt64Array

_WORD_BITS = 64
_KINDS = 3
_FIRST_ROOM = 2**16


class Fresh(NamedTuple):
    """First decisions of units in a part: places of the units, and rows in the part, rising."""

    units: IndexArray
    rows: IndexArray


class UnitColumns(NamedTuple):
    """Units in the order in which the log first names them, by column."""

    unit: UInt64Array
    arm: AnyArray
    bucket: AnyArray
    first_day: IndexArray
    first_at: Int64Array
    several: BoolArray


class PartFold:
    """Units and rows so far.

    Args:
        arms: names of the arms.
        days: of the experiment.
        tolerance_ms: how far the time of a unit's decisions may go back.
        found: takes what is wrong.

    Attributes:
        strays: rewards whose decision is not in their own part.
    """

    def __init__(
        self, arms: tuple[str, ...], *, days: int, tolerance_ms: int, found: BadLog
    ) -> None:
        self.strays: list[RewardColumns] = []
        self._arms = arms
        self._days = days
        self._tolerance_ms = tolerance_ms
        self._found = found
        self._known = 0
        self._parts = 0
        self._units = _no_units()
        self._scratch = _Scratch(0, 1)
        self._rows: dict[str, list[AnyArray]] = {
            "row_unit": [],
            "row_calendar_day": [],
            "pages": [],
            "impressions": [],
            "fallbacks": [],
            "clicks": [],
            "engagement": [],
        }

    def part(
        self, arm: str, decisions: DecisionColumns, rewards: RewardColumns, *, slots: int
    ) -> Fresh:
        """Fold a part in.

        Args:
            arm: its arm.
            decisions: in log order.
            rewards: logged with them.
            slots: of a slate.
        """
        n, words = decisions.decision_id.size, -(-slots // _WORD_BITS)
        if not self._scratch.holds(n, words):
            self._scratch = _Scratch(n, words)
        ids, begun, fresh = self._scratch.of(decisions.decision_id)
        wrong, before = _nothing_wrong(), self._known
        done = np.array([0, before, 0, 0], dtype=np.int64)
        while done[0] < n:
            self._units = _with_room(self._units, int(done[1]))
            fold_decisions(
                decisions,
                self._units,
                begun,
                ids,
                fresh,
                wrong,
                done,
                self._arms.index(arm),
                self._parts,
                self._days,
                self._tolerance_ms,
            )
        _, self._known, n_rows, n_fresh = done.tolist()
        self._tell_decisions(decisions, wrong)
        self._fold_rewards(rewards, ids, begun, slots)
        self._parts += 1
        columns: tuple[AnyArray, ...] = begun
        for name, values in zip(self._rows, columns, strict=True):
            self._rows[name].append(narrow(values[:n_rows]))
        places = np.arange(before, before + n_fresh, dtype=np.int32)
        return Fresh(places, fresh[:n_fresh].copy())

    def units(self) -> UnitColumns:
        """Units in the order in which the log first names them."""
        facts = self._units.facts[: self._known]
        return UnitColumns(
            unit=facts[:, UNIT].copy().view(np.uint64),
            arm=facts[:, ARM].astype(np.int16),
            bucket=facts[:, BUCKET].astype(np.int16),
            first_day=facts[:, FIRST_DAY].astype(np.int32),
            first_at=facts[:, FIRST_AT].copy(),
            several=self._units.several[: self._known].copy(),
        )

    def forget_units(self) -> None:
        """Let go of what finds units."""
        self._units, self._scratch = _no_units(), _Scratch(0, 1)

    def places(self, units: UInt64Array) -> IndexArray:
        """Places of units by pseudonym, -1 for others, `int32 [k]`."""
        places = np.empty(units.size, dtype=np.int32)
        find_all(self._units, units, places)
        return places

    def add_rows(self, begun: RowArrays) -> None:
        """Add rows that other rows of the same unit and day are summed with."""
        columns: tuple[AnyArray, ...] = begun
        for name, values in zip(self._rows, columns, strict=True):
            self._rows[name].append(values)

    def take_rows(self) -> dict[str, list[AnyArray]]:
        """The rows so far, in pieces by column of `gathered`; they are here no more."""
        rows, self._rows = self._rows, {}
        return rows

    def tell_rewards(self, rewards: RewardColumns, wrong: Int64Array) -> None:
        """Take in what `fold_rewards` found wrong."""

        def named(row: int) -> str:
            return f"{COMPONENTS[rewards.component[row]]} of decision {rewards.decision_id[row]}"

        for kind, rule in (
            (VALUE, "value of a click and of a watch must be within 0 and 1"),
            (SLOT, "slot of a reward must be one of the slate's"),
            (TWICE, "a slot must be clicked, and watched, once a decision, rewards too many"),
        ):
            column = rewards.value if kind == VALUE else rewards.slot
            told = [
                f"{'' if kind == VALUE else 'slot '}{column[row]} for the {named(row)}"
                for row in _rows_of(wrong, kind)
            ]
            self._found.add(rule, int(wrong[kind, 0]), told)

    def tell_twice(self, rewards: RewardColumns) -> None:
        """Take in rewards that came before in another part."""
        wrong = _nothing_wrong()
        kept = min(rewards.decision_id.size, EXAMPLES)
        wrong[TWICE, 0] = rewards.decision_id.size
        wrong[TWICE, 1 : 1 + kept] = np.arange(kept)
        self.tell_rewards(rewards, wrong)

    def _fold_rewards(
        self, rewards: RewardColumns, ids: IdTable, begun: RowArrays, slots: int
    ) -> None:
        strange, wrong = np.zeros(rewards.decision_id.size, dtype=np.bool_), _nothing_wrong()
        places = np.empty(AT_ONCE, dtype=np.int32)
        if fold_rewards(rewards, ids, begun, strange, wrong, places, slots):
            self.strays.append(some_rewards(rewards, strange))
        self.tell_rewards(rewards, wrong)

    def _tell_decisions(self, decisions: DecisionColumns, wrong: Int64Array) -> None:
        def told(kind: int, word: str, column: AnyArray) -> list[str]:
            return [
                f"{word} {column[row]} of decision {decisions.decision_id[row]}"
                for row in _rows_of(wrong, kind)
            ]

        self._found.add(
            f"day must be at least 0 and below {self._days}",
            int(wrong[OUTSIDE, 0]),
            told(OUTSIDE, "day", decisions.day),
        )
        self._found.add(
            "the time of a unit's decisions must not go back by more than "
            f"{self._tolerance_ms / 1_000:g} s",
            int(wrong[BACKWARDS, 0]),
            told(BACKWARDS, "time", decisions.at),
        )
        self._found.add(
            "a unit must have one bucket (or rows of several experiments are mixed), decisions "
            "with another",
            int(wrong[OTHER_BUCKET, 0]),
            told(OTHER_BUCKET, "bucket", decisions.bucket),
        )


def _rows_of(wrong: Int64Array, kind: int) -> list[int]:
    """Rows that are kept as examples."""
    examples: list[int] = wrong[kind, 1 : 1 + min(wrong[kind, 0], EXAMPLES)].tolist()
    return examples


def _nothing_wrong() -> Int64Array:
    return np.zeros((_KINDS, 1 + EXAMPLES), dtype=np.int64)


def _table(entries: int) -> IndexArray:
    """An empty table for so many entries."""
    return np.full(1 << max(2 * entries - 1, 1).bit_length(), NOBODY, dtype=np.int32)


def _no_units() -> Units:
    return Units(_table(0), np.empty((0, FACTS), dtype=np.int64), np.empty(0, dtype=np.bool_))


def _with_room(units: Units, known: int) -> Units:
    """The same units with room for another one."""
    if known < units.several.size:
        return units
    room = max(_FIRST_ROOM, known + known // 2)
    facts = np.empty((room, FACTS), dtype=np.int64)
    several = np.empty(room, dtype=np.bool_)
    facts[:known], several[:known] = units.facts[:known], units.several[:known]
    enough = 2 * room <= units.table.size
    grown = Units(units.table if enough else _table(room), facts, several)
    if not enough:
        refill(grown, known)
    return grown


class _Scratch:
    """Arrays of a part, used again for the next one.

    Args:
        room: decisions of a part.
        words: of marks for each component.
    """

    def __init__(self, room: int, words: int) -> None:
        self._room, self._words = room, words
        self._table = _table(room)
        self._row, self._fresh = (np.empty(room, dtype=np.int32) for _ in range(2))
        self._marks = np.empty((room, 2 * words), dtype=np.uint64)
        whole = [np.empty(room, dtype=np.int32) for _ in range(6)]
        columns: list[Any] = [*whole, np.empty(room)]
        self._begun = RowArrays(*columns)

    def holds(self, rows: int, words: int) -> bool:
        """Whether there is room."""
        return rows <= self._room and words == self._words

    def of(self, ids: UInt64Array) -> tuple[IdTable, RowArrays, IndexArray]:
        """An empty table of ids, rows to begin, and places of first decisions."""
        self._table.fill(NOBODY)
        found = IdTable(self._table, ids, self._row[: ids.size], self._marks[: ids.size])
        return found, self._begun, self._fresh
