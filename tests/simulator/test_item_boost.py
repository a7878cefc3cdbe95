"""What days add to attractiveness: shocks, freshness, and an oracle that knows of both."""

import dataclasses
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest

from matinee_policies.arrays import IndexArray
from matinee_policies.errors import ConfigError
from matinee_simulator.catalogue_calendar import CatalogueCalendar
from matinee_simulator.draws import streams
from matinee_simulator.item_boost import ItemBoost, truth_on
from matinee_simulator.page import empty_page, page_weights, serve_pages
from matinee_simulator.page_reference import attraction_now_reference, serve_page_reference
from matinee_simulator.parameters import CLICK_MODELS, Parameters
from matinee_simulator.population import Population
from matinee_simulator.shocks import Shocks
from matinee_simulator.simulation import Simulation
from matinee_simulator.truth import item_truth
from matinee_simulator.user_state import fresh_state
from matinee_simulator.world import World

Build = Callable[..., Simulation]
Draw = Callable[..., IndexArray]

SHOCKED = Parameters(shock_rate=0.4, shock_size=1.5, shock_days=5)
FRESH = Parameters(
    item_arrivals=6.0,
    arriving_share=0.5,
    item_life_days=40,
    click_freshness=1.2,
    freshness_half_life=7.0,
)
BOTH = dataclasses.replace(FRESH, shock_rate=0.4, shock_size=1.5, shock_days=5)


def boost_of(world: World, parameters: Parameters, *, seed: int = 1) -> ItemBoost:
    calendar = CatalogueCalendar(world, parameters, seed=seed, days=50)
    return ItemBoost(world, parameters, calendar, seed=seed)


def test_shocks_begin_as_a_poisson_process(world: World) -> None:
    days, genres = Shocks(world, SHOCKED, seed=1).beginning(0, 9_999)
    counts = np.bincount(days, minlength=10_000)
    assert abs(counts.mean() - 0.4) < 4 * np.sqrt(0.4 / 10_000)
    assert abs(counts.var() - 0.4) < 4 * np.sqrt((0.4 + 2 * 0.4**2) / 10_000)
    there = np.flatnonzero(world.topics.any(axis=0))
    assert np.array_equal(np.unique(genres), there)
    expected = genres.size / there.size
    chi2 = np.sum((np.bincount(genres)[there] - expected) ** 2) / expected
    assert chi2 < there.size - 1 + 5 * np.sqrt(2 * (there.size - 1))


def test_days_may_be_asked_for_in_any_order(world: World) -> None:
    shocks = Shocks(world, SHOCKED, seed=3)
    days, genres = shocks.beginning(-364, 400)
    assert np.all(np.diff(days) >= 0)
    for day in (0, 3, 17, 250):
        expected = np.zeros(world.n_topics)
        for start, genre in zip(days, genres, strict=True):
            expected[genre] += 1.5 * (start <= day < start + 5)
        np.testing.assert_array_equal(shocks.by_genre(day), expected)
        one = shocks.beginning(day, day)
        np.testing.assert_array_equal(one[1], genres[days == day])
    assert not np.array_equal(Shocks(world, SHOCKED, seed=4).beginning(0, 99)[0], days[:99])


def test_day_0_is_like_any_other_day(world: World) -> None:
    under_way = [
        Shocks(world, SHOCKED, seed=seed).by_genre(day).sum() / 1.5
        for seed in range(400)
        for day in (0,)
    ]
    # Little's law: rate x length = 2 under way, a Poisson number.
    assert abs(np.mean(under_way) - 2.0) < 4 * np.sqrt(2.0 / 400)


def test_a_shock_lifts_items_by_their_topics(world: World) -> None:
    boost, shocks = boost_of(world, SHOCKED), Shocks(world, SHOCKED, seed=1)
    day = next(day for day in range(50) if np.count_nonzero(shocks.by_genre(day)) == 1)
    genre = int(np.flatnonzero(shocks.by_genre(day))[0])
    shocked = boost.on(day)
    level = shocks.by_genre(day)[genre]
    np.testing.assert_allclose(shocked, level * world.topics[:, genre], rtol=1e-6)
    alone = world.topics[:, genre] == 1.0
    assert np.all(shocked[alone] == np.float32(level))
    assert np.all(shocked[world.topics[:, genre] == 0] == 0.0)


def test_what_is_fresh_is_more_attractive(world: World) -> None:
    boost = boost_of(world, FRESH)
    calendar = CatalogueCalendar(world, FRESH, seed=1, days=50)
    for day in (0, 20):
        there = calendar.available(day)
        age = (day - calendar.arrival)[there]
        values = boost.on(day)
        np.testing.assert_allclose(values[there], 1.2 * 0.5 ** (age / 7.0), rtol=1e-6)
        assert not values[~there].any()
        order = np.argsort(age, kind="stable")
        assert np.all(np.diff(values[there][order]) <= 0)


def test_nothing_is_on_by_default(world: World) -> None:
    for parameters in (
        Parameters(),
        Parameters(click_freshness=1.0),
        Parameters(shock_rate=0.5, shock_size=0.0),
        Parameters(item_life_days=400),
    ):
        boost = boost_of(world, parameters)
        assert not boost.is_on
        assert boost.table(5).shape == (1, world.n_items)
        assert not boost.table(5).any()


def test_a_table_holds_the_days(world: World) -> None:
    boost = boost_of(world, BOTH)
    table = boost.table(6)
    truth = item_truth(world)
    for day in range(6):
        np.testing.assert_array_equal(table[day], boost.on(day))
        np.testing.assert_array_equal(truth_on(truth, table, day).boost, boost.on(day))
    np.testing.assert_array_equal(truth_on(truth, table[:1], 4).boost, table[0])


def test_a_world_without_genres_has_no_shocks(world: World) -> None:
    plain = dataclasses.replace(world, topics=np.zeros_like(world.topics))
    with pytest.raises(ConfigError, match=r"without genres, got 0\.4"):
        Simulation(plain, np.arange(2), seed=1, parameters=SHOCKED)


@pytest.mark.parametrize("model", CLICK_MODELS)
def test_pages_equal_their_plain_twin(world: World, random_slates: Draw, model: str) -> None:
    parameters = dataclasses.replace(BOTH, click_model=model, click_base=-1.0, arrival_days=1)
    population = Population.draw(world, np.arange(12), seed=5, parameters=parameters)
    compiled, plain = (
        fresh_state(population, topics=world.n_topics, capacity=40, start_day=0) for _ in range(2)
    )
    table = boost_of(world, parameters, seed=5).table(8)
    weights, keys, slates = page_weights(parameters), streams(5), random_slates(12, 6)
    units = np.arange(12, dtype=np.int32)
    clicks = 0
    for day in range(8):
        truth = item_truth(world)._replace(boost=table[day])
        out = empty_page(12, 6)
        serve_pages(truth, compiled, weights, keys, units, slates, day, 0, out)
        for unit in range(12):
            slate = slates[unit]
            twin = serve_page_reference(truth, plain, weights, keys, unit, slate, day, 0)
            assert np.array_equal(out.clicks[unit], twin.clicks[0])
            clicks += int(twin.clicks.sum())
    assert clicks > 25


@pytest.mark.parametrize("model", CLICK_MODELS)
def test_the_oracle_knows_of_the_day(world: World, simulate: Build, model: str) -> None:
    changes = {name: getattr(BOTH, name) for name in _DYNAMIC}
    simulation = simulate(40, click_model=model, click_base=-1.5, **changes)
    oracle, boost = simulation.oracle(), boost_of(world, BOTH, seed=7)
    for day in range(8):
        simulation.begin_day(day)
        simulation.end_day()
    units = np.arange(40, dtype=np.int32)
    there = np.flatnonzero(simulation.available(8)).astype(np.int32)
    candidates = np.random.default_rng(0).permuted(np.tile(there, (40, 1)), axis=1)[:, :5]
    values = boost.on(8)
    assert np.unique(values[candidates]).size > 20
    chances = oracle.click_probability(units, candidates)
    weights, truth = simulation._weights, simulation._truth._replace(boost=values)
    for unit in range(40):
        _, _, logits = attraction_now_reference(
            truth, simulation._users, weights, unit, candidates[unit], 8
        )
        np.testing.assert_allclose(chances[unit], 1 / (1 + np.exp(-logits)), rtol=1e-5)
    # Without redundancy the best of all 60 pages is the oracle's, in every click model.
    found = oracle.best_page(units, candidates, slots=3)
    worths = np.stack(
        [oracle.expected_clicks(units, candidates[:, list(p)]) for p in permutations(range(5), 3)]
    )
    np.testing.assert_allclose(found.bound, worths.max(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.greedy, found.bound, rtol=1e-9)
    np.testing.assert_allclose(oracle.expected_clicks(units, found.slates), found.greedy, rtol=1e-9)


_DYNAMIC = (
    "item_arrivals",
    "arriving_share",
    "item_life_days",
    "click_freshness",
    "freshness_half_life",
    "shock_rate",
    "shock_size",
    "shock_days",
)


def test_a_shock_brings_the_clicks_that_the_oracle_expects(simulate: Build, world: World) -> None:
    n, shocked = 4_000, Parameters(shock_rate=1.0, shock_size=2.0, shock_days=5)
    shocks = Shocks(world, shocked, seed=7)
    assert shocks.by_genre(0).any()
    genre = int(np.argmax(shocks.by_genre(0)))
    items = np.argsort(-world.topics[:, genre], kind="stable")[:10].astype(np.int32)
    slates = np.tile(items, (n, 1))
    clicks = {}
    for name, simulation in (
        ("still", simulate(n)),
        ("shocked", simulate(n, shock_rate=1.0, shock_size=2.0, shock_days=5)),
    ):
        units = simulation.begin_day(0)
        expected = simulation.oracle().expected_clicks(units, slates)
        seen = simulation.step_page(units, slates, 0).clicks
        chances = expected / 10
        assert abs(seen.sum() - expected.sum()) < 4 * np.sqrt(10 * np.sum(chances))
        clicks[name] = seen
    assert clicks["shocked"].sum() > 1.5 * clicks["still"].sum()
    # With the same luck, no click is lost to a higher chance.
    assert not np.any(clicks["still"] & ~clicks["shocked"])
