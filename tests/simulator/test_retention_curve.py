"""Do simulated users come back as those of real services do? Broad ranges, 2,000 users."""

import os
from pathlib import Path

import numpy as np
import pytest

from matinee_policies.arrays import BoolArray, FloatArray
from matinee_policies.datasets.locate import open_dataset
from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_simulator.history import initial_interactions
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population
from matinee_simulator.simulation import Simulation
from matinee_simulator.world import World

N, DAYS = 2_000, 36
EVERYONE = np.arange(N)
BY_RELEVANCE, BY_APPEAL = "relevance", "appeal"


def noisy_relevance(world: World, parameters: Parameters) -> FloatArray:
    """Relevance of every item with an error of .6 sd, as a factorization would give it."""
    population = Population.draw(world, EVERYONE, seed=6, parameters=parameters)
    relevance = world.quality + population.taste @ world.item_factors.T
    noise = np.random.default_rng(6).normal(size=relevance.shape)
    scores = relevance + 0.6 * noise
    users, items, *_ = initial_interactions(world, population, seed=6)
    scores[users, items] = -np.inf
    return np.asarray(scores)


def run(world: World, parameters: Parameters, scores: FloatArray) -> tuple[BoolArray, float, float]:
    """Visits by day since arrival, pages per session and clicks per impression."""
    pool = np.argsort(-scores, axis=1)[:, :200].astype(np.int32)
    clicked = np.zeros(pool.shape, dtype=np.bool_)
    simulation = Simulation(world, EVERYONE, seed=6, parameters=parameters)
    visits = np.zeros((N, DAYS), dtype=np.bool_)
    pages = clicks = 0
    for day in range(DAYS):
        units = simulation.begin_day(day)
        visits[units, day] = True
        shown = clicked[units].copy()
        places = np.arange(units.size)
        for page in range(parameters.max_pages):
            chosen = np.argsort(shown[places], axis=1, kind="stable")[:, :10]
            np.put_along_axis(full := np.zeros((places.size, 200), np.bool_), chosen, True, 1)
            shown[places] |= full
            here = units[places]
            feedback = simulation.step_page(here, pool[here[:, None], chosen], page)
            rows, slots = np.nonzero(feedback.clicks)
            clicked[here[rows], chosen[rows, slots]] = True
            pages, clicks = pages + here.size, clicks + rows.size
            places = places[~feedback.left]
        simulation.end_day()
    first = visits.argmax(axis=1)
    since = np.minimum(first[:, None] + np.arange(29), DAYS - 1)
    sessions = int(visits.sum())
    return np.take_along_axis(visits, since, axis=1), pages / sessions, clicks / (10 * pages)


def check_curve(world: World) -> None:
    parameters = Parameters()
    visits, pages, ctr = run(world, parameters, noisy_relevance(world, parameters))
    d1, d7, d28 = (visits[:, day].mean() for day in (1, 7, 28))
    assert 0.25 <= d1 <= 0.45
    assert 0.10 <= d7 <= 0.25
    assert 0.05 <= d28 <= 0.16
    assert d1 > d7 > d28
    # Convex: retention falls ever more slowly.
    assert d1 - d7 > d7 - d28
    assert 1.2 <= pages <= 4.0
    assert 0.02 <= ctr <= 0.25


def test_retention_curve_of_the_synthetic_world() -> None:
    dataset = synthetic_dataset(seed=0)
    check_curve(World.from_interactions(dataset.catalogue, dataset.interactions, seed=1))


def test_clickbait_is_clicked_more_and_brings_fewer_back() -> None:
    dataset = synthetic_dataset(seed=0)
    world = World.from_interactions(dataset.catalogue, dataset.interactions, seed=1)
    parameters = Parameters(click_fatigue=0.0)
    scores = noisy_relevance(world, parameters)
    honest, _, ctr = run(world, parameters, scores)
    baited, _, bait_ctr = run(world, parameters, scores + 2.0 * world.appeal)
    difference = baited[:, 14:29].mean(axis=1) - honest[:, 14:29].mean(axis=1)
    assert bait_ctr > 1.2 * ctr
    assert difference.mean() < -4 * difference.std() / np.sqrt(N)


@pytest.mark.real_data
def test_retention_curve_on_movielens() -> None:
    folder = os.environ.get("MATINEE_DATA")
    if not folder:
        pytest.skip("MATINEE_DATA names no folder")
    dataset = open_dataset(Path(folder))
    check_curve(World.from_interactions(dataset.catalogue, dataset.interactions, seed=1))
