"""What one day's reward log says, by the decision that each event belongs to.

It keeps what a learner is told: clicks and watched fractions of the day's own pages, and returns to
pages of earlier days. Memory is that of one day's events, with the ids of the decisions that are
still within a window.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matinee_platform.decision_log import read_parts
from matinee_platform.log_rows import COMPONENTS, WHOLE_PAGE
from matinee_platform.log_schema import column_values
from matinee_policies.arrays import AnyArray, BoolArray, Float32Array, Int64Array, UInt64Array
from matinee_policies.errors import DataError

_COLUMNS = ["decision_id", "component", "slot", "value"]


@dataclass(frozen=True, slots=True)
class Events:
    """Events of one component: columns of equal length.

    Attributes:
        ids: decisions they belong to, `uint64 [e]`.
        slots: `int64 [e]`, `WHOLE_PAGE` for the page.
        values: `float32 [e]`.
    """

    ids: UInt64Array
    slots: Int64Array
    values: Float32Array

    def take(self, index: AnyArray) -> "Events":
        """Some of them, by index or mask."""
        return Events(self.ids[index], self.slots[index], self.values[index])


class DayPages:
    """The pages that one arm logged on one day, to join events to.

    Args:
        run: folder of the run.
        arm: name of the arm.
        day: which day.

    Attributes:
        ids: decision ids in the order of the log, `uint64 [n]`.

    Raises:
        DataError: if the log cannot be read.
    """

    def __init__(self, run: Path, arm: str, day: int) -> None:
        ids = [
            table["decision_id"].to_numpy()
            for table in read_parts(run, "decisions", arm, ["decision_id"], day=day)
        ]
        self.ids: UInt64Array = np.concatenate([np.empty(0, dtype=np.uint64), *ids])
        self._order = np.argsort(self.ids, kind="stable")
        self._sorted = self.ids[self._order]

    def rows(self, ids: UInt64Array) -> Int64Array:
        """Row of each decision among the day's pages, -1 if it is none of them, `int64 [e]`."""
        rows = np.full(ids.size, -1, dtype=np.int64)
        if self.ids.size:
            at = np.minimum(np.searchsorted(self._sorted, ids), self.ids.size - 1)
            found = self._sorted[at] == ids
            rows[found] = self._order[at[found]]
        return rows


def read_events(run: Path, arm: str, day: int) -> dict[str, Events]:
    """The events that were logged on one day, by component.

    Raises:
        DataError: if the log cannot be read.
    """
    tables = [column_values(table) for table in read_parts(run, "rewards", arm, _COLUMNS, day=day)]

    def column(name: str, dtype: type) -> AnyArray:
        return np.concatenate(
            [np.empty(0, dtype=dtype), *(table[name].astype(dtype) for table in tables)]
        )

    component = column("component", np.int64)
    ids, slots = column("decision_id", np.uint64), column("slot", np.int64)
    values = column("value", np.float32)
    return {
        name: Events(ids[component == code], slots[component == code], values[component == code])
        for code, name in enumerate(COMPONENTS)
    }


@dataclass(frozen=True, slots=True)
class PageEngagement:
    """Clicks and watched fractions of some pages, and the events that belong to none.

    Attributes:
        clicks: `bool [n, L]`.
        watch: `float32 [n, L]`, 0 where not watched.
        unmatched: events of other decisions.
    """

    clicks: BoolArray
    watch: Float32Array
    unmatched: int


def page_engagement(
    pages: DayPages, events: dict[str, Events], *, slots: int, log: Path
) -> PageEngagement:
    """Join clicks and watched fractions to the pages of their day.

    Args:
        pages: of the day.
        events: of the same day.
        slots: length of the slates.
        log: folder to name in an error.

    Raises:
        DataError: if an event names a slot that no slate has, or comes twice.
    """
    clicks = np.zeros((pages.ids.size, slots), dtype=np.bool_)
    watch = np.zeros((pages.ids.size, slots), dtype=np.float32)
    unmatched = 0
    for name in ("click", "watch"):
        found = events[name]
        rows = pages.rows(found.ids)
        known = rows >= 0
        unmatched += int((~known).sum())
        row, slot = rows[known], found.slots[known]
        if slot.size and not (slot.min() > WHOLE_PAGE and slot.max() < slots):
            bad = slot[(slot <= WHOLE_PAGE) | (slot >= slots)][0]
            raise DataError(
                log, rule=f"slots of {name}s must be within 0 and {slots - 1}", value=int(bad)
            )
        if np.unique(row * slots + slot).size < row.size:
            raise DataError(log, rule=f"a slot of a page must have one {name} at most")
        if name == "click":
            clicks[row, slot] = True
        else:
            watch[row, slot] = found.values[known]
    return PageEngagement(clicks, watch, unmatched)
