from collections.abc import Callable

import numpy as np
import pytest

from matinee_policies.arrays import IndexArray
from matinee_policies.errors import ContextError
from matinee_simulator.page_reference import attraction_now_reference, satiation_now_reference
from matinee_simulator.parameters import Parameters
from matinee_simulator.simulation import Simulation

Build = Callable[..., Simulation]
Draw = Callable[..., IndexArray]


def worn(simulate: Build, random_slates: Draw, **changes: float) -> tuple[Simulation, IndexArray]:
    """A simulation on day 3, in which users saw the same slate on the days before."""
    simulation = simulate(40, click_base=-1.0, return_base=50.0, churn_base=-50.0, **changes)
    for day in range(3):
        units = simulation.begin_day(day)
        simulation.step_page(units, random_slates(40), 0)
        simulation.end_day()
    return simulation, simulation.begin_day(3)


def test_oracle_equals_its_plain_twin(simulate: Build, random_slates: Draw) -> None:
    simulation, units = worn(simulate, random_slates, click_redundancy=1.5)
    oracle = simulation.oracle()
    slates = np.concatenate([random_slates(40)[:, :5], random_slates(40, 5, seed=1)], axis=1)
    state = simulation._users
    single = oracle.click_probability(units, slates)
    for unit in units:
        relevance, satiation, logits = attraction_now_reference(
            simulation._truth, state, simulation._weights, int(unit), slates[unit], 3
        )
        chances = 1.0 / (1.0 + np.exp(-logits))
        np.testing.assert_allclose(oracle.relevance(units, slates)[unit], relevance, atol=1e-5)
        now = satiation_now_reference(state, simulation._weights, int(unit), 3)
        np.testing.assert_allclose(oracle.satiation(units)[unit], now, rtol=1e-5)
        whole = np.sum(Parameters().examination_persistence ** np.arange(10) * chances)
        assert oracle.expected_clicks(units, slates)[unit] == pytest.approx(whole, rel=1e-5)
        top = slates[unit, :1]
        assert single[unit, 0] == pytest.approx(chances[0], rel=1e-5)
        assert np.all(single[unit, 1:] >= chances[1:] * (1 - 1e-5))
        assert satiation[0] == pytest.approx(
            float(simulation._truth.topics[top[0]] @ now), rel=1e-4
        )


def test_oracle_changes_nothing(simulate: Build, random_slates: Draw) -> None:
    simulation, units = worn(simulate, random_slates)
    before = [np.copy(array) for array in simulation._users]
    oracle, slates = simulation.oracle(), random_slates(40)
    for ask in (oracle.click_probability, oracle.expected_clicks, oracle.expected_satisfaction):
        ask(units, slates)
    oracle.goodwill()[:] = 9.0
    oracle.examined(units)[:] = 9
    for ours, then in zip(simulation._users, before, strict=True):
        np.testing.assert_array_equal(ours, then)


def test_oracle_order_beats_random_swaps(simulate: Build, random_slates: Draw) -> None:
    simulation, units = worn(simulate, random_slates)
    oracle, candidates = simulation.oracle(), random_slates(40, 60, seed=2)
    chances = oracle.click_probability(units, candidates)
    ranked = np.take_along_axis(candidates, np.argsort(-chances, axis=1), axis=1)
    best = oracle.expected_clicks(units, np.ascontiguousarray(ranked[:, :10]))
    rng = np.random.default_rng(5)
    for _ in range(200):
        swapped = ranked.copy()
        inside, anywhere = rng.integers(0, 10), rng.integers(0, 60)
        swapped[:, [inside, anywhere]] = swapped[:, [anywhere, inside]]
        clicks = oracle.expected_clicks(units, np.ascontiguousarray(swapped[:, :10]))
        assert np.all(clicks <= best + 1e-12)


def test_wrong_arrays_are_refused(simulate: Build, random_slates: Draw) -> None:
    oracle, units = simulate(5).oracle(), np.arange(5, dtype=np.int32)
    with pytest.raises(ContextError, match="units must be within 0 and 4, got 1 to 5"):
        oracle.click_probability(units + np.int32(1), random_slates(5))
    with pytest.raises(ContextError, match="items must be within -1"):
        oracle.expected_clicks(units, random_slates(5) + np.int32(100_000))
    with pytest.raises(ContextError, match="items must be int32"):
        oracle.relevance(units, random_slates(5).astype(np.int64))
    with pytest.raises(ContextError, match=r"\[n\] and \[n, K\]"):
        oracle.relevance(units, random_slates(4))
