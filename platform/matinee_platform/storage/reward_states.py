"""What becomes of a reward event: a pure function of its decision, the log's order and times.

States are never stored. The appender computes one for its answer, the learner computes them again
at its barriers, and both agree because neither looks at a clock or at anything but the log.

The rules, in this order, for the rewards of one decision in log order:

1. the decision is not in the log: `EARLY`, and `ORPHAN` once it is `orphan_after_ms` old;
2. nothing was shown at the slot, or a slot is named where the component belongs to the whole page
   (return visits), or none where it belongs to a slot: `ORPHAN`;
3. `received_at > decided_at + window`: `LATE`;
4. another event of the same component and slot that was not late came before: `DUPLICATE`;
5. else `JOINED`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from matinee_platform.log_rows import COMPONENTS, WHOLE_PAGE
from matinee_platform.storage.records import LoggedDecision, LoggedReward, RewardState

RETURN_VISIT = COMPONENTS.index("return_visit")

ORPHAN_AFTER_MS = 7 * 86_400_000
"""Age at which a reward whose decision never came is an orphan."""


class Shown(NamedTuple):
    """What rewards are judged by: place of the decision, time, and the rows at its slots."""

    seq: int
    decided_at: int
    slate: bytes


class Mark(NamedTuple):
    """What is judged of a reward: its place in the log, where it belongs, when it came."""

    seq: int
    component: int
    slot: int
    received_at: int


def reward_states(
    decision: LoggedDecision | None,
    rewards: Sequence[LoggedReward],
    *,
    windows: Sequence[int],
    now_ms: int,
    orphan_after_ms: int = ORPHAN_AFTER_MS,
) -> list[RewardState]:
    """States of the rewards of one decision, as the whole log tells them.

    Args:
        decision: None if the log does not have it.
        rewards: all that name it, in log order.
        windows: of each of `log_rows.COMPONENTS`, in milliseconds.
        now_ms: tells an early reward from an orphan; nothing else depends on it.
        orphan_after_ms: age at which a reward without a decision is an orphan.
    """
    marks = [mark_of(reward) for reward in rewards]
    if decision is None:
        return [
            RewardState.ORPHAN if now_ms - mark.received_at > orphan_after_ms else RewardState.EARLY
            for mark in marks
        ]
    shown = shown_of(decision)
    taken: set[tuple[int, int]] = set()
    states = []
    for mark in marks:
        place = (mark.component, mark.slot)
        state = _alone(mark, shown, windows)
        if state is RewardState.JOINED:
            state = RewardState.DUPLICATE if place in taken else RewardState.JOINED
            taken.add(place)
        states.append(state)
    return states


def state_when_stored(
    mark: Mark, *, shown: Shown | None, first_before: int | None, windows: Sequence[int]
) -> RewardState:
    """State of one reward as the log up to its own place tells it: the answer to its append.

    Args:
        mark: the reward.
        shown: its decision, wherever it is in the log; None if it is not there.
        first_before: earliest `received_at` of the rewards of the same decision, component and slot
            that are before it in the log: one of them joined if that one was in time.
        windows: of each of `log_rows.COMPONENTS`, in milliseconds; unused without a decision.
    """
    if shown is None or shown.seq > mark.seq:
        return RewardState.EARLY
    state = _alone(mark, shown, windows)
    if state is RewardState.JOINED and first_before is not None:
        in_time = first_before <= shown.decided_at + windows[mark.component]
        return RewardState.DUPLICATE if in_time else RewardState.JOINED
    return state


def shown_of(decision: LoggedDecision) -> Shown:
    """What rewards are judged by."""
    return Shown(decision.seq, decision.record.decided_at, decision.record.slate)


def mark_of(reward: LoggedReward) -> Mark:
    """What is judged of a reward."""
    record = reward.record
    return Mark(reward.seq, record.component, record.slot, record.received_at)


def _alone(mark: Mark, shown: Shown, windows: Sequence[int]) -> RewardState:
    """State of a reward if it were the only one of its place."""
    if mark.component == RETURN_VISIT:
        there = mark.slot == WHOLE_PAGE
    else:
        there = _item_at(shown.slate, mark.slot) >= 0
    if not there:
        return RewardState.ORPHAN
    if mark.received_at > shown.decided_at + windows[mark.component]:
        return RewardState.LATE
    return RewardState.JOINED


def _item_at(slate: bytes, slot: int) -> int:
    """Row at a slot of `int32 [L]`, -1 if there is none."""
    if not 0 <= slot < len(slate) // 4:
        return -1
    return int.from_bytes(slate[4 * slot : 4 * slot + 4], "little", signed=True)
