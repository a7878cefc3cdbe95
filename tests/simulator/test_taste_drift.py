"""Tastes take the same random walk whenever anyone looks."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from matinee_policies.arrays import IndexArray
from matinee_policies.philox import normal
from matinee_simulator.draws import normal_pair, normal_pair_reference
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population
from matinee_simulator.simulation import Simulation
from matinee_simulator.taste_drift import (
    TasteDrift,
    drift_tastes,
    drifted_reference,
    taste_drift,
)
from matinee_simulator.user_state import UserState, fresh_state
from matinee_simulator.world import World

Build = Callable[..., Simulation]
Draw = Callable[..., IndexArray]

N = 2_000
DRIFTING = Parameters(taste_drift=0.1, arrival_days=5)


@pytest.fixture
def users(world: World) -> UserState:
    population = Population.draw(world, np.arange(N), seed=2, parameters=DRIFTING)
    return fresh_state(population, topics=world.n_topics, capacity=4, start_day=0)


@pytest.fixture
def drift(world: World) -> TasteDrift:
    return taste_drift(world, DRIFTING, seed=2)


EVERYONE = np.arange(N, dtype=np.int32)


def test_pairs_of_normals_are_box_and_muller() -> None:
    key = np.uint64(99)
    for counter in range(200):
        a, b = np.uint64(counter % 7), np.uint64(counter)
        pair = normal_pair(key, a, b)
        assert pair[0] == normal(key, a, b)
        np.testing.assert_allclose(pair, normal_pair_reference(key, int(a), int(b)), rtol=1e-12)
    pairs = np.array([normal_pair(key, np.uint64(1), np.uint64(k)) for k in range(20_000)])
    assert np.all(np.abs(pairs.mean(axis=0)) < 4 / np.sqrt(len(pairs)))
    assert abs(np.mean(pairs[:, 0] * pairs[:, 1])) < 4 / np.sqrt(len(pairs))
    assert np.all(np.abs(pairs.var(axis=0) - 1) < 4 * np.sqrt(2 / len(pairs)))


def test_a_taste_is_the_same_whenever_it_is_looked_at(users: UserState, drift: TasteDrift) -> None:
    start = users.taste.copy()
    other = users._replace(taste=users.taste.copy(), taste_day=users.taste_day.copy())
    drift_tastes(users, drift, EVERYONE, 30)
    rng = np.random.default_rng(0)
    for day in range(31):
        drift_tastes(other, drift, rng.permutation(EVERYONE)[: N // 3], day)
    drift_tastes(other, drift, EVERYONE, 30)
    assert users.taste.tobytes() == other.taste.tobytes()
    assert np.all(users.taste_day == 30)
    # Looking back changes nothing.
    drift_tastes(users, drift, EVERYONE, 12)
    assert users.taste.tobytes() == other.taste.tobytes()
    for unit in range(0, N, 97):
        walked = drifted_reference(start[unit], drift, unit, int(users.arrival[unit]) + 1, 30)
        np.testing.assert_array_equal(walked, users.taste[unit])


def test_steps_have_the_sd_asked_for(world: World, users: UserState, drift: TasteDrift) -> None:
    start, days = users.taste.copy(), 20
    drift_tastes(users, drift, EVERYONE, days)
    walked = (users.taste - start).astype(np.float64)
    walked /= np.sqrt(days - users.arrival)[:, None]
    sd = 0.1 * world.user_factors.std(axis=0, dtype=np.float64) / world.relevance_sd
    assert np.all(np.abs(walked.std(axis=0) / sd - 1) < 4 / np.sqrt(2 * N))
    assert np.all(np.abs(walked.mean(axis=0)) < 4 * sd / np.sqrt(N))
    # Factors are independent of each other.
    scaled = walked / walked.std(axis=0)
    correlation = np.abs(scaled.T @ scaled / N - np.eye(sd.size))
    assert correlation.max() < 5 / np.sqrt(N)


def test_users_have_their_drawn_taste_on_arrival(users: UserState, drift: TasteDrift) -> None:
    start = users.taste.copy()
    drift_tastes(users, drift, EVERYONE, 2)
    late = users.arrival >= 2
    assert np.array_equal(users.taste[late], start[late])
    assert np.all(np.any(users.taste[~late] != start[~late], axis=1))


def test_relevance_moves_with_the_taste(simulate: Build, random_slates: Draw) -> None:
    still, moving = simulate(200), simulate(200, taste_drift=0.2)
    units, slates = np.arange(200, dtype=np.int32), random_slates(200)
    for simulation in (still, moving):
        for day in range(10):
            simulation.begin_day(day)
            simulation.end_day()
    before = simulate(200, taste_drift=0.2).oracle().relevance(units, slates)
    np.testing.assert_array_equal(still.oracle().relevance(units, slates), before)
    change = moving.oracle().relevance(units, slates) - before
    # Ten steps of .2 sd: relevance within taste moves by about sqrt(10) x .2 of its spread.
    assert 0.2 < change.std() / before.std() < 1.0
    assert abs(change.mean()) < 4 * change.mean(axis=1).std() / np.sqrt(200)


def test_looking_at_users_changes_nothing(simulate: Build, random_slates: Draw) -> None:
    watched, alone = (simulate(100, taste_drift=0.3) for _ in range(2))
    units, slates = np.arange(100, dtype=np.int32), random_slates(100)
    for day in range(8):
        watched.oracle().relevance(units[day::3], slates[day::3])
        ours, theirs = watched.begin_day(day), alone.begin_day(day)
        assert np.array_equal(ours, theirs)
        seen = watched.step_page(ours, slates[ours], 0)
        other = alone.step_page(ours, slates[ours], 0)
        np.testing.assert_array_equal(seen.watch, other.watch)
        watched.end_day()
        alone.end_day()


def test_without_drift_tastes_are_shared_and_not_kept(world: World) -> None:
    population = Population.draw(
        world, np.arange(9), seed=1, parameters=dataclasses.replace(DRIFTING, taste_drift=0.0)
    )
    state = fresh_state(population, topics=world.n_topics, capacity=4, start_day=0)
    assert np.shares_memory(state.taste, population.taste)
    still = Simulation(world, np.arange(9), seed=1, parameters=population.parameters)
    assert "taste" not in still.arrays()
    moving = Simulation(world, np.arange(9), seed=1, parameters=DRIFTING)
    assert {"taste", "taste_day"} < set(moving.arrays())
