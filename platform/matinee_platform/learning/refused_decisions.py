"""Decisions whose first lesson a policy refused: their later lessons must not be learned either.

A later lesson adds rewards to features that the first one brought; without them it would spoil the
state. All that a learner may know is its snapshot and the log, so the list is noted in the
snapshot: places of the log, each until the last window of its decision has closed. A snapshot of an
arm that was never refused anything has no note, and the hash that it always had.

The list is bounded. Beyond that the oldest places are kept as ranges, one for the day on which
their windows close, each with the smallest of their decisions' largest features: what is refused
is large. Decisions of such a range with smaller features are learned as ever.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np

from matinee_policies.arrays import BoolArray, FloatArray
from matinee_policies.errors import SnapshotError
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_origin import REFUSED, with_refused, without_refused

MOST_NOTED = 200_000
"""Decisions in the list; the oldest of further ones become ranges."""

_DAY_MS = 86_400_000


class Noted(NamedTuple):
    """A decision that was refused.

    Attributes:
        until_ms: when the last of its windows has closed, UTC milliseconds.
        size: its largest feature by absolute value.
    """

    until_ms: int
    size: float


class Range(NamedTuple):
    """Decisions that count as refused if they are as large as one that was.

    Attributes:
        first: place of the log.
        last: place of the log.
        until_ms: when the last of the windows of those that were refused has closed.
        size: smallest of their sizes.
    """

    first: int
    last: int
    until_ms: int
    size: float

    def joined(self, other: "Range") -> "Range":
        """One range in place of two."""
        return Range(
            min(self.first, other.first),
            max(self.last, other.last),
            max(self.until_ms, other.until_ms),
            min(self.size, other.size),
        )


class RefusedDecisions:
    """The list, while a barrier is worked out.

    Args:
        noted: by place of the log.
        ranges: of places that are no longer in the list.

    Attributes:
        ranges: as given, and those that `close` made since.
    """

    def __init__(
        self, *, noted: Iterable[tuple[int, Noted]] = (), ranges: Iterable[Range] = ()
    ) -> None:
        self._noted = dict(noted)
        self.ranges = list(ranges)

    def __len__(self) -> int:
        return len(self._noted)

    def __contains__(self, seq: int) -> bool:
        return seq in self._noted

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """The list that a snapshot notes.

        Raises:
            SnapshotError: if it notes something else.
        """
        note = snapshot.manifest.get(REFUSED)
        if note is None:
            return cls()
        try:
            noted = [
                (int(seq), Noted(int(until), float(size))) for seq, until, size in note["noted"]
            ]
            ranges = [
                Range(int(first), int(last), int(until), float(size))
                for first, last, until, size in note["ranges"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"snapshot must list refused decisions, got {note!r}") from error
        return cls(noted=noted, ranges=ranges)

    def add(self, seq: int, *, until_ms: int, size: float) -> None:
        """Note a decision.

        Args:
            seq: place of the log.
            until_ms: when its last window closes, UTC milliseconds.
            size: its largest feature by absolute value.
        """
        self._noted[seq] = Noted(until_ms, size)

    def covers(self, places: Sequence[int], sizes: FloatArray) -> BoolArray:
        """Which decisions lie in a range and are as large, `bool [n]`.

        Args:
            places: of the log, of `n` decisions.
            sizes: their largest features by absolute value, `float64 [n]`.
        """
        seq = np.array(places, dtype=np.int64)
        found = np.zeros(seq.size, dtype=np.bool_)
        for one in self.ranges:
            found |= (seq >= one.first) & (seq <= one.last) & (sizes >= one.size)
        return found

    def close(self, time_ms: int) -> None:
        """Let go of what has no lesson left at a barrier of this time, and of what is too much."""
        self._noted = {seq: one for seq, one in self._noted.items() if one.until_ms > time_ms}
        by_day = {one.until_ms // _DAY_MS: one for one in self.ranges if one.until_ms > time_ms}
        for seq in sorted(self._noted)[: max(0, len(self._noted) - MOST_NOTED)]:
            until_ms, size = self._noted.pop(seq)
            day, alone = until_ms // _DAY_MS, Range(seq, seq, until_ms, size)
            by_day[day] = by_day[day].joined(alone) if day in by_day else alone
        self.ranges = [by_day[day] for day in sorted(by_day)]

    def noted_in(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with this list, or without a note if there is none."""
        if not self._noted and not self.ranges:
            return without_refused(snapshot)
        note = {
            "noted": [[seq, *one] for seq, one in sorted(self._noted.items())],
            "ranges": [list(one) for one in self.ranges],
        }
        return with_refused(snapshot, note)
