"""The bracket around the best page, against every page there is."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest

from matinee_policies.arrays import IndexArray
from matinee_policies.errors import ContextError
from matinee_simulator.oracle import Oracle
from matinee_simulator.simulation import Simulation

Build = Callable[..., Simulation]
Draw = Callable[..., IndexArray]

USERS, CANDIDATES, SLOTS = 30, 6, 3


def worn(simulate: Build, random_slates: Draw, **changes: float) -> tuple[Oracle, IndexArray]:
    """The truth about users who have seen some of the candidates before."""
    simulation = simulate(USERS, click_base=-1.0, return_base=50.0, churn_base=-50.0, **changes)
    units = simulation.begin_day(0)
    simulation.step_page(units, random_slates(USERS)[:, :5].copy(), 0)
    simulation.end_day()
    return simulation.oracle(), simulation.begin_day(1)


def best_by_enumeration(oracle: Oracle, units: IndexArray, candidates: IndexArray) -> np.ndarray:
    best = np.zeros(units.size)
    for places in permutations(range(candidates.shape[1]), SLOTS):
        slates = np.ascontiguousarray(candidates[:, list(places)])
        best = np.maximum(best, oracle.expected_clicks(units, slates))
    return best


def test_the_best_page_lies_between_greedy_and_bound(simulate: Build, random_slates: Draw) -> None:
    oracle, units = worn(simulate, random_slates, click_redundancy=3.0)
    candidates = random_slates(USERS, CANDIDATES)
    found = oracle.best_page(units, candidates, slots=SLOTS)
    best = best_by_enumeration(oracle, units, candidates)
    assert np.all(found.greedy <= best * (1 + 1e-12))
    assert np.all(best <= found.bound * (1 + 1e-12))
    # With that much redundancy the bracket is open, yet the greedy page is nearly the best one.
    assert np.mean(found.bound - best) > 0.01
    assert np.mean(best - found.greedy) < 0.02 * np.mean(best)


def test_greedy_counts_the_clicks_of_its_own_page(simulate: Build, random_slates: Draw) -> None:
    oracle, units = worn(simulate, random_slates, click_redundancy=1.5)
    found = oracle.best_page(units, random_slates(USERS, 40), slots=10)
    np.testing.assert_allclose(found.greedy, oracle.expected_clicks(units, found.slates), rtol=1e-9)
    assert all(np.unique(slate).size == 10 for slate in found.slates)


def test_greedy_takes_the_likeliest_click_slot_by_slot(
    simulate: Build, random_slates: Draw
) -> None:
    oracle, units = worn(simulate, random_slates, click_redundancy=2.0)
    candidates = random_slates(USERS, CANDIDATES)
    slates = oracle.best_page(units, candidates, slots=SLOTS).slates
    for slot in range(SLOTS):
        chosen = oracle.expected_clicks(units, np.ascontiguousarray(slates[:, : slot + 1]))
        for k in range(CANDIDATES):
            other = slates[:, : slot + 1].copy()
            other[:, slot] = candidates[:, k]
            fresh = ~(slates[:, :slot] == candidates[:, k : k + 1]).any(axis=1)
            gain = oracle.expected_clicks(units, other) - chosen
            assert gain[fresh].max(initial=-1.0) <= 1e-12


def test_without_redundancy_both_bounds_are_the_best_page(
    simulate: Build, random_slates: Draw
) -> None:
    oracle, units = worn(simulate, random_slates, click_redundancy=0.0)
    candidates = random_slates(USERS, CANDIDATES)
    found = oracle.best_page(units, candidates, slots=SLOTS)
    best = best_by_enumeration(oracle, units, candidates)
    np.testing.assert_allclose(found.greedy, best, rtol=1e-12)
    np.testing.assert_allclose(found.bound, best, rtol=1e-12)


def test_missing_candidates_leave_slots_empty(simulate: Build, random_slates: Draw) -> None:
    oracle, units = worn(simulate, random_slates)
    candidates = random_slates(USERS, CANDIDATES)
    candidates[:, 2:] = -1
    found = oracle.best_page(units, candidates, slots=SLOTS)
    assert np.array_equal(np.sort(found.slates[:, :2]), np.sort(candidates[:, :2]))
    assert np.all(found.slates[:, 2] == -1)
    none = oracle.best_page(units, np.full_like(candidates, -1), slots=SLOTS)
    assert not none.greedy.any()
    assert not none.bound.any()


def test_asking_changes_nothing_and_wrong_arrays_are_refused(
    simulate: Build, random_slates: Draw
) -> None:
    simulation = simulate(5)
    units = simulation.begin_day(0)
    before = [np.copy(array) for array in simulation._users]
    simulation.oracle().best_page(units, random_slates(units.size, 20), slots=3)
    for ours, then in zip(simulation._users, before, strict=True):
        np.testing.assert_array_equal(ours, then)
    with pytest.raises(ContextError, match="slots must be >= 1, got 0"):
        simulation.oracle().best_page(units, random_slates(units.size), slots=0)
    with pytest.raises(ContextError, match=r"\[n\] and \[n, K\]"):
        simulation.oracle().best_page(units, random_slates(units.size + 1), slots=3)
