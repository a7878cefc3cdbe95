"""An event log in memory, for tests; it keeps the contract of the durable ones but durability."""

from collections.abc import Iterator, Sequence
from typing import Self, cast

from matinee_platform.storage.append_plan import (
    REWARDS_PER_DECISION,
    Known,
    Receipt,
    Record,
    plan_append,
)
from matinee_platform.storage.errors import LogBusyError, LogUnavailableError
from matinee_platform.storage.ports import Published, Windows
from matinee_platform.storage.records import (
    DecisionReceipt,
    DecisionRecord,
    LoggedDecision,
    LoggedReward,
    RewardReceipt,
    RewardRecord,
)


class MemoryLog:
    """Rows of a log, shared by its appender and its readers."""

    def __init__(self) -> None:
        self.known = Known(0)
        self.decisions: list[LoggedDecision] = []
        self.rewards: list[LoggedReward] = []
        self.items: dict[str, int] = {}


class MemoryAppender:
    """Appends to a log in memory, at once.

    Args:
        log: where the rows go; a new one if not given.
        windows: of rewards, by the key of an experiment.
        published: told of new rows.
        rewards_per_decision: most rewards of one decision.

    Attributes:
        log: where the rows go.
        busy: set it, and appends raise `LogBusyError`.
        away: set it, and appends raise `LogUnavailableError`.
    """

    def __init__(
        self,
        log: MemoryLog | None = None,
        *,
        windows: Windows,
        published: Published | None = None,
        rewards_per_decision: int = REWARDS_PER_DECISION,
    ) -> None:
        self.log = MemoryLog() if log is None else log
        self.busy = False
        self.away = False
        self._windows = windows
        self._published = published
        self._cap = rewards_per_decision

    async def append_decision(self, record: DecisionRecord) -> DecisionReceipt:
        """Append one decision."""
        return cast("DecisionReceipt", self._append([record])[0])

    async def append_rewards(self, records: Sequence[RewardRecord]) -> list[RewardReceipt]:
        """Append rewards."""
        return cast("list[RewardReceipt]", self._append(records))

    async def settled(self) -> None:
        """Rows are told at once."""

    async def intern_items(self, ids: Sequence[str]) -> list[int]:
        """Rows of items, made when new."""
        self._refuse_if_told()
        items = self.log.items
        return [items.setdefault(one, len(items)) for one in ids]

    @property
    def state(self) -> str:
        """`ok` or `away`."""
        return "away" if self.away else "ok"

    @property
    def queued(self) -> int:
        """Nothing ever waits."""
        return 0

    @property
    def spooled(self) -> int:
        """Nothing is ever spooled."""
        return 0

    async def close(self) -> None:
        """Nothing to let go of."""

    def _append(self, batch: Sequence[Record]) -> list[Receipt]:
        self._refuse_if_told()
        log = self.log
        plan = plan_append(batch, log.known, windows=self._windows, rewards_per_decision=self._cap)
        log.known.last_seq = plan.last_seq
        log.decisions.extend(plan.decisions)
        log.rewards.extend(plan.rewards)
        if self._published is not None and (plan.decisions or plan.rewards):
            self._published(plan.decisions, plan.rewards)
        return plan.receipts

    def _refuse_if_told(self) -> None:
        if self.busy:
            raise LogBusyError("the queue of appends is full: 0 rows wait, at most 0 may")
        if self.away:
            raise LogUnavailableError("the log is away")


class MemoryReader:
    """Reads a log in memory; plain scans.

    Args:
        log: of the appender.
    """

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def last_seq(self) -> int:
        """Last place of the log."""
        return self._log.known.last_seq

    def decision(self, decision_id: int) -> LoggedDecision | None:
        """One decision."""
        return self._log.known.decisions.get(decision_id)

    def experiments_of(self, decision_ids: Sequence[int]) -> dict[int, str]:
        """Key of the experiment of each of these decisions that is in the log."""
        records = (one.record for one in self._log.decisions)
        wanted = set(decision_ids)
        return {one.decision_id: one.experiment for one in records if one.decision_id in wanted}

    def rewards_of(
        self, decision_ids: Sequence[int], *, upto: int | None = None
    ) -> list[LoggedReward]:
        """All rewards that name these decisions."""
        wanted = set(decision_ids)
        return [
            one
            for one in self._log.rewards
            if one.record.decision_id in wanted and (upto is None or one.seq <= upto)
        ]

    def decisions(
        self,
        *,
        after: int = 0,
        upto: int,
        experiment: str | None = None,
        arm: str | None = None,
        limit: int = 10_000,
    ) -> list[LoggedDecision]:
        """Decisions in log order."""
        found = [
            one
            for one in self._log.decisions
            if after < one.seq <= upto
            and experiment in (None, one.record.experiment)
            and arm in (None, one.record.arm)
        ]
        return found[:limit]

    def rewards(self, *, after: int = 0, upto: int, limit: int = 10_000) -> list[LoggedReward]:
        """Rewards in log order."""
        return [one for one in self._log.rewards if after < one.seq <= upto][:limit]

    def decided_within(
        self, experiment: str, arm: str, *, after_ms: int, upto_ms: int, upto: int
    ) -> Iterator[list[LoggedDecision]]:
        """Decisions of an arm within a time, in log order."""
        found = [
            one
            for one in self._log.decisions
            if (one.record.experiment, one.record.arm) == (experiment, arm)
            and after_ms < one.record.decided_at <= upto_ms
            and one.seq <= upto
        ]
        if found:
            yield found

    def unit_decisions(
        self, experiment: str, arm: str, unit: int, *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """The latest decisions of a unit, oldest first."""
        found = [
            one
            for one in self._log.decisions
            if (one.record.experiment, one.record.arm, one.record.unit) == (experiment, arm, unit)
            and one.seq <= upto
        ]
        return found[max(0, len(found) - limit) :]

    def decisions_of_units(
        self, experiment: str, arm: str, units: Sequence[int], *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """Decisions of some units, in log order, at most `limit`."""
        found = [
            one
            for one in self._log.decisions
            if (one.record.experiment, one.record.arm) == (experiment, arm)
            and one.record.unit in units
            and one.seq <= upto
        ]
        return found[:limit]

    def items(self, rows: Sequence[int]) -> list[str]:
        """Ids of items, by row."""
        ids = list(self._log.items)
        return [ids[row] for row in rows]

    def copy(self) -> Self:
        """Another reader of the same log."""
        return type(self)(self._log)

    def close(self) -> None:
        """Nothing to let go of."""
