"""References for the long run: the search, the index, hindsight, and what they refuse."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_policies.arrays import FloatArray
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.errors import ConfigError, DataError
from matinee_simulator.long_run import (
    CrossEntropy,
    FrozenIndex,
    Generation,
    Training,
    frozen_index,
    hindsight,
    reference_rows,
    tune_index,
)
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout import (
    Sight,
    click_order,
    index_order,
    play,
    popularity_order,
    random_order,
    relevance_order,
    satisfaction_order,
)
from matinee_simulator.simulation import Simulation
from matinee_simulator.world import World

LIVELY = Parameters(arrival_days=3, click_base=-1.5, return_base=1.0)

BOX = CrossEntropy(low=(0.0, -4.0), high=(8.0, 4.0), draws=24, elite=6, generations=25)
PEAK = np.array([2.0, 1.0])


def hill(point: FloatArray) -> float:
    return -float(((point - PEAK) * [1.0, 3.0]) @ (point - PEAK))


@pytest.fixture(scope="module")
def sight(world: World, dataset: Dataset) -> Sight:
    return Sight.of_data(world, dataset.interactions, seed=1)


def test_the_search_finds_the_top_of_a_hill() -> None:
    found = BOX.maximise(hill)
    assert len(found) == 25
    np.testing.assert_allclose(found[-1].mean, PEAK, atol=0.02)
    assert found[-1].score == max(generation.score for generation in found)
    assert found[-1].score == hill(np.array(found[-1].best))
    assert max(found[-1].sd) < 0.1 < max(found[0].sd)


def test_the_search_stays_in_its_box() -> None:
    asked: list[FloatArray] = []

    def climb(point: FloatArray) -> float:
        asked.append(point)
        return float(point.sum())

    found = BOX.maximise(climb)
    assert (np.array(asked) >= BOX.low).all()
    assert np.array(asked).max(axis=0).tolist() == [8.0, 4.0]
    np.testing.assert_allclose(found[-1].mean, [8.0, 4.0], atol=1e-3)


def test_the_search_is_deterministic_and_goes_on_where_it_stopped() -> None:
    whole = BOX.maximise(hill)
    assert BOX.maximise(hill) == whole
    half = dataclasses.replace(BOX, generations=9).maximise(hill)
    assert BOX.maximise(hill, done=half) == whole
    assert dataclasses.replace(BOX, seed=1).maximise(hill) != whole


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"elite": 1}, "elite must be >= 2"),
        ({"draws": 3}, "draws must be >= 6"),
        ({"low": (9.0, 0.0)}, "low must be below high"),
        ({"smoothing": 1.0}, "smoothing must be < 1"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        dataclasses.replace(BOX, **change)


def test_the_index_is_what_its_formula_says(world: World) -> None:
    simulation = Simulation(world, np.arange(5), seed=2, parameters=LIVELY)
    units = simulation.begin_day(0)
    items = np.arange(units.size * 30, dtype=np.int32).reshape(units.size, 30)
    for page in range(2):
        simulation.step_page(units, np.ascontiguousarray(items[:, page::3][:, :10]), page)
        units = np.flatnonzero(simulation._users.browsing).astype(np.int32)
        items = items[: units.size]
    simulation.end_day()
    simulation.begin_day(1)
    units, oracle = np.arange(5, dtype=np.int32), simulation.oracle()
    items = np.tile(np.arange(40, dtype=np.int32), (5, 1))
    click = oracle.click_probability(units, items)
    liked = oracle.expected_satisfaction(units, items)
    topics = world.topics[:40].astype(np.float64)
    satiated = oracle.satiation(units) @ topics.T
    assert satiated.max() > 0.1
    half = (topics**2).sum(axis=1) / 2
    expected = click * (1 + 1.5 * liked) - 0.4 * click * (satiated + half)
    found = oracle.index(units, items, satisfaction_weight=1.5, satiation_price=0.4)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
    assert np.array_equal(
        oracle.index(units, items, satisfaction_weight=0.0, satiation_price=0.0), click
    )


def test_an_index_without_a_future_is_the_click_oracle(world: World, sight: Sight) -> None:
    sizes: dict[str, Any] = {"users": 40, "days": 12, "seed": 5, "parameters": LIVELY}
    index = play(world, sight, index_order(0.0, 0.0), **sizes)
    clicks = play(world, sight, click_order(), **sizes)
    assert np.array_equal(index.visits, clicks.visits)
    assert np.array_equal(index.exposure, clicks.exposure)
    other = play(world, sight, index_order(2.0, 0.3), **sizes)
    assert not np.array_equal(other.exposure, clicks.exposure)


def test_tuning_finds_what_raises_visits_and_resumes(
    world: World, sight: Sight, tmp_path: Path
) -> None:
    training = Training(seeds=(71, 72), users=40, days=28, candidates=40)
    search = CrossEntropy(
        low=(0.0, 0.0, 0.0), high=(8.0, 2.0, 0.5), draws=4, elite=2, generations=2
    )
    seen: list[int] = []
    options: dict[str, Any] = {"parameters": LIVELY, "training": training}

    def tune(search: CrossEntropy) -> FrozenIndex:
        return tune_index(
            world,
            sight,
            search=search,
            checkpoint=tmp_path / "search.json",
            report=lambda generations: seen.append(len(generations)),
            **options,
        )

    tune(dataclasses.replace(search, generations=1))
    found = tune(search)
    assert seen == [1, 2]
    assert found == tune_index(world, sight, search=search, **options)
    assert len(found.generations) == 2
    assert found.training_seeds == (71, 72)
    with pytest.raises(DataError, match="must be of the same world, users and search"):
        tune(dataclasses.replace(search, seed=9))


def test_frozen_constants_survive_the_disk(tmp_path: Path) -> None:
    found = frozen_index()
    found.save(tmp_path / "index.json")
    text = (tmp_path / "index.json").read_text(encoding="utf-8")
    again = FrozenIndex.parse(text, origin="index.json")
    assert json.loads(text) | {"format": 1} == json.loads(text)
    assert again.ranker() == found.ranker()
    assert again.training_seeds == found.training_seeds
    with pytest.raises(DataError, match="must hold a frozen index"):
        FrozenIndex.parse(text.replace("satiation_price", "price"), origin="index.json")
    with pytest.raises(DataError, match="format must be 1"):
        FrozenIndex.parse(text.replace('"format": 1', '"format": 2'), origin="index.json")


def test_no_figure_is_of_a_training_seed(world: World, sight: Sight) -> None:
    index = frozen_index()
    index.check_seeds([1, 2, 3, 4])
    trained = index.training_seeds[0]
    with pytest.raises(ConfigError, match=f"got {trained}"):
        reference_rows(
            world,
            sight,
            parameters=LIVELY,
            seeds=[1, trained],
            users=5,
            days=40,
            index=index,
        )
    with pytest.raises(ConfigError, match="days must be >= 37, got 20"):
        reference_rows(world, sight, parameters=LIVELY, seeds=[1], users=5, days=20, index=index)
    with pytest.raises(ConfigError, match="days must be >= 28, got 20"):
        Training(days=20)


def test_hindsight_is_never_below_the_best_single_ranker(world: World, sight: Sight) -> None:
    rankers = (random_order(), relevance_order(), click_order(), satisfaction_order())
    sizes: dict[str, Any] = {"users": 8, "days": 15, "seed": 9, "parameters": LIVELY}
    found = hindsight(world, sight, rankers, **sizes, candidates=40)
    for place, ranker in enumerate(rankers):
        alone = play(world, sight, ranker, **sizes, candidates=40)
        assert found.by_ranker[:, place].tolist() == alone.user_sessions.tolist()
    assert found.single.tolist() == found.by_ranker.max(axis=1).tolist()
    assert (found.sessions >= found.single).all()
    assert found.sessions.sum() > found.single.sum()
    assert [len(names) for names in found.choices] == found.sessions.tolist()
    again = hindsight(world, sight, rankers, **sizes, candidates=40)
    assert again.sessions.tolist() == found.sessions.tolist()


def test_hindsight_is_for_few_users(world: World, sight: Sight) -> None:
    sizes: dict[str, Any] = {"days": 5, "seed": 8, "parameters": LIVELY}
    with pytest.raises(ConfigError, match="users must be at most 50, got 51"):
        hindsight(world, sight, (random_order(),), users=51, **sizes)
    with pytest.raises(ConfigError, match="got popularity"):
        hindsight(world, sight, (popularity_order(),), users=2, **sizes)


def test_generations_are_plain_values() -> None:
    found = dataclasses.replace(BOX, generations=1).maximise(hill)[0]
    assert json.loads(json.dumps(dataclasses.asdict(found)))["mean"] == list(found.mean)
    assert isinstance(found, Generation)
