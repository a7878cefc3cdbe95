import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

from matinee_policies.datasets.dataset import Dataset
from matinee_policies.interactions import Interactions
from matinee_policies.philox import stream_key
from matinee_simulator.history import (
    RUN_START,
    SECONDS_PER_DAY,
    draw_without_repetition,
    draw_without_repetition_reference,
    history_reference,
    initial_interactions,
)
from matinee_simulator.parameters import MOST_TASTE, Parameters
from matinee_simulator.population import Population
from matinee_simulator.world import World

KEY = stream_key(3, "test")


@pytest.fixture(scope="module")
def population(world: World) -> Population:
    return Population.draw(world, np.arange(2_000), seed=4, parameters=Parameters())


def test_drawing_without_repetition_follows_its_law() -> None:
    weights, n = np.array([5.0, 3.0, 1.0, 1.0]), 20_000
    reach, out = np.empty(4), np.empty(3, dtype=np.int32)
    counts = dict.fromkeys(itertools.permutations(range(4), 3), 0)
    for number in range(n):
        draw_without_repetition(KEY, np.uint64(number), weights.copy(), reach, out)
        counts[out[0], out[1], out[2]] += 1
    expected = []
    for first, second, third in counts:
        left = 10.0 - weights[first]
        share = weights[first] / 10.0 * weights[second] / left
        expected.append(n * share * weights[third] / (left - weights[second]))
    assert chisquare(list(counts.values()), expected).pvalue > 1e-4


def test_drawing_equals_its_twin() -> None:
    rng = np.random.default_rng(0)
    for number in range(50):
        weights = np.exp(3 * rng.normal(size=40))
        out = np.empty(25, dtype=np.int32)
        draw_without_repetition(KEY, np.uint64(number), weights.copy(), np.empty(40), out)
        expected = draw_without_repetition_reference(KEY, np.uint64(number), weights, 25)
        assert out.tolist() == expected


def test_drawing_ends_under_the_strongest_taste() -> None:
    weights = np.exp(MOST_TASTE * np.linspace(-8.0, 8.0, 300))
    out = np.empty(300, dtype=np.int32)
    draw_without_repetition(KEY, np.uint64(0), weights, np.empty(300), out)
    assert sorted(out.tolist()) == list(range(300))


def test_histories_equal_their_twin(world: World, population: Population) -> None:
    users, items, ratings, times = initial_interactions(world, population, seed=4)
    for index in range(60):
        mine = users == index
        expected = history_reference(world, population, index, seed=4)
        assert (items[mine].tolist(), ratings[mine].tolist(), times[mine].tolist()) == expected


def test_a_history_is_a_function_of_seed_and_user(world: World, population: Population) -> None:
    whole = initial_interactions(world, population, seed=4)
    chosen = np.array([1_500, 12, 700])
    few = Population.draw(world, chosen, seed=4, parameters=Parameters())
    part = initial_interactions(world, few, seed=4)
    for index, number in enumerate(chosen):
        mine, same = part[0] == index, whole[0] == number
        for column in range(1, 4):
            np.testing.assert_array_equal(part[column][mine], whole[column][same])


def test_histories_are_possible_interactions(world: World, population: Population) -> None:
    users, items, ratings, times = initial_interactions(world, population, seed=4)
    known = Interactions.from_triplets(
        users,
        items,
        ratings,
        times,
        n_users=len(population),
        n_items=world.n_items,
        rating_range=(float(world.rating_levels[0]), float(world.rating_levels[-1])),
    )
    assert np.array_equal(known.user_counts(), population.history_length)
    assert np.all(np.diff(users) >= 0)
    assert np.all(np.diff(times)[np.diff(users) == 0] >= 0)
    assert times.max() < RUN_START
    assert times.min() >= RUN_START - 1 - 365 * SECONDS_PER_DAY
    assert 35 < population.history_length[~population.is_new].mean() < 45


def test_histories_look_like_the_data(
    dataset: Dataset, world: World, population: Population
) -> None:
    _, items, ratings, _ = initial_interactions(world, population, seed=4)
    real = dataset.interactions.subset_items(world.item_rows)
    levels = world.rating_levels
    shares = [
        np.bincount(np.searchsorted(levels, values), minlength=levels.size) / values.size
        for values in (ratings, real.matrix.data)
    ]
    assert np.abs(np.cumsum(shares[0] - shares[1])).max() <= 0.05
    counts = np.bincount(items, minlength=world.n_items)
    assert abs(gini(counts) - gini(real.item_counts())) <= 0.05


def gini(counts: np.ndarray) -> float:
    ordered = np.sort(counts).astype(np.float64)
    ranks = np.arange(1, ordered.size + 1)
    return float(
        2 * np.sum(ranks * ordered) / (ordered.size * ordered.sum()) - 1 - 1 / ordered.size
    )
