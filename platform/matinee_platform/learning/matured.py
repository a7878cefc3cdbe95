"""Which decisions have matured at a barrier: pure, from the log alone.

At a barrier with place `(S, T)` a lesson with a window of `w` is closed for the decisions with
`seq <= S` and `decided_at + w <= T`. What has matured is closed at this barrier and was not at the
one before. Places never fall, so a decision matures for a lesson once at most, whatever barriers
there are in between; and the log's rows and the barriers say when, never a clock.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matinee_platform.storage.ports import EventReader
from matinee_platform.storage.records import Barrier, LoggedDecision
from matinee_policies.errors import ContextError

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a barrier stands.

    Attributes:
        seq: last place of the log that it reads.
        time_ms: UTC milliseconds up to which windows count as closed.
    """

    seq: int
    time_ms: int

    @classmethod
    def of(cls, barrier: Barrier) -> "Place":
        """Where a barrier of the log stands."""
        return cls(barrier.seq, barrier.time_ms)

    def closes(self, decision: LoggedDecision, window_ms: int) -> bool:
        """Whether a window of a decision is closed here, and the decision known."""
        ended = decision.record.decided_at + window_ms <= self.time_ms
        return ended and decision.seq <= self.seq


def matured(
    reader: EventReader,
    experiment: str,
    arm: str,
    *,
    window_ms: int,
    before: Place,
    now: Place,
    latecomers: Sequence[LoggedDecision] = (),
) -> Iterator[LoggedDecision]:
    """Decisions of an arm that are closed at `now` and were not at `before`, in log order.

    Args:
        reader: of the log.
        experiment: key.
        arm: name.
        window_ms: of the lesson.
        before: the barrier before.
        now: this barrier, at least `before` in both.
        latecomers: what `latecomers` gives for a window that is no longer than this one.

    Raises:
        ContextError: if `now` lies before `before`.
    """
    _check_order(before, now)
    late = (one for one in latecomers if before.time_ms >= one.record.decided_at + window_ms)
    in_time: Iterator[LoggedDecision] = iter(())
    if now.time_ms > before.time_ms:
        parts = reader.decided_within(
            experiment,
            arm,
            after_ms=before.time_ms - window_ms,
            upto_ms=now.time_ms - window_ms,
            upto=now.seq,
        )
        in_time = (one for part in parts for one in part)
    return heapq.merge(in_time, late, key=lambda one: one.seq)


def latecomers(
    reader: EventReader,
    experiment: str,
    arm: str,
    *,
    window_ms: int,
    before: Place,
    now: Place,
    scanned: int = 0,
) -> list[LoggedDecision]:
    """Decisions of an arm that reached the log after `before`, which had closed their windows.

    A row that waited in a spool while the database was away is one. The time that it was decided
    at lies before the times that `matured` asks for, so it is looked for among the new rows.

    Args:
        reader: of the log.
        experiment: key.
        arm: name.
        window_ms: shortest window of any lesson.
        before: the barrier before.
        now: this barrier.
        scanned: place of the log up to which there was none, asked with the same `before`.
    """
    _check_order(before, now)
    found: list[LoggedDecision] = []
    after = max(before.seq, scanned)
    while after < now.seq:
        rows = reader.decisions(
            after=after, upto=now.seq, experiment=experiment, arm=arm, limit=_ROWS_AT_ONCE
        )
        found += [one for one in rows if one.record.decided_at + window_ms <= before.time_ms]
        if len(rows) < _ROWS_AT_ONCE:
            break
        after = rows[-1].seq
    return found


def _check_order(before: Place, now: Place) -> None:
    if now.seq < before.seq or now.time_ms < before.time_ms:
        raise ContextError(f"barriers must not go back, got {now} after {before}")
