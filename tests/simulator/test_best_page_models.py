"""Best pages of every click model, against every page there is and against random swaps."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_simulator.cascade_page import best_cascade, best_cascade_reference
from matinee_simulator.click_models import click_law, fill_click_chances
from matinee_simulator.oracle import Oracle
from matinee_simulator.parameters import CLICK_MODELS, Parameters
from matinee_simulator.simulation import Simulation

Build = Callable[..., Simulation]
Draw = Callable[..., IndexArray]

USERS, CANDIDATES, SLOTS = 60, 6, 3

models = pytest.mark.parametrize("model", CLICK_MODELS)
items = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6)


def at_work(simulate: Build, model: str, **changes: float) -> tuple[Oracle, IndexArray]:
    """Users who click and stop often, so that the models differ much."""
    simulation = simulate(
        USERS, click_model=model, click_base=0.5, cascade_enough=0.0, click_appeal=1.5, **changes
    )
    return simulation.oracle(), simulation.begin_day(0)


def best_by_enumeration(oracle: Oracle, units: IndexArray, candidates: IndexArray) -> FloatArray:
    best = np.zeros(units.size)
    for places in permutations(range(candidates.shape[1]), SLOTS):
        slates = np.ascontiguousarray(candidates[:, list(places)])
        best = np.maximum(best, oracle.expected_clicks(units, slates))
    return best


@models
@pytest.mark.parametrize("gamma", [0.6, 0.85, 1.0])
def test_without_redundancy_the_best_page_is_exact(
    simulate: Build, random_slates: Draw, model: str, gamma: float
) -> None:
    oracle, units = at_work(simulate, model, examination_persistence=gamma)
    candidates = random_slates(USERS, CANDIDATES)
    found = oracle.best_page(units, candidates, slots=SLOTS)
    best = best_by_enumeration(oracle, units, candidates)
    np.testing.assert_allclose(found.greedy, best, rtol=1e-12)
    np.testing.assert_allclose(found.bound, best, rtol=1e-12)
    np.testing.assert_allclose(oracle.expected_clicks(units, found.slates), best, rtol=1e-12)


@models
@pytest.mark.parametrize("weight", [0.8, 3.0])
def test_with_redundancy_the_best_page_lies_between(
    simulate: Build, random_slates: Draw, model: str, weight: float
) -> None:
    oracle, units = at_work(simulate, model, click_redundancy=weight, examination_persistence=0.95)
    candidates = random_slates(USERS, CANDIDATES)
    found = oracle.best_page(units, candidates, slots=SLOTS)
    best = best_by_enumeration(oracle, units, candidates)
    assert np.all(found.greedy <= best * (1 + 1e-12))
    assert np.all(best <= found.bound * (1 + 1e-12))
    np.testing.assert_allclose(oracle.expected_clicks(units, found.slates), found.greedy, rtol=1e-9)
    assert np.mean(best - found.greedy) < 0.03 * np.mean(best)


@models
def test_best_page_beats_a_thousand_swaps(simulate: Build, random_slates: Draw, model: str) -> None:
    oracle, units = at_work(simulate, model)
    candidates = random_slates(USERS, 40, seed=2)
    found = oracle.best_page(units, candidates, slots=10)
    outside = np.array(
        [np.setdiff1d(row, slate) for row, slate in zip(candidates, found.slates, strict=True)]
    )
    ranked = np.concatenate([found.slates, outside], axis=1).astype(np.int32)
    rng = np.random.default_rng(5)
    worse = 0
    for _ in range(1_000):
        swapped, (inside, anywhere) = ranked.copy(), (rng.integers(0, 10), rng.integers(0, 40))
        swapped[:, [inside, anywhere]] = swapped[:, [anywhere, inside]]
        clicks = oracle.expected_clicks(units, np.ascontiguousarray(swapped[:, :10]))
        assert np.all(clicks <= found.greedy * (1 + 1e-12))
        worse += int(np.sum(clicks < found.greedy * (1 - 1e-9)))
    assert worse > 0.9 * 1_000 * USERS * (1 - 1 / 40)


def test_order_by_attraction_is_not_the_best_cascade(simulate: Build, random_slates: Draw) -> None:
    oracle, units = at_work(simulate, "cascade", examination_persistence=0.95)
    candidates = random_slates(USERS, 40)
    chances = oracle.click_probability(units, candidates)
    ranked = np.take_along_axis(candidates, np.argsort(-chances, axis=1), axis=1)
    by_chance = oracle.expected_clicks(units, np.ascontiguousarray(ranked[:, :10]))
    best = oracle.best_page(units, candidates, slots=10).greedy
    assert np.all(best >= by_chance * (1 - 1e-12))
    assert best.mean() > 1.02 * by_chance.mean()


@settings(deadline=None, max_examples=150, derandomize=True)
@given(page=items, slots=st.integers(1, 4), gamma=st.sampled_from([0.3, 0.85, 1.0]))
def test_best_cascade_equals_trying_every_page(
    page: list[tuple[float, float]], slots: int, gamma: float
) -> None:
    chances, stops = np.array(page).T.copy()
    places = np.empty(slots, dtype=np.int64)
    worth = best_cascade(gamma, chances, stops, places)
    assert worth == pytest.approx(best_cascade_reference(gamma, chances, stops, slots), rel=1e-12)
    filled = places[places >= 0]
    assert filled.size == min(slots, chances.size) == np.unique(filled).size
    counted = 0.0
    for k in filled[::-1]:
        counted = chances[k] + gamma * (1 - chances[k] * stops[k]) * counted
    assert counted == pytest.approx(worth, rel=1e-12)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    page=items,
    at=st.integers(0, 5),
    slots=st.integers(1, 4),
    share=st.floats(0, 1),
    gamma=st.sampled_from([0.3, 0.85, 1.0]),
)
def test_best_cascade_never_gains_from_a_less_attractive_item(
    page: list[tuple[float, float]], at: int, slots: int, share: float, gamma: float
) -> None:
    chances, stops = np.array(page).T.copy()
    places, lower = np.empty(slots, dtype=np.int64), chances.copy()
    lower[at % lower.size] *= share
    less = best_cascade(gamma, lower, stops, places)
    assert less <= best_cascade(gamma, chances, stops, places) * (1 + 1e-12)


def test_a_given_cascade_may_gain_from_a_less_attractive_item() -> None:
    # A sure click that satisfies, above three good items: a best page puts it last.
    law = click_law(Parameters(click_model="cascade", examination_persistence=1.0))
    logits, stops = np.array([50.0, 2.0, 2.0, 2.0]), np.array([1.0, 0.0, 0.0, 0.0])
    hidden = np.append(-50.0, logits[1:])
    scratch = np.empty(4)
    given_page = fill_click_chances(law, logits, stops, scratch)
    assert given_page == pytest.approx(1.0)
    assert fill_click_chances(law, hidden, stops, scratch) > 2.0
    places = np.empty(4, dtype=np.int64)
    best_cascade(1.0, 1 / (1 + np.exp(-logits)), stops, places)
    assert places[-1] == 0


@models
def test_missing_candidates_leave_slots_empty(
    simulate: Build, random_slates: Draw, model: str
) -> None:
    oracle, units = at_work(simulate, model)
    candidates = random_slates(USERS, CANDIDATES)
    candidates[:, 2:] = -1
    found = oracle.best_page(units, candidates, slots=SLOTS)
    assert np.array_equal(np.sort(found.slates[:, :2]), np.sort(candidates[:, :2]))
    assert np.all(found.slates[:, 2] == -1)
    none = oracle.best_page(units, np.full_like(candidates, -1), slots=SLOTS)
    assert not none.greedy.any()
    assert not none.bound.any()
