"""A learner that dies anywhere loses nothing, and of two learners one alone learns an arm."""

from typing import Any

import numpy as np
import pytest

from matinee_platform.learning.live_learner import MOST_UNREAD, LiveLearner, lease_name
from matinee_platform.learning.testing_live import (
    example_arm,
)
from matinee_platform.learning.testing_world import (
    Died,
    World,
)
from matinee_platform.storage.errors import LeaseLostError
from matinee_platform.storage.memory_log import MemoryReader
from matinee_policies.errors import ConfigError, SnapshotError


@pytest.mark.parametrize("seed", range(3))
def test_a_learner_that_dies_anywhere_is_caught_up_with(seed: int) -> None:
    rng = np.random.default_rng(seed)
    world = World(example_arm(), seed=seed)
    deaths = 0
    learner = world.learner()
    for _ in range(60):
        world.go_on(int(rng.integers(1, 10)))
        world.fuse.left = int(rng.integers(0, 40)) if rng.random() < 0.7 else None
        try:
            learner.advance()
        except Died:
            deaths += 1
            learner = world.learner()
    world.fuse.left = None
    world.clock.advance(seconds=1_000)
    assert learner.advance().is_new
    assert not learner.advance().is_new
    assert deaths > 15
    world.everything_is_learned_once()


def test_two_learners_never_learn_one_arm() -> None:
    world = World(example_arm(), seed=5)
    first, second = world.leases.of(), world.leases.of()
    name = lease_name("home", "new")
    assert name == "learner-home-new"
    assert first.acquire(name)
    assert not second.acquire(name)
    learners = [world.learner(lease=lease) for lease in (first, second)]
    world.go_on()
    assert learners[0].advance().is_new
    with pytest.raises(LeaseLostError, match="home/new is learned by another process"):
        learners[1].advance()
    # The first one stalls, loses the lease, and comes back in the middle of a step.
    first.release(name)
    assert second.acquire(name)
    world.go_on(seconds=100.0)
    assert learners[1].advance().is_new
    with pytest.raises(LeaseLostError):
        learners[0].advance()
    world.go_on(seconds=1_000.0)
    assert learners[1].advance().is_new
    world.everything_is_learned_once()


def test_a_lease_that_is_lost_in_the_middle_of_a_step_lets_no_barrier_through() -> None:
    world = World(example_arm(), seed=6)
    world.go_on()
    lease = world.leases.of()
    assert lease.acquire(lease_name("home", "new"))
    learner = world.learner(lease=lease)
    learner.advance()
    world.go_on(seconds=100.0)

    class Thief:
        """Loses the lease of others with the first rewards that are read."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            if name == "rewards_of":
                world.leases.holder.clear()
            return getattr(self._inner, name)

    robbed = LiveLearner(
        world.arm,
        reader=Thief(MemoryReader(world.log)),
        barriers=world.barriers,
        snapshots=world.snapshots,
        lease=lease,
        clock=world.clock,
    )
    kept = dict(world.snapshots.kept)
    with pytest.raises(LeaseLostError):
        robbed.advance()
    assert len(world.barriers.all("home", "new")) == 1
    assert world.snapshots.kept == kept


def test_of_two_that_race_past_the_lease_one_barrier_stands() -> None:
    world = World(example_arm(), seed=7)

    class Anybodys:
        """A lease that holds nobody back."""

        def acquire(self, name: str) -> bool:
            return True

        def held(self, name: str) -> bool:
            return True

        def release(self, name: str) -> None:
            return

    learners = [world.learner(lease=Anybodys()) for _ in range(2)]
    world.go_on()
    learners[0].advance()
    world.go_on(seconds=100.0)
    # The second one read the last barrier before the first one made the next.
    stale = world.barriers.last("home", "new")
    assert learners[0].advance().is_new
    learners[1]._barriers.last = lambda *_: stale  # type: ignore[method-assign]
    with pytest.raises(LeaseLostError, match="version 1 is there already"):
        learners[1].advance()


def test_a_snapshot_that_is_not_the_one_of_its_barrier_is_refused() -> None:
    world = World(example_arm(), seed=8)
    world.go_on()
    world.learner().advance()
    world.go_on(seconds=100.0)
    world.learner().advance()
    world.snapshots.kept["home", "new", 1] = world.arm.genesis
    with pytest.raises(SnapshotError, match="snapshot 1 of home/new must be"):
        world.learner().advance()


def test_another_bundle_under_the_same_arm_is_refused() -> None:
    world = World(example_arm(), seed=9)
    world.go_on()
    world.learner().advance()
    world.go_on(seconds=100.0)
    world.arm = example_arm("lin_ucb", {"alpha": 0.9})
    with pytest.raises(ConfigError, match="another state needs another arm"):
        world.learner().advance()


def test_long_silence_of_an_arm_still_moves_its_barrier() -> None:
    world = World(example_arm(), seed=10)
    learner = world.learner()
    first = learner.advance().barrier
    world.clock.advance(seconds=10)
    assert not learner.advance().is_new
    world.log.known.last_seq += MOST_UNREAD + 1
    moved = learner.advance()
    assert moved.is_new
    assert moved.barrier.seq == MOST_UNREAD + 1
    assert moved.barrier.snapshot_hash == first.snapshot_hash


def test_the_clock_of_the_server_may_step_back() -> None:
    world = World(example_arm(), seed=11)
    learner = world.learner()
    for step in (30, 90, -60, 20, 200, -60, 60, 1_000):
        world.go_on(seconds=0.0)
        world.clock._now_ms += 1_000 * step
        learner.advance()
    world.clock.advance(seconds=1_000)
    learner.advance()
    barriers = world.barriers.all("home", "new")
    times = [one.time_ms for one in barriers]
    assert times == sorted(times)
    world.everything_is_learned_once()
