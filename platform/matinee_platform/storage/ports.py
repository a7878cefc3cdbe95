"""The ports of storage. Every implementation passes the contract suites in `storage/testing_*.py`.

One order: `seq` rises by commits, over decisions and rewards alike. A row that a reader sees at or
below `last_seq()` was there for every reader that saw that number, and none will appear below it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, Self

from matinee_platform.storage.records import (
    Barrier,
    DecisionReceipt,
    DecisionRecord,
    LoggedDecision,
    LoggedReward,
    RewardReceipt,
    RewardRecord,
)
from matinee_policies.snapshot import Snapshot

Windows = Callable[[str], Sequence[int]]
"""Window of each of `log_rows.COMPONENTS` in milliseconds, by the key of an experiment."""

Published = Callable[[Sequence[LoggedDecision], Sequence[LoggedReward]], None]
"""Told of rows in log order, each exactly once, after they are durable."""

Skipped = Callable[[], None]
"""Told that rows became durable of which nobody will be told: who folded the log reads it anew."""


class EventAppender(Protocol):
    """Appends to the log; a row is durable when its receipt comes.

    Appends queue while one commit runs and go together into the next (group commit). The queue is
    bounded: an append that finds it full raises `LogBusyError` at once. While the database is away,
    rows go to a local spool if there is one, else appends raise `LogUnavailableError`.
    """

    async def append_decision(self, record: DecisionRecord) -> DecisionReceipt:
        """Append one decision.

        Raises:
            LogBusyError: the queue is full.
            LogUnavailableError: the database is away and nothing was stored.
        """

    async def append_rewards(self, records: Sequence[RewardRecord]) -> list[RewardReceipt]:
        """Append rewards; each has a receipt of its own, a conflict fails none of the others."""

    async def intern_items(self, ids: Sequence[str]) -> list[int]:
        """Rows of items that callers name, made when new and the same for ever after."""

    async def settled(self) -> None:
        """Return once `Published` was told of every row whose receipt came before."""

    @property
    def state(self) -> str:
        """`ok`, `spooling` or `away`, as readiness tells it."""

    @property
    def queued(self) -> int:
        """Rows that wait for a commit."""

    @property
    def spooled(self) -> int:
        """Rows that wait in the spool."""

    async def close(self) -> None:
        """Store what waits, then let go of files and connections."""


class EventReader(Protocol):
    """Reads the log, from any process; safe to use from one thread at a time."""

    def last_seq(self) -> int:
        """Last place of the log that is complete: nothing will appear at or below it; 0 if none."""

    def decision(self, decision_id: int) -> LoggedDecision | None:
        """One decision."""

    def experiments_of(self, decision_ids: Sequence[int]) -> dict[int, str]:
        """Key of the experiment of each of these decisions that is in the log."""

    def rewards_of(
        self, decision_ids: Sequence[int], *, upto: int | None = None
    ) -> list[LoggedReward]:
        """All rewards that name these decisions, in log order, up to a place of the log."""

    def decisions(
        self,
        *,
        after: int = 0,
        upto: int,
        experiment: str | None = None,
        arm: str | None = None,
        limit: int = 10_000,
    ) -> list[LoggedDecision]:
        """Decisions with `after < seq <= upto`, in log order, at most `limit`."""

    def rewards(self, *, after: int = 0, upto: int, limit: int = 10_000) -> list[LoggedReward]:
        """Rewards with `after < seq <= upto`, in log order, at most `limit`."""

    def decided_within(
        self, experiment: str, arm: str, *, after_ms: int, upto_ms: int, upto: int
    ) -> Iterator[list[LoggedDecision]]:
        """Decisions of an arm with `after_ms < decided_at <= upto_ms` and `seq <= upto`.

        In log order, some thousand at a time; served by an index, whatever the log's length.
        """

    def unit_decisions(
        self, experiment: str, arm: str, unit: int, *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """The latest `limit` decisions of a unit up to a place of the log, oldest first."""

    def decisions_of_units(
        self, experiment: str, arm: str, units: Sequence[int], *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """Decisions of some units up to a place of the log, in log order.

        If there are more than `limit`, that many of them: which ones is not said.
        """

    def items(self, rows: Sequence[int]) -> list[str]:
        """Ids of interned items, by row."""

    def copy(self) -> Self:
        """Another reader of the same log, for another thread."""

    def close(self) -> None:
        """Let go of files and connections."""


class BarrierStore(Protocol):
    """Append-only record of the barriers of every arm."""

    def last(self, experiment: str, arm: str) -> Barrier | None:
        """The newest barrier of an arm."""

    def all(self, experiment: str, arm: str) -> list[Barrier]:
        """Every barrier of an arm, by version."""

    def named(self, experiment: str, arm: str, versions: Sequence[int]) -> list[Barrier]:
        """The barriers of some versions, by version; those that are not there are left out."""

    def append(self, barrier: Barrier) -> None:
        """Add the next barrier.

        Raises:
            LeaseLostError: its version is there already: another learner was faster.
        """


class SnapshotStore(Protocol):
    """Keeps signed snapshots by experiment, arm and version."""

    def save(self, experiment: str, arm: str, version: int, snapshot: Snapshot) -> None:
        """Store a snapshot durably; one that no barrier names may be replaced.

        Raises:
            LeaseLostError: where barriers are in the same place and one names this version.
        """

    def load(self, experiment: str, arm: str, version: int) -> Snapshot:
        """Read one back.

        Raises:
            SnapshotError: it is missing, damaged or not signed as it must be.
        """

    def versions(self, experiment: str, arm: str) -> list[int]:
        """Stored versions, rising."""

    def delete(self, experiment: str, arm: str, versions: Iterable[int]) -> None:
        """Remove versions; those that are not there are no error."""


class Lease(Protocol):
    """At most one holder at a time per name, freed when the holder's process dies."""

    def acquire(self, name: str) -> bool:
        """Try to take it, without waiting."""

    def held(self, name: str) -> bool:
        """Whether this process still holds it, asked of the database or file."""

    def release(self, name: str) -> None:
        """Give it back."""
