"""A page against its plain twin, and against the closed probabilities of the model."""

from collections.abc import Callable

import numpy as np
import pytest

from matinee_policies.arrays import IndexArray
from matinee_simulator.draws import streams
from matinee_simulator.fatigue import count_impressions, count_impressions_reference
from matinee_simulator.page import empty_page, page_weights, serve_pages
from matinee_simulator.page_reference import serve_page_reference
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population
from matinee_simulator.satiation import (
    add_satiation,
    decay_satiation,
    remaining_share,
    satiation_weights,
    satiation_with,
)
from matinee_simulator.session_end import leave_probability_reference
from matinee_simulator.simulation import Simulation
from matinee_simulator.truth import item_truth
from matinee_simulator.user_state import UserState, fresh_state
from matinee_simulator.world import World

Build = Callable[..., Simulation]
Draw = Callable[..., IndexArray]

EASY = Parameters(
    click_base=-1.5, rating_share=0.5, max_pages=3, fatigue_capacity=40, fatigue_days=2
)
"""Many clicks and ratings, and a ring that overflows."""


def easy_state(world: World, n: int) -> UserState:
    population = Population.draw(world, np.arange(n), seed=5, parameters=EASY)
    return fresh_state(population, topics=world.n_topics, capacity=40, start_day=0)


def test_pages_equal_their_plain_twin(world: World, random_slates: Draw) -> None:
    truth, weights, keys = item_truth(world), page_weights(EASY), streams(5)
    compiled, plain = easy_state(world, 12), easy_state(world, 12)
    units = np.arange(12, dtype=np.int32)
    for round_ in range(9):
        day, page = (round_ // 3) * 2, round_ % 3
        # Half of the slates come again, so that fatigue and satiation matter.
        slates = random_slates(12, seed=round_ % 2)
        out = empty_page(12, 10)
        serve_pages(truth, compiled, weights, keys, units, slates, day, page, out)
        for unit in units:
            twin = serve_page_reference(
                truth, plain, weights, keys, int(unit), slates[unit], day, page
            )
            for name in ("clicks", "watch", "ratings", "rating_delay"):
                np.testing.assert_allclose(
                    getattr(out, name)[unit], getattr(twin, name)[0], rtol=1e-5, err_msg=name
                )
            assert out.left[unit] == twin.left[0]
    for name in UserState._fields:
        ours, theirs = getattr(compiled, name), getattr(plain, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6, err_msg=name)
    assert compiled.clicks.sum() > 50


def test_ring_counts_the_newest_impressions_within_the_window() -> None:
    rng = np.random.default_rng(1)
    items, days = np.full(16, -1, np.int32), np.zeros(16, np.int16)
    history: list[tuple[int, int]] = []
    for k in range(60):
        item, day = int(rng.integers(4)), k // 5
        items[k % 16], days[k % 16] = item, day
        history.append((item, day))
        for wanted in range(4):
            expected = count_impressions_reference(history[-16:], wanted, day, 3)
            assert count_impressions(items, days, wanted, day, 3) == expected


def test_satiation_rises_halves_and_stops_at_its_cap() -> None:
    weights = satiation_weights(Parameters())
    topics = np.array([0.6, 0.8, 0.0], np.float32)
    levels = np.zeros(3, np.float32)
    add_satiation(weights, levels, topics, True)
    np.testing.assert_allclose(levels, 1.03 * topics, rtol=1e-6)
    assert satiation_with(levels, topics) == pytest.approx(1.03, rel=1e-6)
    add_satiation(weights, levels, topics, False)
    np.testing.assert_allclose(levels, 1.06 * topics, rtol=1e-6)
    assert remaining_share(weights, 4) == pytest.approx(0.5, rel=1e-12)
    assert remaining_share(weights, 0) == 1.0
    decay_satiation(levels, 0.5)
    np.testing.assert_allclose(levels, 0.53 * topics, rtol=1e-6)
    for _ in range(30):
        add_satiation(weights, levels, topics, True)
    np.testing.assert_allclose(levels, [12.0, 12.0, 0.0])


def test_clicks_come_as_often_as_their_probability(simulate: Build, random_slates: Draw) -> None:
    simulation = simulate(6_000)
    units, slates = simulation.begin_day(0), random_slates(6_000)
    reach = 0.85 ** np.arange(10)
    chances = simulation.oracle().click_probability(units, slates) * reach
    clicks = simulation.step_page(units, slates, 0).clicks
    for slot in range(10):
        p, seen = chances[:, slot], clicks[:, slot]
        assert abs(seen.sum() - p.sum()) < 4 * np.sqrt(np.sum(p * (1 - p)))


def test_expected_clicks_count_redundancy(simulate: Build, random_slates: Draw) -> None:
    simulation = simulate(6_000, click_redundancy=3.0, click_base=-1.0)
    units, slates = simulation.begin_day(0), random_slates(6_000)
    oracle = simulation.oracle()
    expected = oracle.expected_clicks(units, slates)
    reach = 0.85 ** np.arange(10)
    assert np.all(expected < (oracle.click_probability(units, slates) * reach).sum(axis=1))
    clicks = simulation.step_page(units, slates, 0).clicks.sum(axis=1)
    assert abs(np.mean(clicks - expected)) < 4 * np.std(clicks - expected) / np.sqrt(6_000)


def test_depth_is_geometric_and_gamma_is_recovered(simulate: Build, random_slates: Draw) -> None:
    n, slots = 20_000, 10
    simulation = simulate(n, click_base=0.0)
    units, slates = simulation.begin_day(0), random_slates(n)
    clicks = simulation.step_page(units, slates, 0).clicks
    depths = simulation.oracle().examined(units)
    for rank in range(1, slots + 1):
        p = 0.85 ** (rank - 1)
        assert abs(np.mean(depths >= rank) - p) <= 4 * np.sqrt(p * (1 - p) / n)
    # Slates are random, so clicks per rank fall as gamma^k; maximum likelihood over a grid.
    grid = np.arange(0.75, 0.95, 0.0005)
    shares = grid[:, None] ** np.arange(slots)
    shares /= shares.sum(axis=1, keepdims=True)
    counts = clicks.sum(axis=0)
    estimate = grid[np.argmax(np.log(shares) @ counts)]
    ranks = np.arange(slots)
    spread = np.average(ranks**2, weights=counts) - np.average(ranks, weights=counts) ** 2
    # Fisher information of a truncated geometric law: n Var(rank) / gamma^2; clicks of one page
    # share its depth, which at most multiplies the variance by the clicks per page.
    error = 0.85 / np.sqrt(counts.sum() * spread) * np.sqrt(counts.sum() / n)
    assert abs(estimate - 0.85) < 4 * error < 0.02


def test_watch_is_a_noisy_view_of_satisfaction(simulate: Build, random_slates: Draw) -> None:
    simulation = simulate(4_000, click_base=0.0, satisfaction_noise=0.0)
    units, slates = simulation.begin_day(0), random_slates(4_000)
    liked = simulation.oracle().expected_satisfaction(units, slates)
    seen = simulation.step_page(units, slates, 0)
    watch = seen.watch[seen.clicks].astype(np.float64)
    noise = np.log(watch / (1 - watch)) - liked[seen.clicks]
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    assert abs(noise.var() - 1) < 4 * np.sqrt(2 / noise.size)


def test_session_satisfaction_is_expected_satisfaction_plus_noise(
    simulate: Build, random_slates: Draw
) -> None:
    simulation = simulate(4_000, click_base=0.0)
    units, slates = simulation.begin_day(0), random_slates(4_000)
    oracle = simulation.oracle()
    liked = oracle.expected_satisfaction(units, slates)
    clicks = simulation.step_page(units, slates, 0).clicks
    noise = oracle.session_satisfaction() - np.sum(liked * clicks, axis=1)
    scaled = noise[clicks.any(axis=1)] / (0.6 * np.sqrt(clicks.sum(axis=1)[clicks.any(axis=1)]))
    assert abs(scaled.mean()) < 4 / np.sqrt(scaled.size)
    assert abs(scaled.var() - 1) < 4 * np.sqrt(2 / scaled.size)


def test_one_click_in_ten_is_rated_after_a_day(
    simulate: Build, random_slates: Draw, world: World
) -> None:
    simulation = simulate(6_000, click_base=0.0)
    units = simulation.begin_day(0)
    seen = simulation.step_page(units, random_slates(6_000), 0)
    rated = ~np.isnan(seen.ratings)
    clicks = int(seen.clicks.sum())
    assert not rated[~seen.clicks].any()
    assert abs(rated.sum() - 0.1 * clicks) < 4 * np.sqrt(0.09 * clicks)
    assert np.isin(seen.ratings[rated], world.rating_levels).all()
    delays = seen.rating_delay[rated]
    assert np.array_equal(np.isnan(seen.rating_delay), ~rated)
    assert abs(delays.mean() - 1.0) < 4 / np.sqrt(delays.size)


def test_ratings_carry_no_appeal(simulate: Build, world: World, random_slates: Draw) -> None:
    simulation = simulate(8_000, click_base=1.0, rating_share=1.0)
    units, slates = simulation.begin_day(0), random_slates(8_000)
    relevance = simulation.oracle().relevance(units, slates)
    seen = simulation.step_page(units, slates, 0)
    x, c = relevance[seen.clicks], world.appeal[slates[seen.clicks]].astype(np.float64)

    def partial(values: np.ndarray) -> float:
        design = np.column_stack([np.ones_like(x), x])
        rest = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (values, c)]
        return float(np.corrcoef(rest[0], rest[1])[0, 1])

    n = x.size
    assert abs(partial(seen.ratings[seen.clicks].astype(np.float64))) < 4 / np.sqrt(n)
    watch = seen.watch[seen.clicks].astype(np.float64)
    assert partial(np.log(watch / (1 - watch))) < -0.3


def test_leaving_comes_as_often_as_its_probability(simulate: Build, random_slates: Draw) -> None:
    simulation = simulate(8_000, click_base=-1.0)
    units = simulation.begin_day(0)
    seen = simulation.step_page(units, random_slates(8_000), 0)
    weights = page_weights(Parameters()).leave
    total = simulation.oracle().session_satisfaction()
    p = leave_probability_reference(weights, 0.0, total, seen.clicks.sum(axis=1), 1)
    assert abs(seen.left.sum() - p.sum()) < 4 * np.sqrt(np.sum(p * (1 - p)))


def test_what_was_shown_and_not_clicked_loses_attraction(
    simulate: Build, random_slates: Draw
) -> None:
    simulation = simulate(
        300, satiation_impression=0.0, click_satiation=0.0, leave_base=-50.0, return_base=50.0
    )
    slates, oracle = random_slates(300), simulation.oracle()
    units = simulation.begin_day(0)
    before = oracle.click_probability(units, slates)
    seen = simulation.step_page(units, slates, 0)
    after = oracle.click_probability(units, slates)

    def logit(p: np.ndarray) -> np.ndarray:
        return np.asarray(np.log(p / (1 - p)))

    np.testing.assert_allclose(logit(after[~seen.clicks]), logit(before[~seen.clicks]) - 0.3)
    np.testing.assert_allclose(after[seen.clicks], before[seen.clicks])
    simulation.end_day()
    for day in range(1, 15):
        simulation.begin_day(day)
        later = oracle.click_probability(units, slates)
        np.testing.assert_allclose(later, after if day < 14 else before)
        simulation.end_day()


def test_satiation_lowers_attraction_and_recovers(simulate: Build, random_slates: Draw) -> None:
    simulation = simulate(500, click_base=8.0, click_fatigue=0.0, examination_persistence=1.0)
    slates, oracle = random_slates(500), simulation.oracle()
    units = simulation.begin_day(0)
    fresh = oracle.satiation(units)
    before = oracle.expected_satisfaction(units, slates)
    simulation.step_page(units, slates, 0)
    sated = oracle.satiation(units)
    after = oracle.expected_satisfaction(units, slates)
    assert not fresh.any()
    assert np.all(after.mean(axis=1) < before.mean(axis=1))
    simulation.end_day()
    for day in range(1, 5):
        simulation.begin_day(day)
        simulation.end_day()
    np.testing.assert_allclose(oracle.satiation(units), sated * 2 ** (-5 / 4), rtol=1e-6)
