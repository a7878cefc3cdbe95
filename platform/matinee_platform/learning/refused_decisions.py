"""Decisions whose first lesson a policy refused: their later lessons must not be learned either.

A later lesson adds rewards to features that the first one brought; without them it would spoil the
state. All that a learner may know is its snapshot and the log, so the list is noted in the
snapshot: places of the log, each until the last window of its decision has closed. A snapshot of an
arm that was never refused anything has no note, and the hash that it always had.
"""

from collections.abc import Iterable
from typing import Self

from matinee_policies.errors import SnapshotError
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_origin import REFUSED, with_refused, without_refused

MOST_NOTED = 200_000
"""Decisions in the list. Beyond it all decisions up to the oldest ones' place count as refused."""


class RefusedDecisions:
    """The list, while a barrier is worked out.

    Args:
        upto: place of the log up to which every decision counts as refused.
        until_ms: when the last window of those has closed, UTC milliseconds.
        noted: the same time for each other place of the log.
    """

    def __init__(
        self, *, upto: int = 0, until_ms: int = 0, noted: Iterable[tuple[int, int]] = ()
    ) -> None:
        self.upto, self.until_ms = upto, until_ms
        self._noted = dict(noted)

    def __len__(self) -> int:
        return len(self._noted)

    def __contains__(self, seq: int) -> bool:
        return seq <= self.upto or seq in self._noted

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
            noted = [(int(seq), int(until)) for seq, until in note["noted"]]
            return cls(upto=int(note["upto"]), until_ms=int(note["until_ms"]), noted=noted)
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"snapshot must list refused decisions, got {note!r}") from error

    def add(self, seq: int, *, until_ms: int) -> None:
        """Note a decision whose last window closes at a time."""
        self._noted[seq] = until_ms

    def close(self, time_ms: int) -> None:
        """Let go of what has no lesson left at a barrier of this time, and of what is too much."""
        self._noted = {seq: until for seq, until in self._noted.items() if until > time_ms}
        if self.until_ms <= time_ms:
            self.upto = self.until_ms = 0
        for seq in sorted(self._noted)[: max(0, len(self._noted) - MOST_NOTED)]:
            self.until_ms = max(self.until_ms, self._noted.pop(seq))
            self.upto = max(self.upto, seq)

    def noted_in(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with this list, or without a note if there is none."""
        if not self._noted and not self.upto:
            return without_refused(snapshot)
        note = {
            "upto": self.upto,
            "until_ms": self.until_ms,
            "noted": [list(one) for one in sorted(self._noted.items())],
        }
        return with_refused(snapshot, note)
