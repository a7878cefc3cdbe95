"""Each click model against its closed form, against enumeration, and against the others."""

import dataclasses
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.errors import ConfigError
from matinee_simulator.click_models import (
    CASCADE,
    MULTINOMIAL,
    ClickLaw,
    choice_score,
    choice_score_reference,
    click_chances_reference,
    click_law,
    fill_click_chances,
    has_enough,
    stop_probability,
)
from matinee_simulator.draws import streams
from matinee_simulator.page import empty_page, page_weights, serve_pages
from matinee_simulator.page_reference import serve_page_reference
from matinee_simulator.parameters import CLICK_MODELS, Parameters
from matinee_simulator.population import Population
from matinee_simulator.simulation import Simulation
from matinee_simulator.truth import item_truth
from matinee_simulator.user_state import UserState, fresh_state
from matinee_simulator.world import World

Build = Callable[..., Simulation]
Draw = Callable[..., IndexArray]

steady = settings(deadline=None, max_examples=60, derandomize=True)
models = pytest.mark.parametrize("model", CLICK_MODELS)
pages = st.lists(st.tuples(st.floats(-4, 4), st.floats(0, 1)), min_size=1, max_size=5)


def law_of(model: str, **changes: float) -> ClickLaw:
    return click_law(Parameters(click_model=model, **changes))  # type: ignore[arg-type]


def chances_of(law: ClickLaw, logits: FloatArray, stops: FloatArray) -> FloatArray:
    out = np.empty(logits.size)
    total = fill_click_chances(law, logits, stops, out)
    assert total == pytest.approx(out.sum(), rel=1e-12)
    return out


def by_enumeration(law: ClickLaw, logits: FloatArray, stops: FloatArray) -> FloatArray:
    """P(click at k), by every patience, every pattern of clicks and of what was enough."""
    slots = logits.size
    out = np.zeros(slots)
    for depth in range(1, slots + 1):
        reach = law.persistence ** (depth - 1) * (1 - law.persistence if depth < slots else 1)
        if law.model == MULTINOMIAL:
            odds = np.exp(logits[:depth])
            out[:depth] += reach * odds / (1 + odds.sum())
            continue
        chances = 1 / (1 + np.exp(-logits))
        stop = stops if law.model == CASCADE else np.zeros(slots)
        for pattern in product((False, True), repeat=2 * depth):
            clicks, enough = np.array(pattern[:depth]), np.array(pattern[depth:])
            p = np.prod(np.where(clicks, chances[:depth], 1 - chances[:depth]))
            p *= np.prod(np.where(enough, stop[:depth], 1 - stop[:depth]))
            before = np.append(0, np.cumsum(clicks & enough)[:-1])
            out[:depth] += reach * p * (clicks & (before == 0))
    return out


@models
@settings(deadline=None, max_examples=25, derandomize=True)
@given(page=pages, gamma=st.sampled_from([0.5, 0.85, 1.0]))
def test_closed_form_equals_enumeration_and_twin(
    model: str, page: list[tuple[float, float]], gamma: float
) -> None:
    law = law_of(model, examination_persistence=gamma)
    logits, stops = np.array(page).T.copy()
    chances = chances_of(law, logits, stops)
    np.testing.assert_allclose(chances, by_enumeration(law, logits, stops), rtol=1e-9)
    np.testing.assert_allclose(chances, click_chances_reference(law, logits, stops), rtol=1e-9)


@models
def test_empty_slots_use_up_a_rank_and_sure_clicks_do_not_overflow(model: str) -> None:
    law, stops = law_of(model, examination_persistence=0.85), np.full(3, 0.5)
    alone = chances_of(law, np.array([-np.inf, 0.0, -np.inf]), stops)
    np.testing.assert_allclose(alone, [0.0, 0.85 * 0.5, 0.0], rtol=1e-12)
    sure = chances_of(law, np.array([5_000.0, -5_000.0, 5_000.0]), stops)
    expected = {
        "position": [1, 0, 0.85**2],
        "cascade": [1, 0, 0.85**2 * 0.5],
        # Two sure items share the pages that reach both.
        "multinomial": [1 - 0.85**2 / 2, 0, 0.85**2 / 2],
    }
    np.testing.assert_allclose(sure, expected[model], atol=1e-12)


@models
@steady
@given(page=pages, at=st.integers(0, 4), more=st.floats(0.01, 3))
def test_each_item_draws_clicks_to_itself(
    model: str, page: list[tuple[float, float]], at: int, more: float
) -> None:
    law, (logits, stops) = law_of(model), np.array(page).T.copy()
    at %= logits.size
    raised = logits.copy()
    raised[at] += more
    before, after = chances_of(law, logits, stops), chances_of(law, raised, stops)
    others = np.arange(logits.size) != at
    assert after[at] > before[at]
    assert np.all(after[others] <= before[others] * (1 + 1e-12))
    if model == "position":
        assert np.array_equal(after[others], before[others])
    if model == "multinomial":
        assert after.sum() > before.sum()


@models
@steady
@given(page=pages, low=st.floats(0.1, 0.9), more=st.floats(0.01, 0.1))
def test_patience_never_costs_clicks(
    model: str, page: list[tuple[float, float]], low: float, more: float
) -> None:
    logits, stops = np.array(page).T.copy()
    less, patient = (
        chances_of(law_of(model, examination_persistence=gamma), logits, stops).sum()
        for gamma in (low, low + more)
    )
    assert patient >= less * (1 - 1e-12)


@steady
@given(y=st.floats(-3, 3), more=st.floats(0.05, 2), enough=st.floats(-1, 2), sd=st.floats(0.1, 2))
def test_stopping_rises_with_satisfaction(y: float, more: float, enough: float, sd: float) -> None:
    law = law_of("cascade", cascade_enough=enough, cascade_enough_sd=sd)
    assert stop_probability(law, y + more) > stop_probability(law, y)
    harder = law_of("cascade", cascade_enough=enough + more, cascade_enough_sd=sd)
    assert stop_probability(harder, y) < stop_probability(law, y)
    # The mean of P(stop | y) over y, by Gauss-Hermite quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    by_y = stats.norm.cdf((y + 0.6 * nodes - enough) / sd) @ weights / np.sqrt(2 * np.pi)
    assert stop_probability(law, y) == pytest.approx(by_y, abs=2e-4)


def test_stopping_comes_as_often_as_its_probability() -> None:
    law = law_of("cascade", satisfaction_noise=0.0)
    draws = np.random.default_rng(2).normal(size=20_000)
    for y in (-0.5, 0.9, 1.8):
        p = stats.norm.cdf((y - 1.0) / 0.5)
        share = np.mean([has_enough(law, y, draw) for draw in draws])
        assert abs(share - p) < 4 * np.sqrt(p * (1 - p) / draws.size) + 1e-12
        assert stop_probability(law, y) == pytest.approx(p, rel=1e-12)


def test_largest_score_is_a_softmax_draw() -> None:
    logits, draws = np.array([0.0, 1.0, -1.0]), np.random.default_rng(4).random((30_000, 3))
    scores = [[choice_score(x, u) for x, u in zip(logits, row, strict=True)] for row in draws]
    counts = np.bincount(np.argmax(scores, axis=1), minlength=3)
    expected = draws.shape[0] * np.exp(logits) / np.exp(logits).sum()
    assert stats.chisquare(counts, expected).pvalue > 1e-4
    for x, u in [(0.3, 0.0), (0.3, 0.7), (-2.0, 1 - 2**-53)]:
        assert choice_score(x, u) == pytest.approx(choice_score_reference(x, u), rel=1e-9)


@models
def test_clicks_by_rank_come_as_often_as_their_chances(
    simulate: Build, random_slates: Draw, model: str
) -> None:
    n = 12_000
    simulation = simulate(n, click_model=model, click_base=-0.5, click_redundancy=1.0)
    units, slates = simulation.begin_day(0), random_slates(n)
    slates[::5, 3] = -1
    oracle = simulation.oracle()
    chances, expected = oracle.click_chances(units, slates), oracle.expected_clicks(units, slates)
    clicks = simulation.step_page(units, slates, 0).clicks
    np.testing.assert_allclose(chances.sum(axis=1), expected, rtol=1e-12)
    error = np.sqrt(np.sum(chances * (1 - chances), axis=0))
    z = (clicks.sum(axis=0) - chances.sum(axis=0)) / error
    assert np.all(np.abs(z) < 4)
    totals = clicks.sum(axis=1) - expected
    assert abs(totals.mean()) < 4 * totals.std() / np.sqrt(n)
    assert not clicks[slates < 0].any()


def test_multinomial_clicks_once_and_a_cascade_stops_at_a_click(
    simulate: Build, random_slates: Draw
) -> None:
    seen = {}
    for model in CLICK_MODELS:
        simulation = simulate(4_000, click_model=model, click_base=0.0)
        units = simulation.begin_day(0)
        clicks = simulation.step_page(units, random_slates(4_000), 0).clicks
        seen[model] = (clicks, simulation.oracle().examined(units))
    assert seen["multinomial"][0].sum(axis=1).max() == 1
    assert np.array_equal(seen["multinomial"][1], seen["position"][1])
    (clicks, depth), (others, patience) = seen["cascade"], seen["position"]
    stopped = depth < patience
    # The same draws: a cascade is the position-based page, cut after the click that was enough.
    within = np.arange(10) < depth[:, None]
    assert np.array_equal(clicks, others & within)
    assert clicks[stopped, depth[stopped] - 1].all()
    assert 0.2 < stopped.mean() < 0.9


def test_cascade_without_enough_is_the_position_model(simulate: Build, random_slates: Draw) -> None:
    feedback = []
    for changes in ({}, {"click_model": "cascade", "cascade_enough": 100.0}):
        simulation = simulate(500, click_base=-0.5, **changes)
        units = simulation.begin_day(0)
        feedback.append(dataclasses.astuple(simulation.step_page(units, random_slates(500), 0)))
    for ours, theirs in zip(*feedback, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("model", ["cascade", "multinomial"])
def test_users_do_not_depend_on_how_they_are_batched(
    simulate: Build, random_slates: Draw, model: str
) -> None:
    whole, single = (simulate(60, click_model=model, click_base=0.0) for _ in range(2))
    units, slates = whole.begin_day(0), random_slates(60)
    single.begin_day(0)
    seen = whole.step_page(units, slates, 0)
    for unit in units[::-1]:
        one = single.step_page(units[unit : unit + 1], slates[unit : unit + 1], 0)
        for name in ("clicks", "watch", "ratings", "rating_delay", "left"):
            np.testing.assert_array_equal(getattr(one, name)[0], getattr(seen, name)[unit])


@pytest.mark.parametrize("model", ["cascade", "multinomial"])
def test_pages_equal_their_plain_twin(world: World, random_slates: Draw, model: str) -> None:
    easy = Parameters(click_model=model, click_base=-0.5, rating_share=0.5, fatigue_capacity=40)
    population = Population.draw(world, np.arange(12), seed=5, parameters=easy)
    compiled, plain = (
        fresh_state(population, topics=world.n_topics, capacity=40, start_day=0) for _ in range(2)
    )
    truth, weights, keys = item_truth(world), page_weights(easy), streams(5)
    units = np.arange(12, dtype=np.int32)
    for day in range(6):
        slates, out = random_slates(12, seed=day % 2), empty_page(12, 10)
        serve_pages(truth, compiled, weights, keys, units, slates, day, 0, out)
        for unit in units.tolist():
            twin = serve_page_reference(truth, plain, weights, keys, unit, slates[unit], day, 0)
            for ours, theirs in zip(out, twin, strict=True):
                np.testing.assert_allclose(ours[unit], theirs[0], rtol=1e-5)
    for name in UserState._fields:
        ours, theirs = getattr(compiled, name), getattr(plain, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6, err_msg=name)
    assert compiled.clicks.sum() > 5


def test_unknown_click_model_is_named() -> None:
    with pytest.raises(ConfigError, match="one of position, cascade, multinomial, got 'pbm'"):
        Parameters(click_model="pbm")
    with pytest.raises(ConfigError, match="cascade_enough_sd must be > 0"):
        Parameters(cascade_enough_sd=0.0)
