"""What a batch of appends does to a log: which rows are new, what each caller is told.

A pure function of the batch and of what the log holds of the ids it names; every log looks those up
and stores the new rows in one transaction. So idempotency is decided in one place for all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from matinee_platform.storage.ports import Windows
from matinee_platform.storage.records import (
    DecisionReceipt,
    DecisionRecord,
    LoggedDecision,
    LoggedReward,
    Outcome,
    RewardReceipt,
    RewardRecord,
    RewardState,
)
from matinee_platform.storage.reward_states import (
    Mark,
    Shown,
    mark_of,
    state_when_stored,
)

Record = DecisionRecord | RewardRecord
Receipt = DecisionReceipt | RewardReceipt

REWARDS_PER_DECISION = 200
"""Rewards of one decision that are taken in, unless settings say otherwise."""


Place = tuple[int, int, int]
"""Decision, component and slot of a reward."""


class Seen(NamedTuple):
    """What is compared with a reward whose key is in the log.

    Attributes:
        body_digest: of the event.
        decision_id: that it names.
        mark: its place in the log and where it belongs.
        first_before: when the earliest reward of the same place that is before it in the log came.
    """

    body_digest: bytes
    decision_id: int
    mark: Mark
    first_before: int | None


@dataclass(slots=True)
class Known:
    """What the log holds, before a batch, of what the batch names.

    Attributes:
        last_seq: last place of the log.
        decisions: decisions of the batch whose ids are in the log.
        rewards: rewards of the batch whose keys are in the log.
        shown: experiment and facts of decisions that rewards of the batch name.
        firsts: when the earliest reward of a place of those decisions came.
        counts: rewards that the log has of those decisions.
    """

    last_seq: int
    decisions: dict[int, LoggedDecision] = field(default_factory=dict)
    rewards: dict[bytes, Seen] = field(default_factory=dict)
    shown: dict[int, tuple[str, Shown]] = field(default_factory=dict)
    firsts: dict[Place, int] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Plan:
    """What is stored, and what is answered.

    Attributes:
        last_seq: last place of the log afterwards.
        decisions: new rows, in log order.
        rewards: new rows, in log order.
        receipts: one for each record of the batch.
    """

    last_seq: int
    decisions: list[LoggedDecision] = field(default_factory=list)
    rewards: list[LoggedReward] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)

    @property
    def before(self) -> int:
        """The place before the new rows."""
        return self.last_seq - len(self.decisions) - len(self.rewards)


def plan_append(
    batch: Sequence[Record],
    known: Known,
    *,
    windows: Windows,
    rewards_per_decision: int = REWARDS_PER_DECISION,
) -> Plan:
    """Places and answers of a batch; `known` takes the new rows in.

    Places rise by one from `known.last_seq`, in the order of the batch, without gaps.
    """
    plan = Plan(known.last_seq)
    for record in batch:
        if isinstance(record, DecisionRecord):
            plan.receipts.append(_decision(record, known, plan))
        else:
            plan.receipts.append(
                _reward(record, known, plan, windows=windows, cap=rewards_per_decision)
            )
    return plan


def _decision(record: DecisionRecord, known: Known, plan: Plan) -> DecisionReceipt:
    there = known.decisions.get(record.decision_id)
    if there is not None:
        if there.record.body_digest != record.body_digest:
            return DecisionReceipt(Outcome.CONFLICT, there.seq)
        return DecisionReceipt(Outcome.REPEATED, there.seq, there.record)
    plan.last_seq += 1
    logged = LoggedDecision(plan.last_seq, record)
    plan.decisions.append(logged)
    known.decisions[record.decision_id] = logged
    shown = Shown(plan.last_seq, record.decided_at, record.slate)
    known.shown[record.decision_id] = (record.experiment, shown)
    return DecisionReceipt(Outcome.STORED, plan.last_seq)


def _reward(
    record: RewardRecord, known: Known, plan: Plan, *, windows: Windows, cap: int
) -> RewardReceipt:
    there = known.rewards.get(record.reward_key)
    if there is not None:
        if there.body_digest != record.body_digest:
            return RewardReceipt(Outcome.CONFLICT, there.mark.seq)
        return RewardReceipt(Outcome.REPEATED, there.mark.seq, _state(there, known, windows))
    count = known.counts.get(record.decision_id, 0)
    if count >= cap:
        return RewardReceipt(Outcome.CAPPED, -1)
    plan.last_seq += 1
    logged = LoggedReward(plan.last_seq, record)
    plan.rewards.append(logged)
    place = (record.decision_id, record.component, record.slot)
    first = known.firsts.get(place)
    new = Seen(record.body_digest, record.decision_id, mark_of(logged), first)
    known.rewards[record.reward_key] = new
    known.counts[record.decision_id] = count + 1
    known.firsts[place] = record.received_at if first is None else min(first, record.received_at)
    return RewardReceipt(Outcome.STORED, plan.last_seq, _state(new, known, windows))


def _state(seen: Seen, known: Known, windows: Windows) -> RewardState:
    named = known.shown.get(seen.decision_id)
    if named is None:
        return RewardState.EARLY
    experiment, shown = named
    return state_when_stored(
        seen.mark, shown=shown, first_before=seen.first_before, windows=windows(experiment)
    )
