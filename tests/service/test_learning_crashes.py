"""A learner that dies anywhere loses nothing, and of two learners one alone learns an arm."""

import asyncio
from typing import Any

import numpy as np
import pytest

from matinee_platform.clock import FakeClock
from matinee_platform.learning.learner_loop import ArmPlan, LearnerLoop
from matinee_platform.learning.learner_status import (
    ArmStatus,
    LearnerStatus,
    read_status,
    write_status,
)
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_learner import MOST_UNREAD, LiveLearner, lease_name
from matinee_platform.learning.replay_arm import replay_live_arm
from matinee_platform.learning.testing_live import (
    ExampleTraffic,
    MemoryBarriers,
    MemoryLeases,
    MemorySnapshots,
    example_arm,
)
from matinee_platform.storage.errors import LeaseLostError, LogUnavailableError
from matinee_platform.storage.memory_log import MemoryAppender, MemoryLog, MemoryReader
from matinee_platform.storage.records import ServedBy
from matinee_policies.errors import ConfigError, SnapshotError


class Died(BaseException):
    """Nothing in the learner may catch this, as nothing catches kill -9."""


class Fragile:
    """Passes calls on until it dies, before or after a call took effect."""

    def __init__(self, inner: Any, fuse: "Fuse") -> None:
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*args: Any, **options: Any) -> Any:
            self._fuse.burn()
            answer = method(*args, **options)
            self._fuse.burn()
            return answer

        return call


class Fuse:
    """Burns down with each call; `left` is None for one that does not burn."""

    def __init__(self) -> None:
        self.left: int | None = None

    def burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Died


class World:
    """Log, stores and traffic of one arm."""

    def __init__(self, arm: LearningArm, *, seed: int) -> None:
        self.arm, self.clock = arm, FakeClock()
        self.log, self.barriers = MemoryLog(), MemoryBarriers()
        self.snapshots, self.leases = MemorySnapshots(), MemoryLeases()
        self.traffic = ExampleTraffic(arm, clock=self.clock, seed=seed)
        self.fuse = Fuse()
        self._appender = MemoryAppender(self.log, windows=lambda _: arm.windows_ms)

    def learner(self, *, lease: Any = None) -> LiveLearner:
        """A learner in a process of its own; it holds the lease unless it is given another."""
        if lease is None:
            self.leases.holder.clear()
            lease = self.leases.of()
            assert lease.acquire(lease_name(self.arm.experiment, self.arm.name))
        return LiveLearner(
            self.arm,
            reader=Fragile(MemoryReader(self.log), self.fuse),
            barriers=Fragile(self.barriers, self.fuse),
            snapshots=Fragile(self.snapshots, self.fuse),
            lease=lease,
            clock=self.clock,
        )

    def go_on(self, n: int = 5, *, seconds: float = 20.0) -> None:
        """Some traffic, and time."""

        async def append() -> None:
            for record in self.traffic.decide(n):
                await self._appender.append_decision(record)
            await self._appender.append_rewards(self.traffic.rewards(2 * n))

        asyncio.run(append())
        self.clock.advance(seconds=seconds)

    def everything_is_learned_once(self) -> None:
        """Every window is closed: rows count each item shown once, and replay gives the same."""
        rows = [
            np.frombuffer(one.record.slate, dtype=np.int32)
            for one in self.log.decisions
            if one.record.served_by != ServedBy.FALLBACK
        ]
        items = sum(int((slate >= 0).sum()) for slate in rows)
        last = self.barriers.last("home", "new")
        assert last is not None
        state = self.snapshots.load("home", "new", last.version)
        assert state.content_hash == last.snapshot_hash
        assert state.manifest["rows"] == items
        found = replay_live_arm(
            self.arm,
            reader=MemoryReader(self.log),
            barriers=self.barriers,
            snapshots=self.snapshots,
        )
        assert found.passed, found


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


def _loop(world: World, lease: Any, told: list[LearnerStatus], **faults: Any) -> LearnerLoop:
    def make(arm: LearningArm, _: Any) -> LiveLearner:
        return LiveLearner(
            arm,
            reader=faults.get("reader", MemoryReader(world.log)),
            barriers=world.barriers,
            snapshots=world.snapshots,
            lease=lease,
            clock=world.clock,
        )

    return LearnerLoop(
        plans=faults.get("plans", lambda: [ArmPlan("home", "new", lambda: world.arm)]),
        make=make,
        leases=lease,
        report=told.append,
        clock=world.clock,
        now=faults.get("now", lambda: world.clock.now_ms() / 1_000.0),
    )


def test_a_loop_takes_over_when_the_other_one_is_gone() -> None:
    world = World(example_arm(), seed=12)
    told: list[LearnerStatus] = []
    leases = [world.leases.of() for _ in range(2)]
    loops = [_loop(world, lease, told) for lease in leases]
    world.go_on()
    (arm,) = loops[0].look().arms
    assert (arm.state, arm.version) == ("learning", 0)
    (arm,) = loops[1].look().arms
    assert (arm.state, arm.version) == ("waiting", -1)
    world.go_on(seconds=1_000.0)
    (arm,) = loops[0].look().arms
    assert arm.version == 1
    assert set(arm.learned) == {"engagement", "rating", "return_visit"}
    assert arm.caught_up_ms == world.clock.now_ms() - 1_000
    assert arm.delay_seconds == pytest.approx(1_020.0 - 30.0, abs=20.0)
    assert arm.events["click"]["joined"] > 0
    loops[0].release()
    world.go_on(seconds=1_000.0)
    (arm,) = loops[1].look().arms
    assert (arm.state, arm.version) == ("learning", 2)
    world.everything_is_learned_once()


def test_an_arm_that_fails_holds_up_no_other_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(example_arm(), seed=13)
    told: list[LearnerStatus] = []
    broken, now = [True], [0.0]

    def load() -> LearningArm:
        if broken[0]:
            raise ConfigError("its bundle is not there")
        return example_arm(name="other")

    plans = [ArmPlan("home", "other", load), ArmPlan("home", "new", lambda: world.arm)]
    loop = _loop(world, world.leases.of(), told, plans=lambda: plans, now=lambda: now[0])
    new, other = loop.look().arms
    assert (new.state, new.version) == ("learning", 0)
    assert (other.state, other.reason) == ("failed", "its bundle is not there")
    (line,) = caplog.records
    assert line.getMessage() == (
        "home/other cannot be learned, next try in 1 s: its bundle is not there"
    )
    assert line.exc_info is None, "one line says it all"
    broken[0] = False
    now[0] += 0.5
    world.clock.advance(seconds=3_600.0)
    assert loop.look().arms[1].state == "failed", "it is left alone for a second"
    now[0] += 1.0
    assert loop.look().arms[1].state == "learning"
    plans.pop()
    assert [one.arm for one in loop.look().arms] == ["other"]
    assert world.leases.holder.keys() == {"learner-home-other"}


def test_events_that_reach_the_log_after_their_lesson_are_counted() -> None:
    world, now = World(example_arm(), seed=15), [0.0]
    told: list[LearnerStatus] = []
    loop = _loop(world, world.leases.of(), told, now=lambda: now[0])
    loop.look()
    appender = MemoryAppender(world.log, windows=lambda _: world.arm.windows_ms)
    made = [one for one in world.traffic.decide(40) if one.served_by == ServedBy.POLICY]
    missed, known, other = made[:3]
    for record in (missed, known, other):
        asyncio.run(appender.append_decision(record))
    world.clock.advance(seconds=1.0)
    reward = world.traffic.reward
    asyncio.run(appender.append_rewards([reward(known.decision_id, component=0, slot=0)]))
    # Received in their windows, these wait in a spool.
    waiting = [
        reward(missed.decision_id, component=0, slot=0),
        reward(missed.decision_id, component=0, slot=0),
        reward(missed.decision_id, component=2, slot=1),
        reward(known.decision_id, component=0, slot=0),
    ]
    world.clock.advance(seconds=max(world.arm.windows_ms) / 1_000 + 5.0)
    (arm,) = loop.look().arms
    assert arm.events["click"] == {
        "joined": 1,
        "late": 0,
        "duplicate": 0,
        "orphan": 0,
        "early": 0,
        "unlearned": 0,
    }
    late = reward(other.decision_id, component=0, slot=0)
    asyncio.run(appender.append_rewards([*waiting, late]))
    for _ in range(3):
        # Each is counted once, however often the learner looks, and whatever it learns besides.
        (arm,) = loop.look().arms
        assert (arm.events["click"]["joined"], arm.events["click"]["unlearned"]) == (1, 1)
        assert {name: one["unlearned"] for name, one in arm.events.items() if name != "click"} == {
            "watch": 0,
            "rating": 1,
            "return_visit": 0,
        }
        world.clock.advance(seconds=1_000.0)
    world.go_on(seconds=2_000.0)
    (arm,) = loop.look().arms
    assert arm.version == 2
    assert arm.events["rating"]["unlearned"] == 1
    world.everything_is_learned_once()


def test_a_database_that_is_away_is_waited_for() -> None:
    world = World(example_arm(), seed=14)

    class Away(MemoryReader):
        away = False

        def last_seq(self) -> int:
            if self.away:
                raise LogUnavailableError("the database is away")
            return super().last_seq()

    reader = Away(world.log)
    loop = _loop(world, world.leases.of(), [], reader=reader)
    loop.look()
    reader.away = True
    world.go_on(seconds=1_000.0)
    before = loop.look().arms[0]
    assert (before.state, before.reason) == ("failed", "the database is away")
    reader.away = False
    world.clock.advance(seconds=2)
    assert loop.look().arms[0].version == 1
    world.everything_is_learned_once()


def test_status_makes_the_way_through_its_file(tmp_path: Any) -> None:
    path = tmp_path / "learner.json"
    assert read_status(path) is None
    arm = ArmStatus(experiment="home", arm="new", events={"click": {"joined": 3}})
    status = LearnerStatus(process=7, beat_ms=8, beats=9, arms=(arm,))
    write_status(path, status)
    assert read_status(path) == status
    path.write_text("{")
    assert read_status(path) is None
    assert [one.name for one in tmp_path.iterdir()] == ["learner.json"]
