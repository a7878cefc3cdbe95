"""One row of sums for each unit of an experiment, folded from its decisions and rewards.

A unit's row is a function of its own decisions and rewards alone, so that one unit can be folded
anew, or forgotten, without the others. Its decisions must come in the order of their times; where
one is earlier than what was folded, `fold` says whose, and they have to be folded anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from matinee_platform.serving.unit_fold import DAY_MS, VISIT_GAP_MS
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, Int64Array, UInt64Array

_LAST_BIT = 63
WEEK_MS = 7 * DAY_MS
"""Weeks are counted from the start of the experiment."""

SUMS: Mapping[str, type] = {
    "sessions": np.int32,
    "pages": np.int32,
    "fallback_pages": np.int32,
    "impressions": np.int32,
    "exploratory": np.int32,
    "clicks": np.int32,
    "engagement": np.float64,
    "diversity": np.float64,
    "diversity_pages": np.int32,
    "novelty": np.float64,
    "novelty_impressions": np.int32,
    "drawn": np.int32,
    "weights": np.float64,
    "squared_weights": np.float64,
}
"""Columns that are sums over a unit's decisions or rewards."""

PAGE_SUMS = tuple(name for name in SUMS if name not in ("sessions", "clicks", "engagement"))
"""Of these, the columns that each page brings as it is, `pages` among them."""

_KINDS: Mapping[str, type] = {
    "unit": np.int64,
    "arm": np.int16,
    "bucket": np.int16,
    "several": np.bool_,
    "exposed": np.int64,
    "last": np.int64,
    "came": np.uint64,
    "recent": np.uint64,
    "recent_day": np.int32,
    "week": np.int32,
    "week_pages": np.int32,
    "week_engagement": np.float64,
    "before_pages": np.int32,
    "before_engagement": np.float64,
    **SUMS,
}


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """Decisions in the order of the log, `n` of them.

    Attributes:
        unit: signed pseudonyms, `int64 [n]`.
        arm: index of the arm, `int16 [n]`.
        bucket: of the assignment, `int16 [n]`.
        at: UTC milliseconds, `int64 [n]`.
        sums: by name of `PAGE_SUMS`, `[n]` each.
    """

    unit: Int64Array
    arm: AnyArray
    bucket: AnyArray
    at: Int64Array
    sums: Mapping[str, AnyArray]


class UnitSums:
    """The rows of an experiment.

    Args:
        since_ms: start of the experiment, UTC milliseconds: its day 0 begins there.
        columns: as `arrays` gave them; none for an experiment without units.
    """

    def __init__(self, since_ms: int, columns: Mapping[str, AnyArray] | None = None) -> None:
        self._since = since_ms
        self._columns: dict[str, AnyArray] = {
            name: np.zeros(0, dtype=kind) if columns is None else columns[name].astype(kind)
            for name, kind in _KINDS.items()
        }
        self._order: AnyArray = np.argsort(self._columns["unit"], kind="stable")

    def __len__(self) -> int:
        return int(self._columns["unit"].size)

    def __getitem__(self, name: str) -> AnyArray:
        """A column."""
        return self._columns[name]

    def arrays(self) -> dict[str, AnyArray]:
        """All columns."""
        return dict(self._columns)

    def fold(self, pages: Pages) -> Int64Array:
        """Fold in decisions.

        Returns:
            Units that have decisions which are earlier than what was folded of them: their rows
            are to be folded anew. Signed, ascending.
        """
        if not pages.unit.size:
            return np.zeros(0, dtype=np.int64)
        self._begin(pages)
        row = self._rows(pages.unit)
        order = np.lexsort((pages.at, row))
        row, at = row[order], pages.at[order]
        firsts = np.ones(row.size, dtype=np.bool_)
        firsts[1:] = row[1:] != row[:-1]
        before = np.empty_like(at)
        before[1:] = at[:-1]
        before[firsts] = self["last"][row[firsts]]
        early = np.unique(self["unit"][row[firsts & (at < before)]])
        # A new unit's `last` lies so far back that its first page begins a visit.
        np.add.at(self["sessions"], row, (at - before > VISIT_GAP_MS).astype(np.int32))
        exposed = self["exposed"][row]
        self._note_days(row, (at - exposed) // DAY_MS, self._day_of(at))
        self._note_weeks(row, at)
        np.maximum.at(self["last"], row, at)
        arm, bucket = pages.arm[order], pages.bucket[order]
        other = (arm != self["arm"][row]) | (bucket != self["bucket"][row])
        self["several"][row[other]] = True
        for name in PAGE_SUMS:
            np.add.at(self[name], row, pages.sums[name][order].astype(SUMS[name]))
        return early

    def fold_rewards(
        self, unit: Int64Array, at: Int64Array, *, clicks: AnyArray, engagement: FloatArray
    ) -> None:
        """Add rewards that count; those of units that are not there are left out.

        Args:
            unit: whose decision each names, signed, `int64 [n]`.
            at: when that was made, UTC milliseconds, `int64 [n]`.
            clicks: whether it is a click, `bool [n]`.
            engagement: watched fraction, `float64 [n]`.
        """
        there = self.has(unit)
        row = self._rows(unit[there])
        np.add.at(self["clicks"], row, clicks[there].astype(np.int32))
        np.add.at(self["engagement"], row, engagement[there])
        back = self["week"][row] - self._week_of(at[there])
        for weeks, name in enumerate(("week_engagement", "before_engagement")):
            np.add.at(self[name], row[back == weeks], engagement[there][back == weeks])

    def drop(self, units: Int64Array) -> None:
        """Let go of units, signed; those that are not there are no error."""
        kept = ~np.isin(self["unit"], units)
        if not kept.all():
            self._columns = {name: values[kept] for name, values in self._columns.items()}
            self._order = np.argsort(self["unit"], kind="stable")

    def has(self, units: Int64Array) -> BoolArray:
        """Which of some units are there."""
        if not len(self):
            return np.zeros(units.shape, dtype=np.bool_)
        # By the order that is kept: what it costs must not grow with the units that are there.
        place = np.searchsorted(self["unit"], units, sorter=self._order)
        found: BoolArray = self["unit"][self._order[np.minimum(place, len(self) - 1)]] == units
        return found

    def active(self, *, first: int, last: int) -> UInt64Array:
        """Days of the experiment from `first` to `last` on which each unit came, a bit each."""
        newest = self["recent_day"].astype(np.int64)
        skipped = np.maximum(newest - last, 0)
        width = newest - first + 1 - skipped
        recent: UInt64Array = self["recent"]
        bits = recent >> np.minimum(skipped, _LAST_BIT).astype(np.uint64)
        bits &= _lowest(np.clip(width, 0, _LAST_BIT))
        bits[skipped > _LAST_BIT] = 0
        return bits

    def _begin(self, pages: Pages) -> None:
        """Rows for units that come for the first time, exposed by their earliest page."""
        new = ~self.has(pages.unit)
        if not new.any():
            return
        # The earliest page of each; of equal ones the first of the log.
        order = np.lexsort((pages.at[new], pages.unit[new]))
        unit = pages.unit[new][order]
        firsts = np.ones(unit.size, dtype=np.bool_)
        firsts[1:] = unit[1:] != unit[:-1]
        at = pages.at[new][order][firsts]
        made: dict[str, AnyArray] = {
            name: np.zeros(at.size, dtype=kind) for name, kind in _KINDS.items()
        }
        made["unit"], made["exposed"] = unit[firsts], at
        made["last"] = at - VISIT_GAP_MS - 1
        made["arm"] = pages.arm[new][order][firsts]
        made["bucket"] = pages.bucket[new][order][firsts]
        made["recent_day"] = self._day_of(at).astype(np.int32)
        made["week"] = self._week_of(at)
        # They ascend, as the order does: each goes before the first that is greater.
        places = np.searchsorted(self["unit"], made["unit"], sorter=self._order)
        rows = np.arange(len(self), len(self) + at.size)
        self._order = np.insert(self._order, places, rows)
        for name, values in made.items():
            self._columns[name] = np.concatenate([self._columns[name], values])

    def _day_of(self, at: Int64Array) -> Int64Array:
        """Day of the experiment; the first one for what a clock that is behind told."""
        return np.maximum((at - self._since) // DAY_MS, 0)

    def _rows(self, unit: Int64Array) -> AnyArray:
        """Rows of units that are there."""
        return self._order[np.searchsorted(self["unit"], unit, sorter=self._order)]

    def _week_of(self, at: Int64Array) -> AnyArray:
        """As `_day_of`, of weeks."""
        return np.maximum((at - self._since) // WEEK_MS, 0).astype(np.int32)

    def _note_weeks(self, row: AnyArray, at: Int64Array) -> None:
        """Move units on to the week of their newest page, and count pages of that and the last."""
        week = self._week_of(at)
        # Units that have pages here alone: what it costs must not grow with all that are there.
        units, place = np.unique(row, return_inverse=True)
        newest = self["week"][units]
        np.maximum.at(newest, place, week)
        moved = newest - self["week"][units]
        for name in ("pages", "engagement"):
            this, before = self[f"week_{name}"], self[f"before_{name}"]
            before[units[moved == 1]] = this[units[moved == 1]]
            before[units[moved > 1]] = 0
            this[units[moved > 0]] = 0
        self["week"][units] = newest
        back = newest[place] - week
        np.add.at(self["week_pages"], row[back == 0], 1)
        np.add.at(self["before_pages"], row[back == 1], 1)

    def _note_days(self, row: AnyArray, since_exposure: AnyArray, calendar: AnyArray) -> None:
        own = np.clip(since_exposure, 0, _LAST_BIT).astype(np.uint64)
        np.bitwise_or.at(self["came"], row, np.uint64(1) << own)
        newest = self["recent_day"].copy()
        np.maximum.at(newest, row, calendar.astype(np.int32))
        moved = newest.astype(np.int64) - self["recent_day"]
        older = self["recent"] << np.minimum(moved, _LAST_BIT).astype(np.uint64)
        older[moved > _LAST_BIT] = 0
        self._columns["recent"] = older
        self._columns["recent_day"] = newest
        back = newest[row].astype(np.int64) - calendar
        seen = back <= _LAST_BIT
        bits = np.uint64(1) << back[seen].astype(np.uint64)
        np.bitwise_or.at(self["recent"], row[seen], bits)


def _lowest(bits: AnyArray) -> UInt64Array:
    """Numbers of so many lowest bits, each within 0 and 63."""
    found: UInt64Array = (np.uint64(1) << bits.astype(np.uint64)) - np.uint64(1)
    return found
