"""Arrivals, life and ages of items, who is refused, and histories before the run."""

import dataclasses

import numpy as np
import pytest

from matinee_policies.errors import ConfigError, ContextError
from matinee_simulator.catalogue_calendar import LONG_AGO, NEVER, CatalogueCalendar, at_start
from matinee_simulator.history import initial_interactions
from matinee_simulator.page_check import first_outside
from matinee_simulator.parameters import Parameters
from matinee_simulator.poisson import poisson_counts
from matinee_simulator.population import Population
from matinee_simulator.simulation import Simulation
from matinee_simulator.world import World

MOVING = Parameters(item_arrivals=4.0, arriving_share=0.5, item_life_days=60)


def calendar_of(
    world: World, parameters: Parameters = MOVING, *, seed: int = 1, days: int = 100
) -> CatalogueCalendar:
    return CatalogueCalendar(world, parameters, seed=seed, days=days)


def test_counts_follow_the_poisson_law() -> None:
    draws = (np.arange(100_000) + 0.5) / 100_000
    for rate in (0.0, 0.3, 4.0, 500.0):
        counts = poisson_counts(rate, draws)
        # A grid of draws gives the moments up to the tails beyond it.
        assert counts.mean() == pytest.approx(rate, rel=1e-3)
        assert counts.var() == pytest.approx(rate, rel=1e-2)
        assert np.mean(counts == 0) == pytest.approx(np.exp(-rate), abs=1e-5)
        assert np.all(np.diff(counts) >= 0)
    assert poisson_counts(500.0, np.array([1 - 2**-53]))[0] < 1_000


def test_the_default_catalogue_stands_still(world: World) -> None:
    calendar = calendar_of(world, Parameters())
    assert np.all(calendar.arrival == LONG_AGO)
    assert np.all(calendar.retirement == NEVER)
    assert all(calendar.available(day).all() for day in (0, 50, 30_000))
    assert not calendar.freshness(0, half_life=36_500.0).any()
    assert not Parameters().catalogue_moves


def test_items_wait_arrive_live_and_retire(world: World) -> None:
    calendar = calendar_of(world)
    start = calendar.arrival <= 0
    assert start.sum() == world.n_items - round(0.5 * world.n_items)
    assert np.array_equal(start, at_start(world, MOVING, seed=1))
    assert np.array_equal(start, calendar.available(0))
    lives = calendar.retirement.astype(np.int64) - calendar.arrival
    assert np.all(lives[calendar.arrival < NEVER] == 60)
    for item in np.flatnonzero(~start)[:20]:
        day = int(calendar.arrival[item])
        seen = [bool(calendar.available(d)[item]) for d in (day - 1, day, day + 59, day + 60)]
        assert seen == [False, True, True, False]
    assert np.array_equal(
        calendar.counts(), [calendar.available(day).sum() for day in range(calendar.days)]
    )


def test_arrivals_are_a_poisson_process(world: World) -> None:
    rate, days, seeds = 1.5, 60, 40
    parameters = dataclasses.replace(MOVING, item_arrivals=rate)
    counts = np.concatenate(
        [
            np.bincount(arrival[(arrival > 0) & (arrival <= days)], minlength=days + 1)[1:]
            for seed in range(seeds)
            for arrival in [calendar_of(world, parameters, seed=seed).arrival]
        ]
    )
    n = counts.size
    assert abs(counts.mean() - rate) < 4 * np.sqrt(rate / n)
    # The variance of a sample variance of n Poisson counts is (rate + 2 rate^2) / n nearly.
    assert abs(counts.var() - rate) < 4 * np.sqrt((rate + 2 * rate**2) / n)
    lagged = np.mean((counts[1:] - rate) * (counts[:-1] - rate))
    assert abs(lagged) < 4 * rate / np.sqrt(n)


def test_arrivals_stop_when_all_have_arrived(world: World) -> None:
    parameters = Parameters(item_arrivals=20.0, arriving_share=0.1)
    calendar = calendar_of(world, parameters)
    assert calendar.arrival.max() < 100
    assert calendar.available(99).all()
    slow = calendar_of(world, dataclasses.replace(parameters, item_arrivals=1e-9))
    assert slow.arrival.max() == NEVER
    assert slow.available(30_000).sum() == slow.available(0).sum()


def test_ages_at_the_start_are_stationary(world: World) -> None:
    ages = np.concatenate(
        [
            -arrival[arrival <= 0]
            for seed in range(20)
            for arrival in [calendar_of(world, seed=seed).arrival]
        ]
    )
    assert ages.min() == 0
    assert ages.max() == 59
    counts = np.bincount(ages, minlength=60)
    chi2 = np.sum((counts - ages.size / 60) ** 2) / (ages.size / 60)
    # 59 degrees of freedom: mean 59, sd sqrt(118).
    assert chi2 < 59 + 5 * np.sqrt(118)
    # Steady arrivals keep the law: ages on a later day are as uniform.
    steady = Parameters(item_arrivals=8.0, arriving_share=0.6, item_life_days=30)
    later = np.concatenate(
        [
            45 - calendar.arrival[calendar.available(45)]
            for seed in range(20)
            for calendar in [calendar_of(world, steady, seed=seed)]
        ]
    )
    assert abs(later.mean() - 14.5) < 4 * np.sqrt((30**2 - 1) / 12 / later.size)


def test_freshness_halves(world: World) -> None:
    calendar = calendar_of(world)
    item = int(np.flatnonzero(calendar.arrival == calendar.arrival[calendar.arrival > 0].min())[0])
    day = int(calendar.arrival[item])
    fresh = [calendar.freshness(day + age, half_life=10.0)[item] for age in (-1, 0, 10, 20, 60)]
    np.testing.assert_allclose(fresh, [0.0, 1.0, 0.5, 0.25, 0.0])


def test_the_calendar_depends_on_nothing_else(world: World) -> None:
    one, same, longer = (calendar_of(world, days=days) for days in (10, 10, 500))
    assert np.array_equal(one.arrival, same.arrival)
    assert np.array_equal(one.arrival, longer.arrival)
    assert np.array_equal(one.retirement, longer.retirement)
    assert not np.array_equal(one.arrival, calendar_of(world, seed=2).arrival)
    # A larger share holds back the same items and more.
    more = at_start(world, dataclasses.replace(MOVING, arriving_share=0.7), seed=1)
    assert not np.any(more & ~at_start(world, MOVING, seed=1))


def test_a_catalogue_that_becomes_too_small_is_refused(world: World) -> None:
    dying = Parameters(item_life_days=30)
    calendar = calendar_of(world, dying, days=40)
    counts = calendar.counts()
    day = int(np.argmax(counts < 100))
    with pytest.raises(ConfigError, match=f"at least 100 .* got {counts[day]} on day {day}$"):
        calendar.require(100)
    assert counts[29:].tolist() == [0] * 11 or counts[30:].tolist() == [0] * 10
    calendar_of(world, dying, days=day).require(100)
    with pytest.raises(ConfigError, match=f"got {world.n_items} on day 0"):
        calendar_of(world, Parameters()).require(world.n_items + 1)


def test_impossible_shares_are_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="arriving_share must be > 0, got 0"):
        Parameters(item_arrivals=1.0)
    with pytest.raises(ConfigError, match=f"hold back at least one of {world.n_items}"):
        calendar_of(world, Parameters(item_arrivals=1.0, arriving_share=1e-6))
    with pytest.raises(ConfigError, match=f"leave at least one of {world.n_items}"):
        Simulation(world, np.arange(2), seed=1, parameters=Parameters(arriving_share=0.999_999_9))


def test_histories_hold_only_items_of_the_start(world: World) -> None:
    parameters = Parameters(arriving_share=0.9, item_arrivals=1.0, history_mean=150.0)
    population = Population.draw(world, np.arange(500), seed=3, parameters=parameters)
    users, items, _, _ = initial_interactions(world, population, seed=3)
    start = at_start(world, parameters, seed=3)
    assert start[items].all()
    # At most half of the items that are there.
    assert np.bincount(users).max() == start.sum() // 2
    assert np.unique(users.astype(np.int64) * world.n_items + items).size == items.size


def test_users_without_history_live_all_the_same(world: World) -> None:
    parameters = dataclasses.replace(MOVING, new_user_share=1.0, arrival_days=1)
    population = Population.draw(world, np.arange(30), seed=3, parameters=parameters)
    assert initial_interactions(world, population, seed=3)[0].size == 0
    simulation = Simulation(world, np.arange(30), seed=3, parameters=parameters)
    there = np.flatnonzero(simulation.available(0))[:10].astype(np.int32)
    feedback = simulation.step_page(simulation.begin_day(0), np.tile(there, (30, 1)), 0)
    assert feedback.clicks.any()


def test_items_that_are_not_there_are_refused(world: World) -> None:
    loyal = dataclasses.replace(MOVING, arrival_days=1, return_base=5.0)
    simulation = Simulation(world, np.arange(3), seed=1, parameters=loyal)
    calendar = calendar_of(world)
    there = np.flatnonzero(calendar.available(1) & calendar.available(0)).astype(np.int32)
    assert np.array_equal(simulation.available(1), calendar.available(1))
    gone = int(np.flatnonzero(calendar.retirement == 1)[0])
    coming = int(np.flatnonzero(calendar.arrival > 1)[0])
    simulation.begin_day(0)
    simulation.end_day()
    units = simulation.begin_day(1)
    simulation.end_day()
    simulation.resume(1)
    units = simulation.begin_day(1)
    slates = np.tile(there[:4], (units.size, 1))
    before = {name: array.copy() for name, array in simulation.arrays().items()}
    for item, message in (
        (gone, f"available on day 1, got {gone}, which retired on day 1"),
        (coming, f"got {coming}, which arrives on day {calendar.arrival[coming]}"),
    ):
        wrong = slates.copy()
        wrong[-1, 2] = item
        with pytest.raises(ContextError, match=message):
            simulation.step_page(units, wrong, 0)
    for name, array in simulation.arrays().items():
        np.testing.assert_array_equal(array, before[name])
    slates[0, 1] = -1
    simulation.step_page(units, slates, 0)


def test_the_first_item_outside_equals_its_plain_twin(world: World) -> None:
    calendar, rng = calendar_of(world), np.random.default_rng(0)
    for day in (0, 20, 55):
        there = calendar.available(day)
        slates = rng.choice(np.flatnonzero(there), (30, 5)).astype(np.int32)
        slates[rng.random(slates.shape) < 0.2] = -1
        for outside in (0, 1, 3):
            slates[rng.random(30) < 0.05 * outside, outside] = rng.choice(np.flatnonzero(~there))
            bad = slates[(slates >= 0) & ~there[slates]]
            expected = int(bad[0]) if bad.size else -1
            found = first_outside(slates, calendar.arrival, calendar.retirement, day)
            assert found == expected
