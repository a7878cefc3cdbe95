"""The parts of a drive, each alone: schedule, comparison, asks to the learner, order of lessons."""

import asyncio
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import Engine

from matinee_platform.clock import FakeClock
from matinee_platform.drive.arm_users import ArmUsers
from matinee_platform.drive.compare import ArmDay, Comparison, compare_snapshots
from matinee_platform.drive.pace import Pace
from matinee_platform.drive.plan import drive_plan
from matinee_platform.drive.service_calls import Slates
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.errors import LifecycleError
from matinee_platform.experiments.lifecycle import State, StoredExperiment, create, start, stop
from matinee_platform.learning.learning_arm import LiveLesson
from matinee_platform.learning.lesson_order import in_turn
from matinee_platform.learning.live_learner import LiveLearner
from matinee_platform.learning.live_outcomes import DayCount
from matinee_platform.learning.testing_live import (
    ExampleTraffic,
    MemoryBarriers,
    MemoryLeases,
    MemorySnapshots,
    example_arm,
)
from matinee_platform.lessons import Lesson
from matinee_platform.offline.run import run_experiment
from matinee_platform.service.app import create_app
from matinee_platform.service.learn_until import LearnUntil
from matinee_platform.service.log_lines import service_log
from matinee_platform.service.testing_parts import Bench
from matinee_platform.serving.asks import Ask, Decided
from matinee_platform.serving.past_units import PastUnits
from matinee_platform.settings import parse_settings
from matinee_platform.storage.control_database import control_url, open_engine, upgrade
from matinee_platform.storage.learning_asks import SqlLearningAsks
from matinee_platform.storage.memory_log import MemoryAppender, MemoryLog, MemoryReader
from matinee_platform.storage.records import LoggedDecision
from matinee_platform.storage.testing_control import example_experiment
from matinee_policies.errors import ConfigError, DataError

DAY_MS = 86_400_000


class Sleeper:
    """A clock that sleeping moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_schedule_does_not_wait_for_the_service() -> None:
    clock = Sleeper()
    pace = Pace(rate=10.0, speed=0.5, now=lambda: clock.now, sleep=clock.sleep)

    async def ask() -> None:
        begun = []
        for took in (0.0, 5.0, 0.0, 0.0):
            await pace.pages(10)
            begun.append(clock.now)
            clock.now += took
        # Due at 100, 101, 102 and 103: the second took until 106, and nothing waits after it.
        assert begun == [100.0, 101.0, 106.0, 106.0]
        assert pace.behind == 4.0
        await pace.day(4)
        assert clock.now == 108.0

    asyncio.run(ask())
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="--rate must be > 0"):
            Pace(rate=wrong)
        with pytest.raises(ConfigError, match="--speed must be > 0"):
            Pace(speed=wrong)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, small_data: str) -> Path:
    folder = tmp_path_factory.mktemp("small") / "run"
    arms = [{"name": "soft", "policy": {"kind": "softmax", "temperature": 0.3}}]
    values = {"name": "small", "users": 12, "days": 2, "slots": 4, "candidates": 20, "arms": arms}
    settings = parse_settings({**values, "data": small_data, "world": {"arrival_days": 1}})
    run_experiment(settings, folder, workers=1)
    return folder


def test_a_comparison_sees_every_difference(small: Path) -> None:
    """What the run itself logged is equal to it, and any one change of it is not."""
    from matinee_platform.decision_log import read_parts
    from matinee_platform.log_schema import column_values

    parts = [column_values(one) for one in read_parts(small, "decisions", "soft", day=0)]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ids = rows["decision_id"].astype(np.uint64)

    def answered() -> Slates:
        slates = Slates(ids.size, 4)
        slates.answered[:] = True
        slates.items[:], slates.propensities[:] = rows["slate"], rows["propensities"]
        slates.snapshots[:] = rows["snapshot"]
        return slates

    def compared(slates: Slates, wanted: Any = ids) -> Comparison:
        found = Comparison()
        day = ArmDay(small, "soft", 0, found)
        day.hold(wanted, slates)
        day.close()
        return found

    same = compared(answered())
    assert (same.equal, same.differs) == (ids.size, False)
    other = answered()
    other.propensities[1, 2] = np.nextafter(other.propensities[1, 2], 2.0)
    other.items[2, :2] = other.items[2, 1::-1]
    other.snapshots[3] += 1
    other.answered[4] = False
    found = compared(other)
    assert found.unequal == {"propensities": 1, "slate": 1, "snapshot": 1}
    assert (found.equal, found.missing) == (ids.size - 4, 1)
    assert found.first == f"propensities: decision {ids[1]:016x}, soft, day 0"
    strange = ids.copy()
    strange[0] += np.uint64(1)
    assert compared(answered(), strange).unequal == {"of no decision of the run": 1}
    assert Comparison.from_json(found.to_json()) == found
    compare_snapshots(found, {"soft": (1, "b")}, {"soft": ["a", "b"]})
    compare_snapshots(found, {"soft": (1, "c")}, {"soft": ["a", "b"]})
    compare_snapshots(found, {"soft": (2, "b")}, {"soft": ["a", "b"]})
    assert (found.snapshots, found.unequal_snapshots) == (3, ["soft/1", "soft/2"])


def test_users_take_up_where_they_were(small: Path) -> None:
    plan = drive_plan(small)
    first, second = ArmUsers(plan, 0), ArmUsers(plan, 0)
    slates = np.tile(np.arange(4, dtype=np.int32), (12, 1))

    def day(users: ArmUsers, number: int) -> list[Any]:
        active = users.begin_day(number)
        told: list[Any] = users.returns(active, number)
        for block in users.blocks(active, number):
            ask = users.ask(block, day=number, page=0)
            done, _ = users.see(ask, slates[: block.size])
            told += done
        return told + users.end_day(number)

    day(first, 0)
    second.restore({name: array.copy() for name, array in first.arrays().items()}, next_day=1)
    told = day(first, 1)
    assert day(second, 1) == told
    assert any(one.component == "return_visit" for one in told)
    with pytest.raises(DataError):
        ArmUsers(drive_plan(small, users=6), 0).restore(first.arrays(), next_day=1)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"users": 13}, "--users must be within 1"),
        ({"bundles": {"none": "x"}}, "--bundle must name an arm of the run, got 'none'"),
        ({"key": "No Key"}, "this run makes no live experiment: key"),
    ],
)
def test_what_cannot_be_driven(changes: dict[str, Any], rule: str, small: Path) -> None:
    with pytest.raises(ConfigError, match=rule):
        drive_plan(small, **changes)


def test_past_ratings_by_unit() -> None:
    rng = np.random.default_rng(1)
    pseudonyms = rng.integers(2**64, size=20, dtype=np.uint64)
    owners = rng.integers(19, size=100).astype(np.int32)
    items = rng.integers(30, size=100).astype(np.int32)
    ratings, ages = rng.random(100).astype(np.float32), rng.random(100)
    past = PastUnits.of(pseudonyms, owners, items, ratings, ages)
    for number, unit in enumerate(pseudonyms.tolist()):
        own = past.ratings_of(unit)
        mine = owners == number
        assert past.items[own].tolist() == items[mine].tolist()
        assert past.age_days[own].tolist() == ages[mine].tolist()
    for stranger in (0, 2**64 - 1):
        assert past.items[past.ratings_of(stranger)].size == 0


def test_simulated_users_live_once() -> None:
    mark = {"run": "demo", "seed": 1}
    definition = LiveExperiment.model_validate(
        {**example_experiment().model_dump(), "simulated": mark}
    )
    made = create(definition, exists=False, salts={}, now_ms=10)
    begun = start(made, running=[], salts={}, now_ms=20)
    assert begun.started_at == 1_577_836_800_000
    assert begun.changed_at == 20
    ended = stop(begun, now_ms=30)
    with pytest.raises(LifecycleError, match="would live their first day twice"):
        start(ended, running=[], salts={}, salt="other", now_ms=40)


def test_later_lessons_of_simulated_users_come_by_day() -> None:
    """As in an offline run: the older day first, and the lessons of a day as they are given."""
    arm = example_arm()
    clock = FakeClock(10 * DAY_MS)
    drafts = ExampleTraffic(arm, clock=clock).decide(6)
    rows = [
        LoggedDecision(seq, replace(one, decided_at=day * DAY_MS))
        for seq, (one, day) in enumerate(zip(drafts, (0, 0, 1, 1, 0, 2), strict=True))
    ]
    lessons = [
        LiveLesson(Lesson((name,), 0, first=name == "engagement"), 0)
        for name in ("engagement", "rating", "return_visit")
    ]
    closed = {"engagement": rows, "rating": rows[2:], "return_visit": rows[:3]}

    def taken(days: DayCount | None) -> list[tuple[str, list[int]]]:
        found = in_turn(lessons, lambda one: closed[one.lesson.component], days=days)
        return [(one.lesson.component, [row.seq for row in some]) for one, some in found]

    assert taken(None) == [
        ("engagement", [0, 1, 2, 3, 4, 5]),
        ("rating", [2, 3, 4, 5]),
        ("return_visit", [0, 1, 2]),
    ]
    assert taken(DayCount(0)) == [
        ("engagement", [0, 1, 2, 3, 4, 5]),
        ("rating", [4]),
        ("return_visit", [0, 1]),
        ("rating", [2, 3]),
        ("return_visit", [2]),
        ("rating", [5]),
    ]


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    database = "sqlite"
    if request.param == "postgresql":
        database = request.getfixturevalue("new_postgres_database")()
    url = control_url(tmp_path, database)
    upgrade(url)
    opened = open_engine(url)
    yield opened
    opened.dispose()


def test_asks_to_the_learner_never_go_back(engine: Engine) -> None:
    asks = SqlLearningAsks(engine)
    assert (asks.any_open(), asks.now_ms("home"), asks.asked("home", "new")) == (False, None, None)
    asks.ask("home", ["new", "old"], 1_000)
    asks.ask("home", ["new"], 3_000)
    asks.ask("home", ["new"], 2_000)
    assert [(one.arm, one.asked_ms) for one in asks.of("home")] == [("new", 3_000), ("old", 1_000)]
    assert asks.now_ms("home") == 3_000
    assert asks.asked("home", "new") == 3_000
    asks.reach("home", "new", 3_000)
    asks.reach("home", "new", 2_500)
    assert [one.reached_ms for one in asks.of("home")] == [3_000, None]
    assert asks.asked("home", "new") is None
    assert asks.any_open()
    asks.reach("home", "old", 1_000)
    assert not asks.any_open()


class HeldAsks:
    """Asks in memory."""

    def __init__(self) -> None:
        self.open: int | None = None
        self.reached: list[int] = []

    def asked(self, experiment: str, arm: str) -> int | None:
        return self.open

    def reach(self, experiment: str, arm: str, time_ms: int) -> None:
        self.reached.append(time_ms)
        self.open = None


def test_a_simulated_arm_learns_when_it_is_asked_and_by_its_own_time() -> None:
    """Whatever the clock says; the arm's lag is none as long as nothing is asked."""
    arm = example_arm(simulated_start_ms=5 * DAY_MS)
    log, clock, asks = MemoryLog(), FakeClock(5 * DAY_MS + 1_000), HeldAsks()
    appender = MemoryAppender(log, windows=lambda key: arm.windows_ms)
    traffic = ExampleTraffic(arm, clock=clock)
    for record in traffic.decide(30):
        asyncio.run(appender.append_decision(record))
    leases = MemoryLeases().of()
    real = FakeClock(900 * DAY_MS)
    learner = LiveLearner(
        arm,
        reader=MemoryReader(log),
        barriers=MemoryBarriers(),
        snapshots=MemorySnapshots(),
        lease=leases,
        clock=real,
        asks=asks,
    )
    leases.acquire(learner.lease_name)
    begun = learner.advance()
    assert (begun.barrier.version, begun.barrier.time_ms) == (0, 5 * DAY_MS)
    idle = learner.advance()
    assert (idle.is_new, idle.caught_up_ms) == (False, real.now_ms())
    asks.open = 5 * DAY_MS + 1_000
    assert not learner.advance().is_new
    asks.open = 6 * DAY_MS
    learned = learner.advance()
    assert (learned.barrier.version, learned.barrier.time_ms) == (1, 6 * DAY_MS)
    assert learned.step is not None
    assert learned.step.learned["engagement"] > 20
    assert asks.reached == [5 * DAY_MS + 1_000, 6 * DAY_MS]
    assert learned.caught_up_ms == real.now_ms()


def test_learning_that_takes_long_is_told_not_to_be_there_yet(tmp_path: Path) -> None:
    url = control_url(tmp_path, "sqlite")
    upgrade(url)
    engine = open_engine(url)
    asks = SqlLearningAsks(engine)
    mark = {"run": "demo", "seed": 1, "start_ms": 946_684_800_000}
    definition = LiveExperiment.model_validate(
        {**example_experiment().model_dump(), "simulated": mark}
    )
    stored = StoredExperiment(
        definition=definition, state=State.RUNNING, version=2, created_at=0, changed_at=0
    )
    served: list[str] = []

    async def take_up(key: str) -> None:
        served.append(key)

    barriers = MemoryBarriers()
    until = LearnUntil(
        lambda key: stored, asks=asks, barriers=barriers, take_up=take_up, wait_seconds=0.05
    )
    at = 946_684_800_000 + DAY_MS
    key, names = definition.key, [arm.name for arm in definition.arms]
    waiting = asyncio.run(until(key, at))
    assert {(one.reached, one.version) for one in waiting} == {(False, -1)}
    assert served == []
    for name in names:
        asks.reach(key, name, at)
    assert all(one.reached for one in asyncio.run(until(key, at)))
    assert served == [key]
    engine.dispose()


def test_the_log_has_a_batch_in_the_order_of_its_request(bench: Bench) -> None:
    """Whichever of its slates was chosen first."""

    class Reversed:
        """Chooses what was asked last first."""

        def __init__(self) -> None:
            self._asked = 0

        async def decide(self, ask: Ask) -> Decided:
            self._asked += 1
            for _ in range(20 - self._asked):
                await asyncio.sleep(0)
            return await bench.runtime.decide(ask)

        async def answer(self, record: Any) -> Decided:
            return await bench.runtime.answer(record)

    parts = replace(bench.parts(), runtime=Reversed())
    app = create_app(bench.settings, clock=bench.clock, parts=parts, log=service_log(StringIO()))
    decisions = [
        {"experiment": "home", "unit": f"user {n}", "decision_id": f"{n:016x}"} for n in range(1, 9)
    ]

    async def ask() -> httpx.Response:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:8400"
            ) as client:
                return await client.post("/v1/decisions:batch", json={"decisions": decisions})

    answer = asyncio.run(ask())
    assert [one["status"] for one in answer.json()["results"]] == [200] * 8
    assert [one.record.decision_id for one in bench.log.decisions] == list(range(1, 9))
