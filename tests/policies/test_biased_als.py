import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from matinee_policies.arrays import FloatArray
from matinee_policies.candidates.als_rows import Penalty, Side, solve_rows, solve_rows_reference
from matinee_policies.candidates.biased_als import (
    BiasedALSConfig,
    BiasedFactors,
    fit_biased_als,
    fit_biases,
)
from matinee_policies.candidates.cholesky import cholesky_solve, cholesky_solve_reference
from matinee_policies.candidates.metrics import rmse
from matinee_policies.candidates.ratings_matrix import transposed
from matinee_policies.datasets.locate import open_dataset
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.interactions import Interactions, Ratings

SMALL = BiasedALSConfig(factors=3, iterations=8, ridge=1.0, ridge_per_rating=0.02)


def low_rank_ratings(seed: int = 0, *, users: int = 150, items: int = 90) -> Interactions:
    """Half of all pairs, of a truth with biases and three factors, with noise of .3 stars."""
    rng = np.random.default_rng(seed)
    truth = 3.5 + rng.normal(scale=0.4, size=(users, 1)) + rng.normal(scale=0.4, size=items)
    truth = truth + 0.5 * rng.normal(size=(users, 3)) @ rng.normal(size=(3, items))
    rows, columns = np.nonzero(rng.random((users, items)) < 0.5)
    stars = truth[rows, columns] + rng.normal(scale=0.3, size=rows.size)
    return Interactions.from_triplets(
        *(rows, columns, stars, np.arange(rows.size)),
        n_users=users,
        n_items=items,
        rating_range=(-20.0, 20.0),
    )


def predict_all(fitted: BiasedFactors, held_out: Interactions) -> FloatArray:
    return fitted.predict(held_out.user_rows(), held_out.matrix.indices)


@pytest.mark.parametrize("size", [1, 2, 5, 16, 33])
def test_cholesky_solves_as_numpy_does(size: int) -> None:
    rng = np.random.default_rng(size)
    half = rng.normal(size=(size, size))
    A = half @ half.T + 0.1 * np.eye(size)
    b = rng.normal(size=size)
    expected = cholesky_solve_reference(A, b)
    padded, x = np.full((size + 2, size + 2), np.nan), np.append(b, [7.0, 8.0])
    padded[:size, :size] = np.where(np.tri(size, dtype=np.bool_), A, np.nan)
    cholesky_solve(padded, x, size)
    np.testing.assert_allclose(x[:size], expected, rtol=1e-9)
    assert x[size:].tolist() == [7.0, 8.0]


@pytest.mark.parametrize("seed", range(5))
def test_rows_with_any_number_of_ratings_are_solved_as_numpy_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = np.array([0, 1, 3, 4, 5, 6, 30])
    rows = np.repeat(np.arange(counts.size), counts)
    columns = np.concatenate([rng.permutation(40)[:n] for n in counts])
    stars = rng.normal(3.0, 1.0, size=rows.size).astype(np.float32)
    matrix = sparse.csr_array((stars, (rows, columns)), shape=(counts.size, 40))
    other = Side.empty(40, 4)
    other.factors[:] = rng.normal(size=(40, 4))
    other.bias[:] = rng.normal(size=40)
    ridge = Penalty(rng.uniform(0.5, 2.0, size=5), rng.uniform(0.0, 0.2, size=5))
    solved, expected = Side.empty(counts.size, 4), Side.empty(counts.size, 4)
    solve_rows(matrix, other, solved, mean=3.0, ridge=ridge)
    solve_rows_reference(matrix, other, expected, mean=3.0, ridge=ridge)
    np.testing.assert_allclose(solved.vectors, expected.vectors, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(solved.bias, expected.bias, rtol=1e-9, atol=1e-12)
    assert solved.bias[0] == 0.0
    assert not solved.factors[0].any()


def test_half_steps_never_raise_the_penalised_error() -> None:
    matrix = low_rank_ratings().matrix
    by_item, ridge = transposed(matrix), SMALL.penalty()
    users, items = Side.empty(matrix.shape[0], 3), Side.empty(matrix.shape[1], 3)
    items.factors[:] = np.random.default_rng(1).normal(scale=0.1, size=items.factors.shape)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))

    def objective() -> float:
        predicted = 3.5 + users.bias[rows] + items.bias[matrix.indices]
        predicted += (users.factors[rows] * items.factors[matrix.indices]).sum(axis=1)
        total = float(((matrix.data - predicted) ** 2).sum())
        for side, counts in ((users, np.diff(matrix.indptr)), (items, np.diff(by_item.indptr))):
            weights = ridge.fixed + ridge.per_rating * counts[:, None]
            total += float((weights * np.column_stack([side.bias, side.factors]) ** 2).sum())
        return total

    errors = []
    for _ in range(4):
        solve_rows(matrix, items, users, mean=3.5, ridge=ridge)
        errors.append(objective())
        solve_rows(by_item, users, items, mean=3.5, ridge=ridge)
        errors.append(objective())
    assert all(after < before for before, after in itertools.pairwise(errors))


def test_factors_explain_what_biases_cannot() -> None:
    train, test = low_rank_ratings().split_random(0.2, seed=0)
    biases = rmse(predict_all(fit_biases(train.matrix), test), test.matrix.data)
    factors = rmse(predict_all(fit_biased_als(train.matrix, SMALL, seed=0), test), test.matrix.data)
    # The truth's factors have sd .5 * sqrt(3) = .87 and the noise .3.
    assert biases > 0.8
    assert factors < 0.45


def test_the_fit_follows_from_the_seed_alone() -> None:
    matrix = low_rank_ratings().matrix
    first, again, other = (fit_biased_als(matrix, SMALL, seed=seed) for seed in (3, 3, 4))
    for name in ("user_bias", "item_bias", "user_factors", "item_factors"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.global_mean == again.global_mean
    assert first.item_factors.tobytes() != other.item_factors.tobytes()


def test_wide_indices_change_nothing() -> None:
    matrix = low_rank_ratings().matrix
    wide = sparse.csr_array(
        (matrix.data, matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)),
        shape=matrix.shape,
    )
    assert wide.indices.dtype == np.int64
    narrow_fit, wide_fit = (fit_biased_als(m, SMALL, seed=0) for m in (matrix, wide))
    assert narrow_fit.user_factors.tobytes() == wide_fit.user_factors.tobytes()


def test_the_mean_user_is_zero_and_the_unrated_are_neutral() -> None:
    stars = np.array([5.0, 4.0, 4.0, 2.0, 1.0, 3.0])
    users, items = np.array([0, 0, 1, 1, 3, 3]), np.array([0, 1, 0, 3, 3, 1])
    matrix = Interactions.from_triplets(
        *(users, items, stars, np.zeros(6, dtype=np.int64)),
        n_users=4,
        n_items=5,
        rating_range=(0.5, 5.0),
    ).matrix
    fitted = fit_biased_als(matrix, SMALL, seed=0)
    rated = [0, 1, 3]
    np.testing.assert_allclose(fitted.user_factors[rated].mean(axis=0), 0.0, atol=1e-12)
    assert abs(fitted.user_bias[rated].mean()) < 1e-12
    assert not fitted.user_factors[2].any()
    assert not fitted.item_factors[[2, 4]].any()
    assert fitted.item_bias[[2, 4]].tolist() == [0.0, 0.0]
    unknown = fitted.predict(np.array([2], dtype=np.int32), np.array([4], dtype=np.int32))
    assert unknown[0] == fitted.global_mean
    assert 1.0 < fitted.global_mean < 5.0


def test_biases_alone_converge_to_the_joint_ridge_solution() -> None:
    matrix = low_rank_ratings(users=20, items=15).matrix
    rows = np.repeat(np.arange(20), np.diff(matrix.indptr))
    X = np.zeros((matrix.nnz, 35))
    X[np.arange(matrix.nnz), rows] = 1.0
    X[np.arange(matrix.nnz), 20 + matrix.indices] = 1.0
    mean = matrix.data.mean(dtype=np.float64)
    expected = np.linalg.solve(X.T @ X + 3.0 * np.eye(35), X.T @ (matrix.data - mean))
    fitted = fit_biases(matrix, ridge=3.0, iterations=200)
    np.testing.assert_allclose(
        np.concatenate([fitted.user_bias, fitted.item_bias]), expected, atol=1e-9
    )
    assert fitted.user_factors.shape == (20, 0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"factors": 0}, "factors must be >= 1, got 0"),
        ({"factors": 65}, "factors must be <= 64, got 65"),
        ({"factors": 2.0}, "factors must be a whole number, got 2.0"),
        ({"iterations": 0}, "iterations must be >= 1, got 0"),
        ({"ridge": 0.0}, "ridge must be > 0, got 0.0"),
        ({"ridge_per_rating": -0.1}, "ridge_per_rating must be >= 0, got -0.1"),
        ({"bias_ridge": float("nan")}, "bias_ridge must be a finite number, got nan"),
        ({"rank": 3}, "BiasedALSConfig has no setting 'rank'"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BiasedALSConfig.from_json(setting)


def test_a_config_round_trips() -> None:
    assert BiasedALSConfig.from_json(SMALL.to_json()) == SMALL


def matrix_with(value: float) -> Ratings:
    matrix = low_rank_ratings(users=5, items=4).matrix.copy()
    matrix.data[3] = value
    return matrix


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_ratings_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(ContextError, match="ratings must be finite, got"):
        fit_biased_als(matrix_with(value), SMALL, seed=0)
    with pytest.raises(ContextError, match="ratings must be finite, got"):
        fit_biases(matrix_with(value))


def test_a_matrix_without_ratings_is_refused() -> None:
    matrix = low_rank_ratings(users=3, items=4).matrix
    empty = matrix - matrix
    empty.eliminate_zeros()
    with pytest.raises(ContextError, match=r"at least one rating, got none in \(3, 4\)"):
        fit_biased_als(empty, SMALL, seed=0)


def test_rows_that_do_not_exist_are_refused() -> None:
    fitted = fit_biased_als(low_rank_ratings().matrix, SMALL, seed=0)
    with pytest.raises(ContextError, match="users must be within 0 and 149, got 150"):
        fitted.predict(np.array([150], dtype=np.int32), np.array([0], dtype=np.int32))
    with pytest.raises(ContextError, match="items must be within 0 and 89, got -1"):
        fitted.predict(np.array([0], dtype=np.int32), np.array([-1], dtype=np.int32))


@pytest.mark.real_data
def test_factors_beat_biases_on_movielens() -> None:
    folder = os.environ.get("MATINEE_DATA")
    if not folder:
        pytest.skip("MATINEE_DATA is not set")
    ratings = open_dataset(Path(folder)).interactions
    errors = []
    for seed in range(5):
        train, test = ratings.split_random(0.2, seed=seed)
        fits = (
            fit_biases(train.matrix),
            fit_biased_als(train.matrix, BiasedALSConfig(), seed=seed),
        )
        errors.append([rmse(predict_all(fitted, test), test.matrix.data) for fitted in fits])
    biases, factors = np.mean(errors, axis=0)
    assert 0.855 < biases < 0.875
    assert factors <= biases - 0.008
