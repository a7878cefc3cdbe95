from dataclasses import replace

import numpy as np
import pytest

from matinee_policies import ContextError, OutcomeBatch
from matinee_policies.arrays import FloatArray
from matinee_policies.forgetting import NO_DAY
from matinee_policies.linear import RidgeState
from matinee_policies.sliding_window import (
    WindowSums,
    window_accumulate,
    window_accumulate_reference,
    window_solve,
)
from matinee_policies.testing_data import example_outcomes

WINDOW = 4


def learned(*parts: OutcomeBatch, start: WindowSums | None = None) -> WindowSums:
    sums = start or WindowSums.empty(5, window=WINDOW)
    for part in parts:
        sums = window_accumulate(sums, part)
    return sums


def both_components(seed: int, *, slates: int = 200) -> tuple[OutcomeBatch, OutcomeBatch]:
    """Over 10 days of 20 slates."""
    return (
        example_outcomes(seed, slates=slates, dimension=5),
        example_outcomes(seed, slates=slates, dimension=5, first=False),
    )


def day_by_day(first: OutcomeBatch, later: OutcomeBatch, *, lag: int) -> list[OutcomeBatch]:
    """First components at the end of their day, later ones so many days after."""
    assert first.days is not None
    parts = []
    for day in range(int(first.days.max()) + 1):
        parts.append(first.rows(first.days == day))
        parts.append(later.rows(first.days == day - lag))
    return parts


def expected_solution(
    first: OutcomeBatch, rewards: FloatArray, *, l2: float, from_day: int
) -> tuple[FloatArray, FloatArray]:
    """theta and V^-1 by the normal equations of the rows in the window."""
    assert first.days is not None
    chosen = first.shown & (first.days >= from_day)[:, None]
    X = first.features[chosen].astype(np.float64)
    V = l2 * np.eye(5) + X.T @ X
    theta = np.linalg.solve(V, X.T @ rewards[chosen])
    return np.asarray(theta), np.asarray(np.linalg.inv(V))


def test_the_solution_equals_that_of_the_rows_in_the_window() -> None:
    """At the end of every day, whole windows and others."""
    first, later = both_components(0)
    assert first.days is not None
    for lag in (0, 2):
        sums = WindowSums.empty(5, window=WINDOW)
        for day in range(10):
            matured = later.rows(first.days == day - lag)
            sums = learned(first.rows(first.days == day), matured, start=sums)
            state = window_solve(sums, l2=3.0)
            so_far = first.rows(first.days <= day)
            known = (first.days <= day - lag)[:, None] * later.rewards
            rewards = (first.rewards + known)[first.days <= day]
            theta, inverse = expected_solution(
                so_far, rewards, l2=3.0, from_day=max(day - WINDOW + 1, 0)
            )
            np.testing.assert_allclose(state.theta, theta, rtol=1e-10)
            np.testing.assert_allclose(state.inverse, inverse, rtol=1e-10, atol=1e-15)
            np.testing.assert_array_equal(state.inverse, state.inverse.T)
            assert sums.expired == 0


def test_what_has_left_the_window_leaves_no_trace() -> None:
    """Not even in the last bit: a day is dropped, never subtracted."""
    first, later = both_components(1)
    assert first.days is not None
    whole = learned(*day_by_day(first, later, lag=1))
    recent = first.days >= 6
    only = learned(*day_by_day(first.rows(recent), later.rows(recent), lag=1))
    np.testing.assert_array_equal(whole.gram, only.gram)
    np.testing.assert_array_equal(whole.moments, only.moments)
    np.testing.assert_array_equal(whole.days, only.days)


def test_components_of_days_that_left_the_window_are_counted_not_learned() -> None:
    first, later = both_components(2)
    assert first.days is not None
    before = learned(first)
    after = learned(later, start=before)
    old = first.days < 6
    assert after.expired == int(later.shown[old].sum())
    assert after.rows == int(first.shown.sum())
    theta, _ = expected_solution(first, first.rewards + later.rewards, l2=1.0, from_day=6)
    np.testing.assert_allclose(window_solve(after, l2=1.0).theta, theta, rtol=1e-10)
    # The same for first components that come when their day has left.
    again = learned(first.rows(old), start=after)
    np.testing.assert_array_equal(again.gram, after.gram)
    assert again.expired == 2 * after.expired
    assert again.rows == after.rows


def test_the_window_empties() -> None:
    first, later = both_components(3)
    sums = learned(first, later)
    nothing = first.rows(np.array([0]))
    nothing.shown[:] = False
    for day, is_empty in ((12, False), (13, True), (2**62, True)):
        later_day = replace(nothing, days=np.array([day], dtype=np.int64))
        sums = learned(later_day, start=sums)
        state = window_solve(sums, l2=4.0)
        prior = RidgeState.prior(5, l2=4.0)
        assert np.array_equal(state.inverse, prior.inverse) == is_empty
        assert np.array_equal(state.theta, prior.theta) == is_empty
    assert (sums.days == NO_DAY).all()
    assert sums.newest == 2**62


def test_zero_rows_leave_the_prior() -> None:
    for slates in (0, 20):
        outcomes = example_outcomes(1, slates=slates, dimension=5)
        outcomes.shown[:] = False
        outcomes.features[:] = np.nan
        state = window_solve(learned(outcomes), l2=4.0)
        np.testing.assert_array_equal(state.inverse, np.eye(5) / 4.0)
        np.testing.assert_array_equal(state.theta, np.zeros(5))


@pytest.mark.parametrize("first", [True, False])
def test_sums_equal_their_readable_twin(first: bool) -> None:
    start = learned(*both_components(4))
    newer = example_outcomes(1, slates=300, dimension=5, first=first)
    assert newer.days is not None
    for days in (newer.days, newer.days + 2, newer.days * 3):
        outcomes = replace(newer, days=days)
        got = window_accumulate(start, outcomes)
        expected = window_accumulate_reference(start, outcomes)
        np.testing.assert_allclose(got.gram, expected.gram, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(got.moments, expected.moments, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(got.days, expected.days)
        for name in ("newest", "rows", "expired"):
            assert getattr(got, name) == getattr(expected, name)


def test_batches_leave_no_trace() -> None:
    first, later = both_components(5)
    whole = learned(first, later)
    for size in (1, 13, 33):
        pieces = [
            part.rows(np.arange(start, min(start + size, 200)))
            for part in (first, later)
            for start in range(0, 200, size)
        ]
        again = learned(*pieces)
        np.testing.assert_array_equal(again.gram, whole.gram)
        np.testing.assert_array_equal(again.moments, whole.moments)
        np.testing.assert_array_equal(again.days, whole.days)
        assert (again.rows, again.expired) == (whole.rows, whole.expired)


def test_sums_are_not_changed_in_place() -> None:
    sums = learned(*both_components(1))
    gram, moments, days = sums.gram.copy(), sums.moments.copy(), sums.days.copy()
    newer = example_outcomes(2, slates=90, dimension=5)
    assert newer.days is not None
    window_accumulate(sums, replace(newer, days=newer.days + 9))
    np.testing.assert_array_equal(sums.gram, gram)
    np.testing.assert_array_equal(sums.moments, moments)
    np.testing.assert_array_equal(sums.days, days)


def test_bad_outcomes_are_refused() -> None:
    outcomes = example_outcomes(1, slates=30, dimension=5)
    outcomes.shown[:] = True
    with pytest.raises(ContextError, match="days of outcomes must be given to a policy that"):
        learned(replace(outcomes, days=None))
    with pytest.raises(ContextError, match="days must be at least 0, got -3"):
        learned(replace(outcomes, days=np.arange(-3, 27)))
    with pytest.raises(ContextError, match="features must have dimension 5, got 2"):
        learned(example_outcomes(1, slates=3, dimension=2))
    with pytest.raises(ContextError, match="sums that overflow"):
        learned(replace(outcomes, rewards=np.full_like(outcomes.rewards, 1e308)))
    huge = replace(outcomes, features=np.full_like(outcomes.features, 1e20))
    with pytest.raises(ContextError, match="must be of moderate size, got sums up to"):
        window_solve(learned(huge), l2=1.0)
    outcomes.features[7, 1, 2] = np.nan
    with pytest.raises(ContextError, match="features of shown slots must be finite, got nan"):
        learned(outcomes)
