"""R7 and R8: what was learned live is learned again from the log, and decided again."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from matinee_platform.clock import FakeClock
from matinee_platform.commands.replay import service_line
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_contexts import CallerContexts
from matinee_platform.learning.live_learner import LiveLearner
from matinee_platform.learning.replay_arm import LiveReplay, replay_live_arm
from matinee_platform.learning.testing_live import (
    ExampleTraffic,
    MemoryBarriers,
    MemoryLeases,
    MemorySnapshots,
    example_arm,
)
from matinee_platform.serving.given_features import given_contexts
from matinee_platform.storage.memory_log import MemoryAppender, MemoryLog, MemoryReader
from matinee_platform.storage.records import ServedBy
from matinee_policies.registry import build_policy
from matinee_policies.snapshot import Snapshot

DECISIONS = 1_000


class Service:
    """An arm that decides, is rewarded and learns, in one thread of time."""

    def __init__(self, arm: LearningArm, *, seed: int = 0) -> None:
        self.arm = arm
        self.clock = FakeClock()
        self.log = MemoryLog()
        self.barriers, self.snapshots, self.leases = (
            MemoryBarriers(),
            MemorySnapshots(),
            MemoryLeases(),
        )
        self.traffic = ExampleTraffic(arm, clock=self.clock, seed=seed)
        self._appender = MemoryAppender(self.log, windows=lambda _: arm.windows_ms)
        self.learner = self.new_learner()

    def new_learner(self) -> LiveLearner:
        """A learner in a new process; the one before is dead."""
        self.leases.holder.clear()
        lease = self.leases.of()
        learner = LiveLearner(
            self.arm,
            reader=MemoryReader(self.log),
            barriers=self.barriers,
            snapshots=self.snapshots,
            lease=lease,
            clock=self.clock,
        )
        assert lease.acquire(learner.lease_name)
        return learner

    def serve(self, decisions: int, *, restart: float = 0.1) -> None:
        """Take decisions and rewards, learn now and then, swap some time later."""
        asyncio.run(self._serve(decisions, restart=restart))

    def replay(self) -> LiveReplay:
        """Replay the arm from its log."""
        return replay_live_arm(
            self.arm,
            reader=MemoryReader(self.log),
            barriers=self.barriers,
            snapshots=self.snapshots,
        )

    async def _serve(self, decisions: int, *, restart: float) -> None:
        rng = np.random.default_rng(1)
        done = 0
        while done < decisions:
            n = min(int(rng.integers(1, 40)), decisions - done)
            for record in self.traffic.decide(n):
                await self._appender.append_decision(record)
            done += n
            await self._appender.append_rewards(self.traffic.rewards(2 * n))
            self.clock.advance(seconds=float(rng.uniform(0.5, 30.0)))
            if rng.random() < restart:
                self.learner = self.new_learner()
            if rng.random() < 0.7:
                self.learner.advance()
            last = self.barriers.last(self.arm.experiment, self.arm.name)
            if last is not None and rng.random() < 0.6:
                state = self.snapshots.load(last.experiment, last.arm, last.version)
                self.traffic.swap(last.version, state)


BASES = [
    {"kind": "lin_ucb", "weight": 0.6, "policy": {"alpha": 0.3}},
    {"kind": "epsilon_greedy", "weight": 0.4, "policy": {"epsilon": 0.2}},
]
POLICIES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "lin_ucb": ("lin_ucb", {"diversity": 0.1}),
    "lin_ucb_disjoint": ("lin_ucb", {"form": "disjoint"}),
    "epsilon_greedy": ("epsilon_greedy", {"diversity": 0.1}),
    "thompson": ("thompson", {}),
    "logistic": ("logistic", {}),
    "square_cb": ("square_cb", {}),
    "linear_softmax": ("linear_softmax", {}),
    "discounted_lin_ucb": ("discounted_lin_ucb", {}),
    "sliding_window_lin_ucb": ("sliding_window_lin_ucb", {}),
    "vw_epsilon": ("vowpal_wabbit", {"exploration": "epsilon", "bits": 10}),
    "vw_squarecb": ("vowpal_wabbit", {"exploration": "squarecb", "bits": 10}),
    "vw_softmax": ("vowpal_wabbit", {"exploration": "softmax", "bits": 10}),
    "mixture": ("mixture", {"bases": BASES}),
    "corral": ("corral", {"bases": [{"kind": one["kind"]} for one in BASES]}),
    "vw_per_slot": ("vowpal_wabbit_per_slot", {}),
    "score_order": ("score_order", {"epsilon": 0.2}),
}


# The others at a smaller size: what they learn takes long, or is that of one of these.
IN_FULL = ("lin_ucb", "epsilon_greedy", "thompson", "logistic", "vw_squarecb", "mixture")


@pytest.mark.parametrize("name", POLICIES)
def test_every_barrier_and_every_decision_comes_out_again(name: str) -> None:
    kind, config = POLICIES[name]
    changes: dict[str, Any] = {}
    if name in ("logistic", "corral"):
        # They learn rewards within 0 and 1 alone.
        plain = example_arm().rewards.model_copy(update={})
        changes["rewards"] = plain.within(0)
    service = Service(example_arm(kind, config, **changes))
    service.arm.check()
    decisions = DECISIONS if name in IN_FULL else DECISIONS // 5
    service.serve(decisions)
    found = service.replay()
    fallbacks = sum(one.record.served_by != ServedBy.POLICY for one in service.log.decisions)
    assert found.passed, found
    assert found.decisions == found.equal_decisions == decisions - fallbacks
    assert found.other_decisions == fallbacks > 0
    assert found.features_compared > 5
    if service.arm.learns(service.traffic.policy):
        assert found.barriers > decisions / 50
        assert len({one.record.snapshot for one in service.log.decisions}) > 2
    else:
        assert found.barriers == 1


@pytest.mark.parametrize("diversity", [0.0, 0.2])
def test_features_that_callers_gave_are_taken_from_the_log(diversity: float) -> None:
    policy = build_policy("lin_ucb", {"diversity": diversity}, dimension=6)
    contexts = CallerContexts(given_contexts(policy, dimension=6))
    arm = example_arm(
        "lin_ucb", {"diversity": diversity}, genesis=policy.snapshot(), contexts=contexts
    )
    service = Service(arm)
    service.serve(300)
    found = service.replay()
    assert found.passed, found
    assert found.barriers > 5
    assert found.equal_decisions > 250


def test_an_apprentice_learns_from_the_default_order() -> None:
    service = Service(example_arm(learning="apprentice"))
    service.serve(300)
    found = service.replay()
    assert found.passed
    assert found.decisions == 0
    assert found.other_decisions == 300
    assert found.barriers > 5
    state = service.snapshots.load("home", "new", found.barriers - 1)
    assert state.manifest["rows"] > 0


def test_a_changed_row_is_found_out() -> None:
    service = Service(example_arm())
    service.serve(300, restart=0.0)
    assert service.replay().passed
    rows = service.log.decisions
    at = next(n for n in range(100, 300) if rows[n].record.served_by == ServedBy.POLICY)
    record = rows[at].record
    doubled = np.frombuffer(record.propensities) * 0.5
    rows[at] = replace(rows[at], record=replace(record, propensities=doubled.tobytes()))
    found = service.replay()
    assert not found.passed
    assert found.equal_decisions == found.decisions - 1
    assert found.first_unequal_decision == f"{record.decision_id:016x}"
    assert found.equal == found.barriers, "lin_ucb does not weigh by propensities"


def test_a_lost_reward_is_found_out() -> None:
    service = Service(example_arm())
    service.serve(300, restart=0.0)
    joined = [n for n, one in enumerate(service.log.rewards) if one.record.component == 1]
    del service.log.rewards[joined[20]]
    found = service.replay()
    # It may have been a double, or late: then nothing depends on it.
    for n in range(21, 40):
        if not found.passed:
            break
        del service.log.rewards[joined[n] - (n - 20)]
        found = service.replay()
    assert not found.passed
    assert found.first_unequal is not None


def test_rows_that_were_removed_before_the_next_barrier_are_told_of() -> None:
    service = Service(example_arm())
    service.serve(400)
    assert not service.replay().rows_removed
    service.barriers.due.add(("home", "new"))
    del service.log.decisions[:100]
    found = service.replay()
    assert not found.passed
    assert found.rows_removed
    assert "were removed since" in service_line(found)
    service.clock.advance(seconds=60)
    service.learner.advance()
    found = service.replay()
    assert found.passed
    assert "removed" not in service_line(found)


def test_replay_starts_at_the_last_genesis() -> None:
    service = Service(example_arm())
    service.serve(400)
    service.barriers.due.add(("home", "new"))
    first = service.barriers.last("home", "new")
    service.learner.advance()
    genesis = service.barriers.last("home", "new")
    assert first is not None
    assert genesis is not None
    assert genesis.genesis
    assert genesis.version == first.version + 1
    service.serve(400)
    # What lies before may go: the rows whose windows had closed, and the snapshots.
    closed = genesis.time_ms - max(service.arm.windows_ms)
    gone = {
        one.record.decision_id for one in service.log.decisions if one.record.decided_at <= closed
    }
    service.log.decisions[:] = [
        one for one in service.log.decisions if one.record.decision_id not in gone
    ]
    service.log.rewards[:] = [
        one for one in service.log.rewards if one.record.decision_id not in gone
    ]
    found = service.replay()
    assert found.passed
    assert found.genesis == genesis.version
    assert found.unknown_states == 0
    service.snapshots.delete("home", "new", range(genesis.version))
    found = service.replay()
    assert found.passed
    service.snapshots.kept["home", "new", genesis.version] = _forged(service.arm)
    assert not service.replay().passed


def _forged(arm: LearningArm) -> Snapshot:
    return arm.genesis
