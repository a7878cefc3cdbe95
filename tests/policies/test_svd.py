from typing import Any

import numpy as np
import pytest

from matinee_policies.candidates.evaluate import rank_training_users
from matinee_policies.candidates.training_users import fold_in_training_users
from matinee_policies.candidates.truncated_svd import (
    TruncatedSVDConfig,
    fit_truncated_svd,
    right_singular_vectors,
)
from matinee_policies.errors import ConfigError
from matinee_policies.interactions import Interactions


def ratings(seed: int = 0, *, users: int = 40, items: int = 25) -> Interactions:
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(rng.random((users, items)) < np.linspace(0.6, 0.1, items))
    return Interactions.from_triplets(
        *(rows, columns, rng.integers(1, 6, size=rows.size), np.arange(rows.size)),
        n_users=users,
        n_items=items,
        rating_range=(0.5, 5.0),
    )


@pytest.mark.parametrize("shape", [(40, 25), (20, 50)])
def test_vectors_are_those_of_the_dense_decomposition(shape: tuple[int, int]) -> None:
    matrix = ratings(users=shape[0], items=shape[1]).matrix
    vectors = right_singular_vectors(matrix, factors=6, seed=0)
    _, _, dense = np.linalg.svd(matrix.toarray().astype(np.float64), full_matrices=False)
    for got, expected in zip(vectors.T, dense[:6], strict=True):
        sign = np.sign(expected[np.abs(expected).argmax()])
        np.testing.assert_allclose(got, sign * expected, atol=1e-9)


def test_the_same_start_gives_the_same_bits() -> None:
    matrix = ratings().matrix
    first, again, other = (right_singular_vectors(matrix, factors=6, seed=s) for s in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_the_fit_hardly_depends_on_where_it_starts() -> None:
    first, again, other = (
        fit_truncated_svd(ratings(), TruncatedSVDConfig(factors=5), seed=s) for s in (3, 3, 4)
    )
    assert first.version == again.version
    np.testing.assert_allclose(first.item_factors, other.item_factors, atol=1e-6)


def test_users_are_projections_of_their_ratings() -> None:
    interactions = ratings()
    model = fit_truncated_svd(interactions, TruncatedSVDConfig(factors=5, ridge=0.0), seed=0)
    dense = interactions.matrix.toarray().astype(np.float64)
    projected = dense @ model.item_factors
    folded = fold_in_training_users(model, interactions.matrix)
    np.testing.assert_allclose(folded, projected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.prior, projected.mean(axis=0), rtol=1e-5, atol=1e-5)


def test_the_ridge_draws_towards_the_mean_user() -> None:
    interactions = ratings()
    free, drawn = (
        fit_truncated_svd(interactions, TruncatedSVDConfig(factors=5, ridge=r), seed=0)
        for r in (0.0, 0.25)
    )
    np.testing.assert_allclose(
        fold_in_training_users(drawn, interactions.matrix),
        (fold_in_training_users(free, interactions.matrix) + 0.25 * drawn.prior) / 1.25,
        rtol=1e-4,
        atol=1e-5,
    )


def test_candidates_are_ranked_by_the_low_rank_ratings() -> None:
    interactions = ratings()
    model = fit_truncated_svd(interactions, TruncatedSVDConfig(factors=5, ridge=0.0), seed=0)
    dense = interactions.matrix.toarray().astype(np.float64)
    U, values, V = np.linalg.svd(dense, full_matrices=False)
    low_rank = (U[:, :5] * values[:5]) @ V[:5]
    low_rank[dense > 0] = -np.inf
    got = rank_training_users(model, interactions.matrix, 5).items
    np.testing.assert_array_equal(got, np.argsort(-low_rank, axis=1, kind="stable")[:, :5])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"factors": 0}, "factors must be >= 1, got 0"),
        ({"ridge": -0.1}, "ridge must be >= 0, got -0.1"),
        ({"rank": 3}, "TruncatedSVDConfig has no setting 'rank'"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TruncatedSVDConfig.from_json(setting)


def test_more_factors_than_the_matrix_has_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"factors must be < 25, the shorter side .* got 25"):
        fit_truncated_svd(ratings(), TruncatedSVDConfig(factors=25), seed=0)
