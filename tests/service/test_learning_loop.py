"""The loop over arms: it takes over, waits, goes past an arm that fails, and tells how it is."""

import asyncio
from typing import Any

import pytest

from matinee_platform.learning.learner_loop import ArmPlan, LearnerLoop
from matinee_platform.learning.learner_status import (
    ArmStatus,
    LearnerStatus,
    read_status,
    write_status,
)
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_learner import LiveLearner
from matinee_platform.learning.testing_live import (
    example_arm,
)
from matinee_platform.learning.testing_world import (
    World,
)
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.memory_log import MemoryAppender, MemoryReader
from matinee_platform.storage.records import ServedBy
from matinee_policies.errors import ConfigError


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


def test_an_arm_that_cannot_be_loaded_here_is_learned_elsewhere() -> None:
    world = World(example_arm(), seed=13)
    told: list[LearnerStatus] = []

    def load() -> LearningArm:
        raise ConfigError("its bundle is not there")

    here = _loop(world, world.leases.of(), told, plans=lambda: [ArmPlan("home", "new", load)])
    there = _loop(world, world.leases.of(), told)
    assert here.look().arms[0].state == "failed"
    assert world.leases.holder == {}
    assert there.look().arms[0].state == "learning"


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
