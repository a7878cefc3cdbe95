"""Each component of each page is learned once, when its window has closed."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from matinee_platform.engine import Decisions
from matinee_platform.learner import ArmLearner
from matinee_platform.page_files import PageFiles
from matinee_platform.settings import ReturnVisitSettings, RewardSettings
from matinee_policies.records import PAD, ContextBatch, OutcomeBatch, SlateBatch
from matinee_policies.uniform import Uniform, UniformConfig

L, K, D = 2, 3, 4


class Recorder(Uniform):
    """A policy that keeps what it was given to learn."""

    learns = True

    def __init__(self) -> None:
        super().__init__(UniformConfig())
        self.lessons: list[OutcomeBatch] = []

    def learn(self, outcomes: OutcomeBatch) -> None:
        self.lessons.append(outcomes)


def _decisions(ids: list[int], padded: bool = False, base: list[int] | None = None) -> Decisions:
    n = len(ids)
    positions = np.tile(np.array([0, PAD if padded else 1], dtype=np.int32), (n, 1))
    contexts = ContextBatch(
        candidates=np.tile(np.arange(K, dtype=np.int32), (n, 1)),
        features=np.zeros((n, K, D), dtype=np.float32),
        scores=np.zeros((n, K), dtype=np.float32),
        embeddings=np.zeros((K, 1), dtype=np.float32),
    )
    shown = np.full((n, L, D), ids[0], dtype=np.float32)
    slates = SlateBatch(
        positions,
        positions.copy(),
        np.full((n, L), 0.5),
        base=None if base is None else np.array(base, dtype=np.int8),
        base_propensity=None if base is None else 0.25 * (1.0 + np.array(base) % 3),
    )
    return Decisions(np.array(ids, dtype=np.uint64), contexts, slates, 0, 0, shown)


MakeLearner = Callable[..., tuple[ArmLearner, Recorder]]


@pytest.fixture
def make_learner(tmp_path: Path) -> MakeLearner:
    """Makes learners, each with a folder of its own unless it is given one."""
    folders = itertools.count()

    def make(weight: float, window: int = 2, folder: str = "") -> tuple[ArmLearner, Recorder]:
        policy = Recorder()
        rewards = RewardSettings(
            return_visit=ReturnVisitSettings(weight=weight, window_days=window)
        )
        pages = PageFiles(tmp_path / (folder or str(next(folders))))
        return ArmLearner(policy, rewards, pages=pages), policy

    return make


SHARDS = np.array([1, 2], dtype=np.uint8)


def test_engagement_is_learned_at_its_own_barrier_in_log_order(make_learner: MakeLearner) -> None:
    learner, policy = make_learner(weight=0.0)
    learner.observe_page(_decisions([1, 2]), np.array([[0.1, 0.2], [0.3, 0.4]]), SHARDS)
    learner.observe_page(_decisions([3]), np.array([[0.5, 0.6]]), SHARDS[:1])
    assert not policy.lessons
    assert learner.close_day(0)
    (lesson,) = policy.lessons
    assert (lesson.component, lesson.first) == ("engagement", True)
    assert lesson.rewards.tolist() == [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]
    assert lesson.shards.tolist() == [1, 2, 1]
    assert lesson.features[:, 0, 0].tolist() == [1, 1, 3]
    assert not learner.close_day(1)


def test_returns_are_learned_once_when_the_window_closes_and_absence_is_zero(
    make_learner: MakeLearner,
) -> None:
    learner, policy = make_learner(weight=0.5, window=2)
    learner.observe_page(_decisions([1, 2]), np.zeros((2, L)), SHARDS)
    learner.close_day(0)
    learner.observe_returns(0, np.array([2], dtype=np.uint64))
    assert not learner.close_day(1)
    assert learner.close_day(2)
    assert [lesson.component for lesson in policy.lessons] == ["engagement", "return_visit"]
    lesson = policy.lessons[-1]
    assert not lesson.first
    assert lesson.rewards.tolist() == [[0.0, 0.0], [0.5, 0.5]]
    for day in range(3, 9):
        assert not learner.close_day(day)


def test_returns_of_other_days_do_not_mix(make_learner: MakeLearner) -> None:
    learner, policy = make_learner(weight=1.0, window=1)
    learner.observe_page(_decisions([1]), np.zeros((1, L)), SHARDS[:1])
    learner.close_day(0)
    learner.observe_page(_decisions([2]), np.zeros((1, L)), SHARDS[:1])
    learner.observe_returns(0, np.array([1], dtype=np.uint64))
    learner.close_day(1)
    learner.close_day(2)
    returns = [lesson for lesson in policy.lessons if lesson.component == "return_visit"]
    assert [lesson.rewards[0, 0] for lesson in returns] == [1.0, 0.0]


def test_padding_is_not_shown(make_learner: MakeLearner) -> None:
    learner, policy = make_learner(weight=0.0)
    learner.observe_page(_decisions([1], padded=True), np.zeros((1, L)), SHARDS[:1])
    learner.close_day(0)
    assert policy.lessons[0].shown.tolist() == [[True, False]]


def test_nothing_is_held_for_a_policy_that_does_not_learn(tmp_path: Path) -> None:
    learner = ArmLearner(Uniform(UniformConfig()), RewardSettings(), pages=PageFiles(tmp_path))
    learner.observe_page(_decisions([1]), np.zeros((1, L)), SHARDS[:1])
    assert not learner.close_day(0)


def test_outcomes_name_items_and_the_day_of_the_decision(make_learner: MakeLearner) -> None:
    learner, policy = make_learner(weight=0.5, window=1)
    learner.observe_page(_decisions([1, 2]), np.zeros((2, L)), SHARDS)
    learner.close_day(4)
    learner.close_day(5)
    assert [lesson.component for lesson in policy.lessons] == ["engagement", "return_visit"]
    for lesson in policy.lessons:
        assert lesson.items is not None
        assert lesson.days is not None
        assert lesson.items.tolist() == [[0, 1], [0, 1]]
        assert lesson.days.tolist() == [4, 4]
        assert lesson.base is None


def test_the_base_of_a_mixture_waits_with_its_page(make_learner: MakeLearner) -> None:
    learner, policy = make_learner(weight=0.5, window=2)
    learner.observe_page(_decisions([1, 2], base=[1, 0]), np.zeros((2, L)), SHARDS)
    learner.observe_page(_decisions([3], base=[2]), np.zeros((1, L)), SHARDS[:1])
    learner.close_day(0)
    learner.close_day(2)
    for lesson in policy.lessons:
        assert lesson.base is not None
        assert lesson.base_propensity is not None
        assert lesson.base.tolist() == [1, 0, 2]
        assert lesson.base_propensity.tolist() == [0.5, 0.25, 0.75]


@pytest.mark.parametrize("base", [None, [1, 0]])
def test_a_restored_learner_goes_on_as_if_nothing_had_happened(
    make_learner: MakeLearner, base: list[int] | None
) -> None:
    whole, expected = make_learner(weight=0.5, window=3)
    cut, _ = make_learner(weight=0.5, window=3, folder="cut")
    for learner in (whole, cut):
        for day in range(3):
            ids = [10 * day + 1, 10 * day + 2]
            learner.observe_page(
                _decisions(ids, padded=day == 1, base=base), np.ones((2, L)), SHARDS
            )
            learner.observe_returns(day, np.array(ids[:1], dtype=np.uint64))
            learner.close_day(day)
    fresh, policy = make_learner(weight=0.5, window=3, folder="cut")
    fresh.restore({name: array.copy() for name, array in cut.arrays().items()})
    expected.lessons.clear()
    for day in range(3, 7):
        assert whole.close_day(day) == fresh.close_day(day)
    assert len(policy.lessons) == len(expected.lessons) == 3
    for one, other in zip(policy.lessons, expected.lessons, strict=True):
        for field in dataclasses.fields(OutcomeBatch):
            found, wanted = getattr(one, field.name), getattr(other, field.name)
            if isinstance(wanted, np.ndarray):
                assert found.dtype == wanted.dtype
                np.testing.assert_array_equal(found, wanted)
            else:
                assert found == wanted


def test_a_learner_with_nothing_held_can_be_restored(make_learner: MakeLearner) -> None:
    learner, policy = make_learner(weight=0.5)
    learner.restore(make_learner(weight=0.5)[0].arrays())
    assert not learner.close_day(9)
    assert not policy.lessons
