"""States of rewards against a plain twin, over random orders of the log."""

import random

import pytest

from matinee_platform.storage.append_plan import Known, plan_append
from matinee_platform.storage.records import (
    DecisionRecord,
    LoggedDecision,
    LoggedReward,
    Outcome,
    RewardReceipt,
    RewardRecord,
    RewardState,
)
from matinee_platform.storage.reward_states import reward_states
from matinee_platform.storage.testing_events import (
    CLICK,
    MINUTE_MS,
    RETURN_VISIT,
    SLOTS,
    START_MS,
    example_decision,
    example_reward,
    windows,
)

DAY_MS = 1_440 * MINUTE_MS
ENDS = {0: 30 * MINUTE_MS, 1: 30 * MINUTE_MS, 2: 3 * DAY_MS, 3: 7 * DAY_MS}


def plain_twin(log: list[DecisionRecord | RewardRecord], upto: int) -> list[str]:
    """States of the rewards of the first `upto` rows, by the words of their definitions."""
    rows = log[:upto]
    decisions = {one.decision_id: one for one in rows if isinstance(one, DecisionRecord)}
    states = []
    for place, one in enumerate(rows):
        if isinstance(one, DecisionRecord):
            continue
        decision = decisions.get(one.decision_id)
        if decision is None:
            states.append("EARLY")
            continue
        filled = [slot for slot in range(SLOTS) if slot != SLOTS - 1]
        right_place = one.slot == -1 if one.component == 3 else one.slot in filled
        end = decision.decided_at + ENDS[one.component]
        before = [
            other
            for other in rows[:place]
            if isinstance(other, RewardRecord)
            and (other.decision_id, other.component, other.slot)
            == (one.decision_id, one.component, one.slot)
            and other.received_at <= end
        ]
        if not right_place:
            states.append("ORPHAN")
        elif one.received_at > end:
            states.append("LATE")
        else:
            states.append("DUPLICATE" if before else "JOINED")
    return states


def random_log(seed: int) -> list[DecisionRecord | RewardRecord]:
    """Three decisions and 24 rewards, one in six of a decision that never comes, in any order."""
    draws = random.Random(seed)
    log: list[DecisionRecord | RewardRecord] = [
        example_decision(n, decided_at=START_MS + draws.randrange(60) * MINUTE_MS) for n in range(3)
    ]
    for number in range(24):
        component = draws.randrange(4)
        whole_page = draws.random() < (0.9 if component == 3 else 0.1)
        near = draws.choice((0, 29, 30, 31, 60, 90, 4_320, 4_350, 10_080, 10_140))
        log.append(
            example_reward(
                number,
                decision=draws.randrange(4) if number % 6 == 0 else draws.randrange(3),
                component=component,
                slot=-1 if whole_page else draws.randrange(SLOTS + 1),
                received_at=START_MS + near * MINUTE_MS + draws.choice((0, 0, 1)),
            )
        )
    draws.shuffle(log)
    return log


def logged(
    log: list[DecisionRecord | RewardRecord],
) -> tuple[dict[int, LoggedDecision], dict[int, list[LoggedReward]]]:
    decisions, rewards = {}, dict[int, list[LoggedReward]]()
    for place, one in enumerate(log, start=1):
        if isinstance(one, DecisionRecord):
            decisions[one.decision_id] = LoggedDecision(place, one)
        else:
            rewards.setdefault(one.decision_id, []).append(LoggedReward(place, one))
    return decisions, rewards


def test_the_whole_log_judges_as_the_twin_does_over_1000_orders() -> None:
    seen: set[str] = set()
    for seed in range(1_000):
        log = random_log(seed)
        decisions, rewards = logged(log)
        states = {
            one.seq: state.name
            for decision_id, many in rewards.items()
            for one, state in zip(
                many,
                reward_states(
                    decisions.get(decision_id), many, windows=windows("home"), now_ms=START_MS
                ),
                strict=True,
            )
        }
        assert [states[seq] for seq in sorted(states)] == plain_twin(log, len(log))
        seen |= set(states.values())
    assert seen == {state.name for state in RewardState}


def test_answers_are_what_the_log_told_at_that_moment() -> None:
    for seed in range(1_000):
        log = random_log(seed)
        draws = random.Random(-seed)
        known = Known(0)
        answers: list[str] = []
        at = 0
        while at < len(log):
            batch = log[at : at + draws.randint(1, 9)]
            plan = plan_append(batch, known, windows=windows)
            known.last_seq = plan.last_seq
            at += len(batch)
            answers += [
                "" if one.state is None else one.state.name
                for one in plan.receipts
                if isinstance(one, RewardReceipt)
            ]
        expected = [
            plain_twin(log, place)[-1]
            for place, one in enumerate(log, start=1)
            if isinstance(one, RewardRecord)
        ]
        assert answers == expected
        again = plan_append(log, known, windows=windows)
        assert (again.decisions, again.rewards) == ([], [])
        assert {one.outcome for one in again.receipts} == {Outcome.REPEATED}
        assert [
            one.state.name
            for one in again.receipts
            if isinstance(one, RewardReceipt) and one.state is not None
        ] == expected


@pytest.mark.parametrize(
    ("age_days", "state"), [(0, "EARLY"), (7, "EARLY"), (7.001, "ORPHAN"), (400, "ORPHAN")]
)
def test_a_reward_whose_decision_never_comes(age_days: float, state: str) -> None:
    reward = LoggedReward(1, example_reward(1, decision=5))
    now_ms = reward.record.received_at + round(age_days * DAY_MS)
    (found,) = reward_states(None, [reward], windows=windows("home"), now_ms=now_ms)
    assert found.name == state


def test_the_last_millisecond_of_a_window() -> None:
    decision = LoggedDecision(1, example_decision(1))
    for component, slot in ((CLICK, 0), (RETURN_VISIT, -1)):
        end = decision.record.decided_at + ENDS[component]
        rewards = [
            LoggedReward(
                seq,
                example_reward(
                    seq, decision=1, component=component, slot=slot, received_at=end + late
                ),
            )
            for seq, late in ((2, 1), (3, 0), (4, 0))
        ]
        states = reward_states(decision, rewards, windows=windows("home"), now_ms=end)
        assert [one.name for one in states] == ["LATE", "JOINED", "DUPLICATE"]
