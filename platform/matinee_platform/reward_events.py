"""Reward events of one component, kept until the window of their decision closes.

An event names its decision and that decision's day. It is counted as one of

    joined      to a decision that waited for it, once its window has closed
    late        it came after the window: never joined
    duplicate   another event of the same decision and slot came first, and that one stands
    orphan      its window closed and there was no such decision, or nothing shown at its slot

and, besides, as early if it came before the day of its decision; it waits like any other. What is
held and counted adds up to what was observed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, UInt64Array


@dataclass(frozen=True, slots=True)
class Events:
    """Events of one component, `n` of them.

    Attributes:
        ids: decisions they belong to, `uint64 [n]`.
        slots: slot within the slate, -1 for the whole page, `int16 [n]`.
        values: `float32 [n]`.
    """

    ids: UInt64Array
    slots: AnyArray
    values: Float32Array

    def __len__(self) -> int:
        return int(self.ids.size)

    @classmethod
    def empty(cls) -> "Events":
        """No event."""
        return cls(
            np.empty(0, dtype=np.uint64),
            np.empty(0, dtype=np.int16),
            np.empty(0, dtype=np.float32),
        )

    def take(self, index: AnyArray) -> "Events":
        """Some of them, by index or mask."""
        return Events(self.ids[index], self.slots[index], self.values[index])


@dataclass(slots=True)
class EventCounts:
    """How many events of one component met which end; see the module docstring."""

    joined: int = 0
    late: int = 0
    duplicate: int = 0
    orphan: int = 0
    early: int = 0

    def __add__(self, other: "EventCounts") -> "EventCounts":
        sums = (getattr(self, one.name) + getattr(other, one.name) for one in fields(self))
        return EventCounts(*sums)


class EventBook:
    """Holds the events of one component by the day of their decision.

    Args:
        window_days: days after the decision's within which an event counts.

    Attributes:
        window_days: as given.
        counts: of the events so far.
    """

    def __init__(self, window_days: int) -> None:
        self.window_days = window_days
        self.counts = EventCounts()
        self._held: dict[int, list[Events]] = {}

    @property
    def held(self) -> int:
        """Events that wait."""
        return sum(len(events) for parts in self._held.values() for events in parts)

    def observe(self, day: int, events: Events, *, closed_day: int) -> None:
        """Take in events of the decisions of one day.

        Args:
            day: of the decisions.
            events: in the order in which they came.
            closed_day: last day that is over.
        """
        if day + self.window_days <= closed_day:
            self.counts.late += len(events)
            return
        if day > closed_day + 1:
            self.counts.early += len(events)
        self._held.setdefault(day, []).append(events)

    def take(self, day: int) -> Events:
        """The events of a day whose window has closed, each decision and slot once, by rising id.

        They are no longer held; what becomes of them is for `settle`.
        """
        parts = self._held.pop(day, [])
        events = _joined(parts)
        # Stable, so that of several the first stays first.
        order = np.lexsort((events.slots, events.ids))
        events = events.take(order)
        new = np.ones(len(events), dtype=np.bool_)
        new[1:] = (np.diff(events.ids) != 0) | (np.diff(events.slots) != 0)
        self.counts.duplicate += int((~new).sum())
        return events.take(new)

    def settle(self, events: Events, *, joined: int) -> None:
        """Count events that were taken, `joined` of which found their decision."""
        self.counts.joined += joined
        self.counts.orphan += len(events) - joined

    def close(self, day: int, *, window_days: int) -> None:
        """Count as orphans what is held of decisions that are not there.

        Args:
            day: that is over.
            window_days: after which events of a decision are taken, at least the book's own.
        """
        for old in [one for one in self._held if one + window_days <= day]:
            self.settle(self.take(old), joined=0)

    def arrays(self) -> dict[str, AnyArray]:
        """Everything held and counted, for a checkpoint."""
        days = sorted(self._held)
        held = [_joined(self._held[day]) for day in days]
        events = _joined(held)
        return {
            "day": np.repeat(np.array(days, dtype=np.int64), [len(part) for part in held]),
            "ids": events.ids,
            "slots": events.slots,
            "values": events.values,
            "counts": np.array(
                [getattr(self.counts, field.name) for field in fields(EventCounts)], dtype=np.int64
            ),
        }

    def restore(self, arrays: Mapping[str, AnyArray]) -> None:
        """Take over what `arrays` gave, in place of everything held and counted."""
        self.counts = EventCounts(*arrays["counts"].tolist())
        events = Events(arrays["ids"], arrays["slots"], arrays["values"])
        self._held = {
            int(day): [events.take(arrays["day"] == day)] for day in np.unique(arrays["day"])
        }


def _joined(parts: list[Events]) -> Events:
    if not parts:
        return Events.empty()
    return Events(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.slots for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
