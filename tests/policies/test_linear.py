from dataclasses import replace

import numpy as np
import pytest

from matinee_policies.errors import ContextError
from matinee_policies.linear import (
    RidgeState,
    RidgeSums,
    ridge_accumulate,
    ridge_accumulate_reference,
    ridge_solve,
    ridge_update,
    ridge_values,
    ridge_values_reference,
)
from matinee_policies.records import OutcomeBatch
from matinee_policies.testing_data import example_outcomes, rows_of_outcomes


def learned(*parts: OutcomeBatch, dimension: int = 5) -> RidgeSums:
    sums = RidgeSums.empty(dimension)
    for part in parts:
        sums = ridge_accumulate(sums, part)
    return sums


def test_the_solution_equals_the_normal_equations() -> None:
    first = example_outcomes(0, slates=300, dimension=5)
    later = example_outcomes(0, slates=300, dimension=5, first=False)
    sums = learned(first, later)
    state = ridge_solve(sums, l2=3.0)
    X = first.features[first.shown].astype(np.float64)
    rewards = first.rewards[first.shown] + later.rewards[later.shown]
    A = 3.0 * np.eye(5) + X.T @ X
    np.testing.assert_allclose(state.theta, np.linalg.solve(A, X.T @ rewards), rtol=1e-10)
    np.testing.assert_allclose(state.inverse, np.linalg.inv(A), rtol=1e-10, atol=1e-15)
    np.testing.assert_array_equal(state.inverse, state.inverse.T)
    assert sums.rows == len(X)


@pytest.mark.parametrize("first", [True, False])
def test_sums_equal_their_readable_twin(first: bool) -> None:
    outcomes = example_outcomes(1, slates=500, dimension=5, first=first)
    got = ridge_accumulate(RidgeSums.empty(5), outcomes)
    expected = ridge_accumulate_reference(RidgeSums.empty(5), outcomes)
    np.testing.assert_allclose(got.gram, expected.gram, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(got.moments, expected.moments, rtol=1e-12, atol=1e-12)
    assert got.rows == expected.rows


def test_only_the_first_component_brings_features() -> None:
    later = example_outcomes(1, slates=50, dimension=5, first=False)
    sums = learned(later)
    assert not sums.gram.any()
    assert sums.rows == 0
    assert sums.moments[1].any()
    assert not sums.moments[0].any()


def test_zero_rows_leave_the_prior() -> None:
    for slates in (0, 20):
        outcomes = example_outcomes(1, slates=slates, dimension=5)
        outcomes.shown[:] = False
        outcomes.features[:] = np.nan
        state = ridge_solve(learned(outcomes), l2=4.0)
        prior = RidgeState.prior(5, l2=4.0)
        np.testing.assert_array_equal(state.inverse, prior.inverse)
        np.testing.assert_array_equal(prior.inverse, np.eye(5) / 4.0)
        np.testing.assert_array_equal(state.theta, np.zeros(5))


def test_the_order_of_shards_and_batches_leaves_no_trace() -> None:
    """Units may be interleaved in any way, so long as each shard keeps its own order."""
    outcomes = example_outcomes(2, slates=400, dimension=5)
    whole = learned(outcomes)
    by_shard = replace(outcomes, days=None).rows(np.argsort(outcomes.shards, kind="stable"))
    pieces = [
        rows_of_outcomes(by_shard, np.arange(start, min(start + 13, 400)))
        for start in range(0, 400, 13)
    ]
    again = learned(*pieces)
    np.testing.assert_array_equal(again.gram, whole.gram)
    np.testing.assert_array_equal(again.moments, whole.moments)


def test_sums_of_workers_that_split_the_shards_add_up_to_the_same_bits() -> None:
    outcomes = example_outcomes(2, slates=400, dimension=5)
    whole = learned(outcomes)
    even = outcomes.shards % 2 == 0
    parts = [learned(rows_of_outcomes(outcomes, np.flatnonzero(mine))) for mine in (even, ~even)]
    merged = RidgeSums(
        parts[0].gram + parts[1].gram,
        parts[0].moments + parts[1].moments,
        parts[0].rows + parts[1].rows,
    )
    assert merged.rows == whole.rows
    np.testing.assert_array_equal(merged.gram, whole.gram)
    one, two = ridge_solve(merged, l2=1.0), ridge_solve(whole, l2=1.0)
    np.testing.assert_array_equal(one.theta, two.theta)


def test_rank_one_updates_equal_the_batch_solution() -> None:
    rng = np.random.default_rng(3)
    X, rewards = rng.normal(size=(200, 6)), rng.normal(size=200)
    state = RidgeState.prior(6, l2=2.0)
    for count in range(201):
        A = 2.0 * np.eye(6) + X[:count].T @ X[:count]
        theta = np.linalg.solve(A, X[:count].T @ rewards[:count])
        np.testing.assert_allclose(state.theta, theta, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(state.inverse @ A, np.eye(6), atol=1e-11)
        if count < 200:
            state = ridge_update(state, X[count], rewards[count])
    with pytest.raises(ContextError, match="features and reward must be finite"):
        ridge_update(state, np.full(6, np.nan), 0.0)


@pytest.mark.parametrize("alpha", [0.0, 0.7])
@pytest.mark.parametrize("dimension", [1, 2, 11])
def test_values_equal_their_readable_twin(dimension: int, alpha: float) -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(9, 13, dimension)).astype(np.float32)
    state = ridge_solve(
        learned(example_outcomes(3, slates=20, dimension=dimension), dimension=dimension), l2=1.0
    )
    got = ridge_values(features, state, alpha=alpha)
    np.testing.assert_allclose(
        got, ridge_values_reference(features, state, alpha=alpha), rtol=1e-12, atol=1e-13
    )


def test_the_value_of_a_candidate_is_its_own() -> None:
    """The bits depend neither on the other candidates nor on the other decisions."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(4, 37, 11)).astype(np.float32)
    state = ridge_solve(learned(example_outcomes(3, slates=20, dimension=11), dimension=11), l2=1.0)
    whole = ridge_values(features, state, alpha=0.5)
    for row in range(4):
        for place in range(37):
            alone = ridge_values(features[row : row + 1, place : place + 1], state, alpha=0.5)
            assert alone[0, 0] == whole[row, place]


def test_sums_are_not_changed_in_place() -> None:
    sums = learned(example_outcomes(1, slates=30, dimension=5))
    gram, moments = sums.gram.copy(), sums.moments.copy()
    ridge_accumulate(sums, example_outcomes(2, slates=30, dimension=5))
    np.testing.assert_array_equal(sums.gram, gram)
    np.testing.assert_array_equal(sums.moments, moments)


def test_bad_features_are_refused() -> None:
    outcomes = example_outcomes(1, slates=30, dimension=5)
    outcomes.shown[:] = True
    for bad in (np.nan, np.inf):
        features = outcomes.features.copy()
        features[7, 1, 2] = bad
        with pytest.raises(
            ContextError, match=f"features of shown slots must be finite, got {bad}"
        ):
            learned(replace(outcomes, features=features))
    with pytest.raises(ContextError, match="features must have dimension 4, got 5"):
        learned(outcomes, dimension=4)
    with pytest.raises(ContextError, match="features must have dimension 5, got 2"):
        ridge_values(np.zeros((1, 1, 2), dtype=np.float32), RidgeState.prior(5, l2=1.0), alpha=0.0)


def test_features_beyond_the_precision_of_the_sums_are_refused() -> None:
    outcomes = example_outcomes(1, slates=2, dimension=5)
    huge = replace(outcomes, features=np.full_like(outcomes.features, 1e20))
    with pytest.raises(ContextError, match="features must be of moderate size"):
        ridge_solve(learned(huge), l2=1.0)
