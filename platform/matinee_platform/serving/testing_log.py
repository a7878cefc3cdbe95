"""A log in memory for tests of serving: it numbers rows, publishes them, and can be read."""

from collections.abc import Callable, Sequence
from typing import Self

from matinee_platform.storage.ports import Published
from matinee_platform.storage.records import (
    DecisionRecord,
    LoggedDecision,
    LoggedReward,
    RewardRecord,
)


class TestingLog:
    """Rows in one order.

    Args:
        published: told of rows as they come; nobody if not given.
    """

    __test__ = False

    def __init__(self, published: Published | None = None) -> None:
        self.published = published
        self.stored: list[LoggedDecision] = []
        self.rewarded: list[LoggedReward] = []
        self.item_rows: dict[str, int] = {}
        self.before_read: Callable[[], None] = lambda: None
        self._seq = 0

    def append(self, *records: DecisionRecord | RewardRecord) -> None:
        """Store rows, then publish them together."""
        decisions: list[LoggedDecision] = []
        rewards: list[LoggedReward] = []
        for record in records:
            self._seq += 1
            if isinstance(record, DecisionRecord):
                decisions.append(LoggedDecision(self._seq, record))
            else:
                rewards.append(LoggedReward(self._seq, record))
        self.stored += decisions
        self.rewarded += rewards
        if self.published is not None:
            self.published(decisions, rewards)

    async def intern_items(self, ids: Sequence[str]) -> list[int]:
        """See `ports.EventAppender`."""
        return [self.item_rows.setdefault(one, len(self.item_rows)) for one in ids]

    def last_seq(self) -> int:
        """See `ports.EventReader`."""
        self.before_read()
        return self._seq

    def unit_decisions(
        self, experiment: str, arm: str, unit: int, *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """See `ports.EventReader`."""
        mine = (experiment, arm, unit)
        found = [
            one
            for one in self.stored
            if one.seq <= upto and (one.record.experiment, one.record.arm, one.record.unit) == mine
        ]
        return found[-limit:]

    def decisions_of_units(
        self, experiment: str, arm: str, units: Sequence[int], *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """See `ports.EventReader`."""
        found = [
            one
            for one in self.stored
            if one.seq <= upto
            and (one.record.experiment, one.record.arm) == (experiment, arm)
            and one.record.unit in units
        ]
        return found[:limit]

    def rewards_of(
        self, decision_ids: Sequence[int], *, upto: int | None = None
    ) -> list[LoggedReward]:
        """See `ports.EventReader`."""
        wanted = set(decision_ids)
        return [
            one
            for one in self.rewarded
            if one.record.decision_id in wanted and (upto is None or one.seq <= upto)
        ]

    def items(self, rows: Sequence[int]) -> list[str]:
        """See `ports.EventReader`."""
        names = {row: name for name, row in self.item_rows.items()}
        return [names[row] for row in rows]

    def copy(self) -> Self:
        """The log itself: it is read from one thread at a time in tests."""
        return self

    def close(self) -> None:
        """Nothing is held."""
