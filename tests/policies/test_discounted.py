from dataclasses import replace

import numpy as np
import pytest

from matinee_policies import ContextError, OutcomeBatch
from matinee_policies.arrays import FloatArray
from matinee_policies.discounted import (
    DiscountedSums,
    discounted_accumulate,
    discounted_accumulate_reference,
    discounted_solve,
)
from matinee_policies.linear import RidgeState, RidgeSums, ridge_accumulate, ridge_solve
from matinee_policies.testing_data import example_outcomes

GAMMA = 0.8


def learned(*parts: OutcomeBatch, gamma: float = GAMMA) -> DiscountedSums:
    sums = DiscountedSums.empty(5)
    for part in parts:
        sums = discounted_accumulate(sums, part, gamma=gamma)
    return sums


def both_components(seed: int, *, slates: int = 300) -> tuple[OutcomeBatch, OutcomeBatch]:
    return (
        example_outcomes(seed, slates=slates, dimension=5),
        example_outcomes(seed, slates=slates, dimension=5, first=False),
    )


def expected_solution(
    first: OutcomeBatch, rewards: FloatArray, *, today: int, l2: float
) -> tuple[FloatArray, FloatArray]:
    """theta and V^-1 V~ V^-1 from explicitly weighted rows."""
    assert first.days is not None
    ages = np.broadcast_to(today - first.days[:, None], first.shown.shape)[first.shown]
    X = first.features[first.shown].astype(np.float64)
    weights = GAMMA ** ages.astype(np.float64)
    V = l2 * np.eye(5) + (X * weights[:, None]).T @ X
    squared = l2 * np.eye(5) + (X * weights[:, None] ** 2).T @ X
    theta = np.linalg.solve(V, X.T @ (weights * rewards[first.shown]))
    return np.asarray(theta), np.asarray(np.linalg.solve(V, np.linalg.solve(V, squared).T))


def test_the_solution_equals_that_of_weighted_rows() -> None:
    first, later = both_components(0)
    state = discounted_solve(learned(first, later), gamma=GAMMA, l2=3.0)
    theta, spread = expected_solution(first, first.rewards + later.rewards, today=14, l2=3.0)
    np.testing.assert_allclose(state.theta, theta, rtol=1e-10)
    np.testing.assert_allclose(state.inverse, spread, rtol=1e-10, atol=1e-15)
    np.testing.assert_array_equal(state.inverse, state.inverse.T)


def test_with_a_day_per_round_it_is_the_recursion_of_the_paper() -> None:
    """Russac et al. 2019, section 3: V_t = gamma V_(t-1) + x x' + (1 - gamma) l2 I and so on."""
    rng = np.random.default_rng(1)
    eye = np.eye(5)
    V, squared, b = 2.0 * eye, 2.0 * eye, np.zeros(5)
    sums = DiscountedSums.empty(5)
    for round_ in range(120):
        outcomes = example_outcomes(round_, slates=1, dimension=5)
        outcomes = replace(
            outcomes,
            shown=np.array([[True, False, False]]),
            days=np.array([round_], dtype=np.int64),
            shards=rng.integers(0, 64, size=1).astype(np.uint8),
        )
        x = outcomes.features[0, 0].astype(np.float64)
        V = GAMMA * V + np.outer(x, x) + (1.0 - GAMMA) * 2.0 * eye
        squared = GAMMA**2 * squared + np.outer(x, x) + (1.0 - GAMMA**2) * 2.0 * eye
        b = GAMMA * b + x * outcomes.rewards[0, 0]
        sums = discounted_accumulate(sums, outcomes, gamma=GAMMA)
        state = discounted_solve(sums, gamma=GAMMA, l2=2.0)
        np.testing.assert_allclose(state.theta, np.linalg.solve(V, b), rtol=1e-10, atol=1e-13)
        inverse = np.linalg.inv(V)
        np.testing.assert_allclose(
            state.inverse, inverse @ squared @ inverse, rtol=1e-10, atol=1e-13
        )
    assert sums.newest == 119
    assert sums.rows == 120


def test_without_discount_it_is_plain_ridge_regression() -> None:
    first, later = both_components(0)
    got = discounted_solve(learned(first, later, gamma=1.0), gamma=1.0, l2=3.0)
    plain = RidgeSums.empty(5)
    for part in (first, later):
        plain = ridge_accumulate(plain, part)
    expected = ridge_solve(plain, l2=3.0)
    theta, inverse = expected.theta, expected.inverse
    np.testing.assert_allclose(got.theta, theta, rtol=1e-10)
    # The prior is among the rows: V~ = V, so that V^-1 V~ V^-1 = V^-1.
    np.testing.assert_allclose(got.inverse, inverse, rtol=1e-10, atol=1e-15)


def test_a_later_component_enters_with_the_weight_of_its_own_day() -> None:
    """Whenever it comes, and whatever came between."""
    first, later = both_components(3, slates=200)
    assert first.days is not None
    rewards = first.rewards + later.rewards
    theta, _ = expected_solution(first, rewards, today=9, l2=1.0)
    early, late = np.flatnonzero(first.days < 4), np.flatnonzero(first.days >= 4)
    orders = (
        (first.rows(early), later.rows(early), first.rows(late), later.rows(late)),
        (first, later.rows(late), later.rows(early)),
        (first.rows(late), first.rows(early), later),
    )
    for parts in orders:
        state = discounted_solve(learned(*parts), gamma=GAMMA, l2=1.0)
        np.testing.assert_allclose(state.theta, theta, rtol=1e-10)


def test_a_later_component_that_lags_is_discounted_to_the_newest_day() -> None:
    """Also where its shard has seen newer first components."""
    first, later = both_components(3, slates=200)
    assert first.days is not None
    known = first.days < 6
    rewards = first.rewards + known[:, None] * later.rewards
    theta, _ = expected_solution(first, rewards, today=9, l2=1.0)
    state = discounted_solve(learned(first, later.rows(known)), gamma=GAMMA, l2=1.0)
    np.testing.assert_allclose(state.theta, theta, rtol=1e-10)


@pytest.mark.parametrize("first", [True, False])
def test_sums_equal_their_readable_twin(first: bool) -> None:
    start = learned(*both_components(4, slates=100))
    newer = example_outcomes(1, slates=300, dimension=5, first=first)
    assert newer.days is not None
    for outcomes in (newer, replace(newer, days=newer.days + 50)):
        got = discounted_accumulate(start, outcomes, gamma=GAMMA)
        expected = discounted_accumulate_reference(start, outcomes, gamma=GAMMA)
        np.testing.assert_allclose(got.gram, expected.gram, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(got.moments, expected.moments, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(got.days, expected.days)
        assert (got.newest, got.rows) == (expected.newest, expected.rows)


def test_batches_and_workers_leave_no_trace() -> None:
    first, later = both_components(2)
    whole = learned(first, later)
    pieces = [
        part.rows(np.arange(start, min(start + 13, 300)))
        for start in range(0, 300, 13)
        for part in (first, later)
    ]
    again = learned(*pieces)
    even = first.shards % 2 == 0
    mine, others = (
        learned(first.rows(which), later.rows(which))
        for which in (np.flatnonzero(even), np.flatnonzero(~even))
    )
    merged = DiscountedSums(
        gram=mine.gram + others.gram,
        moments=mine.moments + others.moments,
        days=np.maximum(mine.days, others.days),
        newest=max(mine.newest, others.newest),
        rows=mine.rows + others.rows,
    )
    for sums in (again, merged):
        np.testing.assert_array_equal(sums.gram, whole.gram)
        np.testing.assert_array_equal(sums.moments, whole.moments)
        np.testing.assert_array_equal(sums.days, whole.days)
        assert (sums.newest, sums.rows) == (whole.newest, whole.rows)


def test_zero_rows_leave_the_prior() -> None:
    for slates in (0, 20):
        outcomes = example_outcomes(1, slates=slates, dimension=5)
        outcomes.shown[:] = False
        outcomes.features[:] = np.nan
        state = discounted_solve(learned(outcomes), gamma=GAMMA, l2=4.0)
        prior = RidgeState.prior(5, l2=4.0)
        np.testing.assert_array_equal(state.inverse, prior.inverse)
        np.testing.assert_array_equal(state.theta, prior.theta)


def test_what_is_very_old_leaves_the_prior() -> None:
    first, later = both_components(2, slates=100)
    sums = learned(first, later)
    nothing = first.rows(np.array([0]))
    nothing.shown[:] = False
    for day in (100_000, 2**62):
        aged = discounted_accumulate(
            sums, replace(nothing, days=np.array([day], dtype=np.int64)), gamma=GAMMA
        )
        state = discounted_solve(aged, gamma=GAMMA, l2=4.0)
        np.testing.assert_array_equal(state.inverse, np.eye(5) / 4.0)
        np.testing.assert_array_equal(state.theta, np.zeros(5))


def test_sums_are_not_changed_in_place() -> None:
    sums = learned(*both_components(1, slates=30))
    gram, moments, days = sums.gram.copy(), sums.moments.copy(), sums.days.copy()
    discounted_accumulate(sums, example_outcomes(2, slates=90, dimension=5), gamma=GAMMA)
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
        discounted_solve(learned(huge), gamma=GAMMA, l2=1.0)
    outcomes.features[7, 1, 2] = np.inf
    with pytest.raises(ContextError, match="features of shown slots must be finite, got inf"):
        learned(outcomes)
