"""However units are read, published and forgotten, their state is that of a full fold."""

import asyncio
import random
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from matinee_platform.plays import PlayScale
from matinee_platform.serving import unit_fold, unit_memory
from matinee_platform.serving.publishing import publish
from matinee_platform.serving.testing_log import TestingLog
from matinee_platform.serving.unit_fold import DAY_MS, Unit, UnitFold
from matinee_platform.serving.unit_memory import EarlyRewards, UnitMemory
from matinee_platform.serving.unit_reads import UnitReads, read_unit
from matinee_platform.storage.errors import LogBusyError
from matinee_platform.storage.records import (
    DecisionRecord,
    LoggedDecision,
    LoggedReward,
    RewardRecord,
    ServedBy,
)
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.registry import fit_candidates
from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_policies.features import ItemFeatures

SLOTS = 4
START = 1_767_225_600_000
ARMS = ("old", "new")
CATALOGUE = 1


@pytest.fixture(scope="module")
def new_fold() -> Callable[[int], UnitFold]:
    data = synthetic_dataset(seed=1, n_users=60, n_items=90)
    items = ItemFeatures.build(data.catalogue, data.interactions)
    model: FactorModel = fit_candidates("biased_als", data.interactions, {}, seed=1)

    def made(rows: int) -> UnitFold:
        return UnitFold(
            rows,
            items=items,
            model=model,
            rest=6,
            plays=PlayScale(3.5, 1.0, 0.5, 5.0),
            start_ms=START,
            catalogue=CATALOGUE,
        )

    return made


def decision(number: int, unit: int, at: int, *, arm: str, luck: random.Random) -> DecisionRecord:
    slate = np.array([*luck.sample(range(90), SLOTS - 1), -1], dtype=np.int32)
    return DecisionRecord(
        decision_id=number,
        body_digest=bytes(16),
        experiment="home",
        arm=arm,
        unit=unit,
        bucket=1,
        decided_at=at,
        page=0,
        snapshot=0,
        feature_version=1,
        catalogue_version=CATALOGUE,
        served_by=ServedBy.POLICY,
        last_watched=-1,
        unit_state=b"",
        candidates=b"",
        scores=b"",
        slate=slate.tobytes(),
        propensities=b"",
    )


def reward(number: int, *, component: int, slot: int, value: float) -> RewardRecord:
    return RewardRecord(
        reward_key=bytes(16),
        body_digest=bytes(16),
        decision_id=number,
        component=component,
        slot=slot,
        value=value,
        received_at=0,
    )


class AtOnce(Executor):
    """Reads when asked; who asked learns of it turns later, so that the order is the seed's."""

    def submit(self, call: Any, /, *args: Any, **more: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(call(*args, **more))
        return future


class World:
    """A log with two arms in memory, and all that can happen to them in any order."""

    def __init__(self, seed: int, new_fold: Callable[[int], UnitFold], *, back: int) -> None:
        self.back = back
        self.luck = random.Random(seed)  # noqa: S311
        self.new_fold = new_fold
        self.early = EarlyRewards()
        self.waiting: list[tuple[list[LoggedDecision], list[LoggedReward]]] = []
        self.log = TestingLog(self.hold)
        self.memories = {
            ("home", arm): UnitMemory(
                "home",
                arm,
                capacity=3,
                new_fold=new_fold,
                reader=self.log,
                executor=AtOnce(),
                early=self.early,
            )
            for arm in ARMS
        }
        self.now = START
        self.number = 0
        self.open: list[tuple[int, str]] = []

    def hold(self, decisions: Sequence[LoggedDecision], rewards: Sequence[LoggedReward]) -> None:
        self.waiting.append((list(decisions), list(rewards)))

    def publish(self) -> None:
        if self.waiting:
            decisions, rewards = self.waiting.pop(0)
            publish(decisions, rewards, memories=self.memories, early=self.early)

    def skip(self) -> None:
        """Have rows that nobody is told of, once those before them were told."""
        while self.waiting:
            self.publish()
        self.number += 1
        arm, unit = self.luck.choice(ARMS), self.luck.randrange(6)
        self.log.append(
            decision(self.number, unit, self.now, arm=arm, luck=self.luck),
            reward(self.number, component=0, slot=0, value=1.0),
        )
        self.waiting.clear()
        for memory in self.memories.values():
            memory.forget_all()

    def grow(self) -> None:
        """Append a few rows; some rewards come before their decisions, or twice, or nowhere."""
        rows: list[DecisionRecord | RewardRecord] = []
        for _ in range(self.luck.randint(1, 4)):
            self.now += self.luck.choice([1_000, 60_000, 40 * 60_000, DAY_MS])
            if self.luck.random() < 0.5:
                self.number += 1
                arm = self.luck.choice(ARMS)
                made = decision(
                    self.number, self.luck.randrange(6), self.now, arm=arm, luck=self.luck
                )
                rows.append(made)
            else:
                rows.append(
                    reward(
                        max(1, self.number + self.luck.randint(-self.back, 1)),
                        component=self.luck.randrange(4),
                        slot=self.luck.randint(-1, SLOTS),
                        value=self.luck.choice([0.2, 1.0]),
                    )
                )
        self.log.append(*rows)

    async def ask(self) -> None:
        memory = self.memories["home", self.luck.choice(ARMS)]
        pseudonym = self.luck.randrange(6)
        self.log.before_read = self.luck.choice([lambda: None, self.grow])
        unit = memory.at_hand(pseudonym) or await memory.load(pseudonym)
        # Looking at what a visit would be leaves no trace.
        memory.view([unit], [self.now + self.luck.choice([0, DAY_MS])])
        memory.done(unit)


def test_early_rewards_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_memory, "MOST_EARLY", 10)
    early = EarlyRewards()
    for number in range(9):
        for slot in range(4):
            row = reward(number, component=0, slot=slot, value=1.0)
            early.hold(LoggedReward(4 * number + slot + 1, row))
            assert len(early) <= 10
    assert early.take(3) == []
    assert [one.record.slot for one in early.take(8)] == [0, 1, 2, 3]
    assert [one.record.slot for one in early.take(7)] == [0, 1, 2, 3]
    assert len(early) == 0


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("most", "back"), [(unit_fold.MOST_SLATES, 6), (3, 60)])
def test_any_order_gives_the_state_of_a_full_fold(
    seed: int,
    most: int,
    back: int,
    new_fold: Callable[[int], UnitFold],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unit_fold, "MOST_SLATES", most)

    async def scene() -> int:
        world = World(seed, new_fold, back=back)
        tasks: list[asyncio.Task[None]] = []
        for _ in range(250):
            step = world.luck.random()
            if step < 0.35:
                world.grow()
            elif step < 0.6:
                world.publish()
            elif step < 0.7:
                # Rows that are stored and published while a unit is on its way.
                world.grow()
                while world.waiting:
                    world.publish()
            elif step < 0.72:
                world.skip()
            elif step < 0.95:
                tasks.append(asyncio.create_task(world.ask()))
            else:
                memory = world.memories["home", world.luck.choice(ARMS)]
                memory.forget(world.luck.randrange(6))
            if world.luck.random() < 0.5:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        while world.waiting:
            world.publish()
        world.log.before_read = lambda: None
        checked = 0
        for (experiment, arm), memory in world.memories.items():
            for pseudonym, unit in memory._units.items():
                whole, fold = read_unit(world.log, experiment, arm, pseudonym, new_fold)
                assert unit.users == 0
                assert list(unit.slates.items()) == list(whole.slates.items())
                assert len(unit.slates) <= most
                assert unit.counted == whole.counted
                facts = (unit.last_decision, unit.visit_day, unit.pages)
                assert facts == (whole.last_decision, whole.visit_day, whole.pages)
                assert memory.fold.same(unit.row, new_fold(1) if fold is None else fold, 0)
                checked += len(unit.slates)
            assert len(memory) <= 3
            assert set(memory._owner) == {
                one for unit in memory._units.values() for one in unit.slates
            }
        return checked

    assert asyncio.run(scene()) > 0


@pytest.mark.parametrize("seed", range(4))
def test_units_read_together_are_what_each_is_alone(
    seed: int, new_fold: Callable[[int], UnitFold], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_fold, "MOST_SLATES", 12)
    world = World(seed, new_fold, back=20)
    for _ in range(120):
        world.grow()
    made: list[int] = []

    def counted(rows: int) -> UnitFold:
        made.append(rows)
        return new_fold(rows)

    async def scene(arm: str) -> None:
        reads = UnitReads("home", arm, reader=world.log, new_fold=counted)
        found = await asyncio.gather(*(reads.read(one) for one in range(8)))
        for number, (unit, fold) in enumerate(found):
            alone, whole = read_unit(world.log, "home", arm, number, new_fold)
            assert (unit.pseudonym, unit.upto, unit.pages) == (number, alone.upto, alone.pages)
            assert (unit.last_decision, unit.visit_day) == (alone.last_decision, alone.visit_day)
            assert list(unit.slates.items()) == list(alone.slates.items())
            assert unit.counted == alone.counted
            if number > 5:
                assert (fold, whole) == (None, None), "they never came"
            else:
                assert fold is not None
                assert whole is not None
                assert fold.same(unit.row, whole, alone.row)
                assert len(unit.slates) > 3

    for arm in ARMS:
        asyncio.run(scene(arm))
    assert made == [6, 6]


def test_rewards_count_for_the_latest_decisions_of_a_unit(
    new_fold: Callable[[int], UnitFold], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_fold, "MOST_SLATES", 3)
    luck = random.Random(1)  # noqa: S311
    fold, without, unit, other = new_fold(1), new_fold(1), Unit(7, 0), Unit(7, 0)
    for number in range(1, 6):
        made = decision(number, 7, START, arm="new", luck=luck)
        gone = fold.decision(unit, made)
        assert gone == (number - 3 if number > 3 else None)
        without.decision(other, made)
        for slot in (0, 1):
            fold.reward(unit, reward(number, component=0, slot=slot, value=1.0))
            without.reward(other, reward(number, component=0, slot=slot, value=1.0))
    assert list(unit.slates) == list(unit.counted) == [3, 4, 5]
    for number in (1, 2):
        fold.reward(unit, reward(number, component=0, slot=2, value=1.0))
    for both in (fold, without):
        both.flush()
    assert fold.same(0, without, 0)
    fold.reward(unit, reward(3, component=0, slot=2, value=1.0))
    fold.flush()
    assert not fold.same(0, without, 0)


def test_a_visit_ends_after_half_an_hour_without_a_decision(
    new_fold: Callable[[int], UnitFold],
) -> None:
    luck = random.Random(1)  # noqa: S311
    fold, unit = new_fold(1), Unit(1, 0)
    half_hour = 30 * 60_000
    for number, at in enumerate([0, half_hour, 2 * half_hour + 1, DAY_MS + half_hour]):
        fold.decision(unit, decision(number, 1, START + at, arm="new", luck=luck))
        fold.flush()
        expected = [(0, 1, -1), (0, 2, -1), (1, 1, 0), (2, 1, 0)][number]
        assert (int(fold.states.sessions[0]), unit.pages, int(fold.states.last_visit[0])) == (
            expected
        )
    # The next visit begins a day after the last one began.
    fold.open_visit([unit], np.zeros(1, dtype=np.int32), [START + 3 * DAY_MS])
    assert fold.states.days_since[0] == 2.0
    assert fold.states.sessions[0] == 3


def test_items_of_another_catalogue_touch_nothing(new_fold: Callable[[int], UnitFold]) -> None:
    luck = random.Random(3)  # noqa: S311
    fold, unit = new_fold(2), Unit(1, 0)
    made = decision(5, 1, START, arm="new", luck=luck)
    beyond = np.array([90, 200, 2**30, -1], dtype=np.int32).tobytes()
    before = [array.copy() for array in fold._arrays]
    fold.decision(unit, replace(made, slate=beyond, catalogue_version=CATALOGUE + 1))
    for slot in range(SLOTS):
        fold.reward(unit, reward(5, component=0, slot=slot, value=1.0))
        fold.reward(unit, reward(5, component=1, slot=slot, value=0.5))
    fold.flush()
    assert unit.pages == 1
    assert not fold.hidden.any()
    assert not fold.states.seen.any()
    for array, old in zip(fold._arrays, before, strict=True):
        np.testing.assert_array_equal(array[1], old[1])


def test_rewards_count_once_and_only_where_something_was_shown(
    new_fold: Callable[[int], UnitFold],
) -> None:
    luck = random.Random(2)  # noqa: S311
    fold, unit = new_fold(2), Unit(1, 0)
    made = decision(5, 1, START, arm="new", luck=luck)
    fold.decision(unit, made)
    click = reward(5, component=0, slot=0, value=1.0)
    for one in (
        click,
        click,
        replace(click, component=1, value=0.5),
        replace(click, slot=3),
        replace(click, slot=-1),
        replace(click, slot=9),
        replace(click, component=3, slot=-1),
    ):
        fold.reward(unit, one)
    fold.flush()
    shown = np.frombuffer(made.slate, dtype=np.int32)
    assert fold.states.last_watched[0] == shown[0]
    assert fold.states._fold_in.counts[0] == 1
    assert int(np.bitwise_count(fold.states.seen[0]).sum()) == 1
    assert int(np.bitwise_count(fold.hidden[0]).sum()) == 3


def test_units_in_use_are_never_forgotten(new_fold: Callable[[int], UnitFold]) -> None:
    async def scene() -> None:
        memory = UnitMemory("home", "new", capacity=2, new_fold=new_fold, reader=None)
        first, second = await memory.load(1), await memory.load(2)
        with pytest.raises(LogBusyError, match="every unit in memory is in use"):
            await memory.load(3)
        memory.done(first)
        third = await memory.load(3)
        assert third.row == first.row
        assert memory.at_hand(1) is None
        memory.forget(2)
        assert memory.at_hand(2) is None
        memory.done(second)
        assert (await memory.load(4)).row == second.row

    asyncio.run(scene())
