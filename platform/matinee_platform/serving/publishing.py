"""Hand rows that became durable to the memories of the units that they are of."""

from collections.abc import Mapping, Sequence
from operator import attrgetter

from matinee_platform.serving.unit_memory import EarlyRewards, UnitMemory
from matinee_platform.storage.records import LoggedDecision, LoggedReward

_seq = attrgetter("seq")


def publish(
    decisions: Sequence[LoggedDecision],
    rewards: Sequence[LoggedReward],
    *,
    memories: Mapping[tuple[str, str], UnitMemory],
    early: EarlyRewards,
) -> None:
    """Fold rows into the units in memory, in log order; see `ports.Published`.

    Args:
        decisions: in log order.
        rewards: in log order.
        memories: by experiment and arm.
        early: what keeps rewards that no unit in memory owns.
    """
    if not rewards:
        for decision in decisions:
            memory = memories.get((decision.record.experiment, decision.record.arm))
            if memory is not None:
                memory.decided(decision)
    else:
        rows: list[LoggedDecision | LoggedReward] = [*decisions, *rewards]
        rows.sort(key=_seq)
        for row in rows:
            if isinstance(row, LoggedDecision):
                memory = memories.get((row.record.experiment, row.record.arm))
                if memory is not None:
                    memory.decided(row)
            else:
                _reward(row, memories, early)
    for memory in memories.values():
        memory.flush()


def _reward(
    row: LoggedReward, memories: Mapping[tuple[str, str], UnitMemory], early: EarlyRewards
) -> None:
    for memory in memories.values():
        if memory.owns(row.record.decision_id):
            memory.rewarded(row)
            return
    early.hold(row)
    for memory in memories.values():
        memory.unowned(row)
