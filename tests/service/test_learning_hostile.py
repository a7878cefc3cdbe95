"""Nobody who may send decisions stops an arm's learning: what would spoil its state is left out."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from matinee_platform.clock import FakeClock
from matinee_platform.learning import refused_decisions
from matinee_platform.learning.barrier_step import is_learned
from matinee_platform.learning.learn_what_fits import learn_what_fits
from matinee_platform.learning.learner_loop import ArmPlan, LearnerLoop
from matinee_platform.learning.learner_metrics import LearnerCollector
from matinee_platform.learning.learner_status import LearnerStatus
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_contexts import CallerContexts
from matinee_platform.learning.live_learner import LiveLearner
from matinee_platform.learning.refused_decisions import MOST_NOTED, Range, RefusedDecisions
from matinee_platform.learning.replay_arm import LiveReplay, replay_live_arm
from matinee_platform.learning.testing_live import (
    WINDOWS_MS,
    ExampleTraffic,
    MemoryBarriers,
    MemoryLeases,
    MemorySnapshots,
    example_arm,
)
from matinee_platform.log_rows import COMPONENTS, WHOLE_PAGE
from matinee_platform.serving.given_features import given_contexts
from matinee_platform.storage.memory_log import MemoryAppender, MemoryLog, MemoryReader
from matinee_platform.storage.records import DecisionRecord
from matinee_policies.errors import ContextError, SnapshotError
from matinee_policies.records import OutcomeBatch
from matinee_policies.registry import build_policy, restore_policy
from matinee_policies.snapshot import Snapshot

DIMENSION = 6
LINEAR = {
    "lin_ucb": ("lin_ucb", {}),
    "disjoint": ("lin_ucb", {"form": "disjoint"}),
    "hybrid": ("lin_ucb", {"form": "hybrid"}),
    "thompson": ("thompson", {}),
    "logistic": ("logistic", {}),
    "discounted_lin_ucb": ("discounted_lin_ucb", {}),
    "sliding_window_lin_ucb": ("sliding_window_lin_ucb", {}),
}


def given_arm(kind: str, config: dict[str, Any]) -> LearningArm:
    """An arm whose callers give the features."""
    policy = build_policy(kind, config, dimension=DIMENSION)
    contexts = CallerContexts(given_contexts(policy, dimension=DIMENSION))
    rewards = example_arm().rewards
    if kind == "logistic":
        rewards = rewards.model_copy(update={}).within(0)
    return example_arm(kind, config, genesis=policy.snapshot(), contexts=contexts, rewards=rewards)


class Attacked:
    """An arm with good traffic, and a caller whose features are large and all the same."""

    def __init__(self, arm: LearningArm) -> None:
        self.arm, self.clock, self.log = arm, FakeClock(), MemoryLog()
        self.barriers, self.snapshots = MemoryBarriers(), MemorySnapshots()
        self.traffic = ExampleTraffic(arm, clock=self.clock)
        self.bad: set[int] = set()
        self._appender = MemoryAppender(self.log, windows=lambda _: arm.windows_ms)
        self.leases = MemoryLeases()
        self.lease = self.leases.of()
        self.learner = self.make(arm)
        assert self.lease.acquire(self.learner.lease_name)

    def make(self, arm: LearningArm, _: Any = None) -> LiveLearner:
        return LiveLearner(
            arm,
            reader=MemoryReader(self.log),
            barriers=self.barriers,
            snapshots=self.snapshots,
            lease=self.lease,
            clock=self.clock,
        )

    def serve(self, good: int, bad: int = 0, *, size: float = 1e6) -> None:
        """Decide pages, mixed, each with a click, a rating and a visit."""
        asyncio.run(self._serve(good, bad, size))
        self.clock.advance(seconds=1.0)

    async def _serve(self, good: int, bad: int, size: float) -> None:
        records = self.traffic.decide(good + bad)
        hostile = np.random.default_rng(len(self.log.decisions)).permutation(good + bad)[:bad]
        for n, record in enumerate(records):
            if n in hostile:
                records[n] = spoiled(record, size=size)
                self.bad.add(record.decision_id)
            await self._appender.append_decision(records[n])
        for record in records:
            for name, slot in (("click", 0), ("rating", 0), ("return_visit", WHOLE_PAGE)):
                reward = self.traffic.reward(
                    record.decision_id, component=COMPONENTS.index(name), slot=slot
                )
                await self._appender.append_rewards([reward])

    def mature(self) -> None:
        """Let every window close."""
        self.clock.advance(seconds=max(WINDOWS_MS) / 1_000 + 2)

    def state(self) -> Snapshot:
        last = self.barriers.last(self.arm.experiment, self.arm.name)
        assert last is not None
        return self.snapshots.load(last.experiment, last.arm, last.version)

    def replay(self) -> LiveReplay:
        return replay_live_arm(
            self.arm,
            reader=MemoryReader(self.log),
            barriers=self.barriers,
            snapshots=self.snapshots,
        )


def spoiled(record: DecisionRecord, *, size: float) -> DecisionRecord:
    """The same page with features that are large and all the same."""
    assert record.features is not None
    features = np.full(len(record.features) // 4, size, dtype=np.float32)
    return replace(record, features=features.tobytes())


@pytest.mark.parametrize(("name", "size"), [(name, 1e6) for name in LINEAR] + [("lin_ucb", 2e5)])
def test_learning_goes_on_under_attack_and_is_replayed(name: str, size: float) -> None:
    attacked = Attacked(given_arm(*LINEAR[name]))
    attacked.learner.advance()
    refused = learned = 0
    for _ in range(4):
        attacked.serve(30, 60, size=size)
        attacked.mature()
        step = attacked.learner.advance().step
        assert step is not None
        refused += step.refused["engagement"]
        learned += step.learned["engagement"]
        # The state is one that a new process reads.
        restore_policy(attacked.state())
    # Logistic regression is sure of such rows after the first: they teach it nothing more.
    assert refused > 0 or name == "logistic"
    assert learned >= 4 * 25, "a fallback's are not learned"
    attacked.serve(100)
    attacked.mature()
    step = attacked.learner.advance().step
    assert step is not None
    assert step.refused["engagement"] == 0
    assert step.learned["engagement"] > 80
    found = attacked.replay()
    assert found.barriers == found.equal == 6


@pytest.mark.parametrize("most", [MOST_NOTED, 3])
def test_no_lesson_of_what_was_refused_is_learned(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Nor is any lesson of the others left out, however long the list is."""
    monkeypatch.setattr(refused_decisions, "MOST_NOTED", most)
    attacked, spared = (Attacked(given_arm("lin_ucb", {})) for _ in range(2))
    for one in (attacked, spared):
        one.learner.advance()
        one.serve(40, 20)
    # The other log never held what the first one's policy refused.
    spared.log.decisions[:] = [
        row for row in spared.log.decisions if row.record.decision_id not in spared.bad
    ]
    refused = {}
    for window in sorted(set(WINDOWS_MS)):
        for one in (attacked, spared):
            past = one.clock.now_ms() - one.traffic.made[0].decided_at
            one.clock.advance(seconds=(window + 5_000 - past) / 1_000)
            assert one.learner.advance().is_new
        refused[window] = len(RefusedDecisions.of(attacked.state()))
    fallen_back = {row.record.decision_id for row in attacked.log.decisions if not is_learned(row)}
    assert refused == {
        30_000: min(most, len(attacked.bad - fallen_back)),
        120_000: refused[30_000],
        300_000: 0,
    }
    found, wanted = attacked.state(), spared.state()
    np.testing.assert_allclose(found.arrays["theta"], wanted.arrays["theta"], atol=1e-9)
    assert found.manifest == wanted.manifest, "the list is gone with the last window"
    assert attacked.replay().equal == attacked.replay().barriers == 4


def test_refusals_are_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    attacked = Attacked(given_arm("lin_ucb", {}))
    told: list[LearnerStatus] = []
    loop = LearnerLoop(
        plans=lambda: [ArmPlan("home", "new", lambda: attacked.arm)],
        make=attacked.make,
        leases=attacked.lease,
        report=told.append,
        clock=attacked.clock,
    )
    loop.look()
    attacked.serve(10, 10)
    attacked.mature()
    with caplog.at_level(logging.WARNING):
        status = loop.look()
    (arm,) = status.arms
    assert arm.state == "learning"
    assert arm.refused["engagement"] > 0
    lines = [line for line in caplog.messages if "home/new left out decisions" in line]
    assert len(lines) == 1
    assert f"{arm.refused['engagement']} of engagement" in lines[0]
    values = {
        family.name: family.samples[0].value
        for family in LearnerCollector(lambda: status, clock=attacked.clock).collect()
        if family.samples
    }
    assert values["matinee_refused_decisions"] == arm.refused["engagement"]
    assert (values["matinee_refused_decisions_noted"], values["matinee_refused_ranges"]) == (0, 0)


class Picky:
    """Takes no slate of the numbers given, and remembers the order of the others."""

    def __init__(self, *refused: int) -> None:
        self.refused = set(refused)
        self.taken: list[list[int]] = []

    def learn(self, outcomes: OutcomeBatch) -> None:
        numbers = outcomes.shards.tolist()
        if self.refused & set(numbers):
            raise ContextError("no")
        self.taken.append(numbers)


def numbered(sizes: list[float], *, days: list[int] | None = None) -> OutcomeBatch:
    """Slates whose shard is their number, with features of a size."""
    n = len(sizes)
    return OutcomeBatch(
        component="engagement",
        first=True,
        features=np.array(sizes, dtype=np.float32).reshape(n, 1, 1),
        rewards=np.zeros((n, 1)),
        shown=np.ones((n, 1), dtype=np.bool_),
        propensities=np.ones((n, 1)),
        shards=np.arange(n, dtype=np.uint8),
        days=None if days is None else np.array(days, dtype=np.int64),
    )


def test_what_is_taken_is_learned_at_once() -> None:
    policy: Any = Picky()
    out, reason = learn_what_fits(policy, numbered([3.0, 1.0, 2.0]))
    assert (out.tolist(), reason, policy.taken) == ([], "", [[0, 1, 2]])


@pytest.mark.parametrize("n", [1, 2, 7, 8, 31])
def test_the_few_that_are_refused_are_found(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        refused = rng.choice(n, size=min(3, n), replace=False).tolist()
        policy: Any = Picky(*refused)
        out, reason = learn_what_fits(policy, numbered(rng.normal(size=n).tolist()))
        assert (out.tolist(), reason) == (sorted(refused), "no")
        assert sorted(n for part in policy.taken for n in part) == sorted(
            set(range(n)) - set(refused)
        )
        assert all(part == sorted(part) for part in policy.taken), "in the order of the log"


def test_of_many_the_largest_are_left_out() -> None:
    sizes = [float(n % 7 == 3) * 1_000 + n / 100 for n in range(31)]
    large = [n for n in range(31) if n % 7 == 3]
    policy: Any = Picky(*large)
    assert learn_what_fits(policy, numbered(sizes))[0].tolist() == large
    policy = Picky(*range(0, 31, 2))
    out = learn_what_fits(policy, numbered(sizes))[0].tolist()
    assert set(range(0, 31, 2)) <= set(out), "a bounded number of tries"


def test_days_are_learned_one_after_another() -> None:
    policy: Any = Picky(0, 3)
    out, _ = learn_what_fits(policy, numbered([9.0, 1.0, 2.0, 5.0, 1.0], days=[0, 0, 1, 1, 2]))
    assert out.tolist() == [0, 3]
    assert policy.taken == [[1], [2], [4]]


def test_a_list_that_grows_too_long_counts_by_place_and_size() -> None:
    state = build_policy("lin_ucb", {}, dimension=2).snapshot()
    refused = RefusedDecisions.of(state)
    day = 86_400_000
    for seq in range(1, MOST_NOTED + 101):
        refused.add(seq, until_ms=day * (1 + (seq > 50)) + seq, size=500.0 + seq)
    refused.close(0)
    noted = refused.noted_in(state)
    again = RefusedDecisions.of(noted)
    assert len(again) == MOST_NOTED
    assert again.ranges == [
        Range(1, 50, day + 50, 501.0),
        Range(51, 100, 2 * day + 100, 551.0),
    ]
    places = [1, 50, 50, 51, 51, 100, 101]
    sizes = np.array([501.0, 600.0, 10.0, 551.0, 550.0, 1e3, 1e3])
    assert again.covers(places, sizes).tolist() == [True, True, False, True, False, True, False]
    assert [seq in again for seq in (100, 101, MOST_NOTED + 100)] == [False, True, True]
    assert restore_policy(noted).snapshot().content_hash == state.content_hash
    again.close(day + 50)
    assert [one.first for one in again.ranges] == [51]
    again.close(3 * day + MOST_NOTED)
    assert again.noted_in(noted).content_hash == state.content_hash


@pytest.mark.parametrize("note", [{}, {"ranges": [["x", 1, 0, 0]], "noted": []}, 3, []])
def test_another_note_is_refused(note: Any) -> None:
    state = build_policy("lin_ucb", {}, dimension=2).snapshot()
    odd = replace(state, manifest={**state.manifest, "refused": note})
    with pytest.raises(SnapshotError, match="list refused decisions"):
        RefusedDecisions.of(odd)
