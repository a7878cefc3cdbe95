"""Biased matrix factorization of ratings by alternating least squares.

    r_ui = global_mean + user_bias[u] + item_bias[i] + p_u . q_i

The biases are those of Koren, Bell and Volinsky 2009, "Matrix factorization techniques for
recommender systems", eq. 4; the ridge of a row with n ratings is `ridge + ridge_per_rating * n`,
after the weighted regularisation of Zhou et al. 2008, "Large-scale parallel collaborative filtering
for the Netflix prize", section 3.1. A row's bias and factors are solved for together.

Rows are solved one after the other, in float64: the result depends on ratings, config and seed.
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import BoolArray, FloatArray, IndexArray
from matinee_policies.candidates.als_rows import Penalty, Side, solve_rows
from matinee_policies.candidates.ratings_matrix import check_ratings, transposed
from matinee_policies.config import Config, check_range, check_whole
from matinee_policies.errors import ContextError
from matinee_policies.interactions import Ratings

MAX_FACTORS = 64

_START_SD = 0.1
# Half steps at the end; the last moves no user of MovieLens by 1 % of the users' spread.
_CENTRINGS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasedALSConfig(Config):
    """Settings of the factorization; the defaults were chosen on held-out MovieLens ratings.

    Attributes:
        factors: length of p_u and q_i, 1 to `MAX_FACTORS`.
        iterations: passes over users and items, at least 1.
        ridge: penalty of each squared factor, above 0.
        ridge_per_rating: further penalty for each rating of the row, at least 0.
        bias_ridge: penalty of each squared bias, above 0.
    """

    factors: int = 16
    iterations: int = 20
    ridge: float = 3.0
    ridge_per_rating: float = 0.08
    bias_ridge: float = 4.0

    def __post_init__(self) -> None:
        check_whole("factors", self.factors, low=1, high=MAX_FACTORS)
        check_whole("iterations", self.iterations, low=1)
        check_range("ridge", self.ridge, low=0.0, low_open=True)
        check_range("ridge_per_rating", self.ridge_per_rating, low=0.0)
        check_range("bias_ridge", self.bias_ridge, low=0.0, low_open=True)

    def penalty(self) -> Penalty:
        """Ridge of a row's bias and factors."""
        factors = np.ones(self.factors)
        return Penalty(
            fixed=np.concatenate([[self.bias_ridge], self.ridge * factors]),
            per_rating=np.concatenate([[0.0], self.ridge_per_rating * factors]),
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BiasedFactors:
    """A fitted model of ratings, in stars.

    Over the users with ratings, user biases and user factors have mean zero.

    Attributes:
        global_mean: expected rating of the mean user for an item of bias 0.
        user_bias: `float64 [N]`.
        item_bias: `float64 [M]`; 0 for an item without ratings.
        user_factors: `float64 [N, f]`.
        item_factors: `float64 [M, f]`; 0 for an item without ratings.
    """

    global_mean: float
    user_bias: FloatArray
    item_bias: FloatArray
    user_factors: FloatArray
    item_factors: FloatArray

    def predict(self, users: IndexArray, items: IndexArray) -> FloatArray:
        """Expected ratings of pairs, in stars, not clipped to the scale.

        Args:
            users: rows of users, integers `[n]`.
            items: rows of items, integers `[n]`.

        Raises:
            ContextError: a row does not exist.
        """
        for name, rows, n in (
            ("users", users, len(self.user_bias)),
            ("items", items, len(self.item_bias)),
        ):
            if rows.size and not (int(rows.min()) >= 0 and int(rows.max()) < n):
                raise ContextError(
                    f"{name} must be within 0 and {n - 1}, got {rows.min()} to {rows.max()}"
                )
        products = np.einsum("nf,nf->n", self.user_factors[users], self.item_factors[items])
        ratings: FloatArray = (
            self.global_mean + self.user_bias[users] + self.item_bias[items] + products
        )
        return ratings


def fit_biased_als(matrix: Ratings, config: BiasedALSConfig, *, seed: int) -> BiasedFactors:
    """Fit biases and factors.

    Args:
        matrix: ratings in stars, `[N, M]`, finite; a missing entry is an unknown rating.
        config: settings.
        seed: seed of the item factors at the start.

    Raises:
        ContextError: there is no rating, or one is not finite.
    """
    check_ratings(matrix)
    by_item = transposed(matrix)
    rated = np.diff(matrix.indptr) > 0
    ridge = config.penalty()
    users = Side.empty(matrix.shape[0], config.factors)
    items = Side.empty(matrix.shape[1], config.factors)
    start = np.random.default_rng(seed).normal(scale=_START_SD, size=items.factors.shape)
    items.factors[:] = start
    mean = float(matrix.data.mean(dtype=np.float64))
    for _ in range(config.iterations):
        solve_rows(matrix, items, users, mean=mean, ridge=ridge)
        mean += _centre(users, items, rated=rated)
        solve_rows(by_item, users, items, mean=mean, ridge=ridge)
    for _ in range(_CENTRINGS):
        solve_rows(matrix, items, users, mean=mean, ridge=ridge)
        mean += _centre(users, items, rated=rated)
    return BiasedFactors(
        global_mean=mean,
        user_bias=users.bias,
        item_bias=items.bias,
        user_factors=users.factors.copy(),
        item_factors=items.factors.copy(),
    )


def fit_biases(matrix: Ratings, *, ridge: float = 3.0, iterations: int = 10) -> BiasedFactors:
    """Fit the biases alone, with no factors: the baseline that factors must beat.

    Args:
        matrix: ratings in stars, `[N, M]`, finite.
        ridge: penalty of each squared bias, above 0.
        iterations: passes over items and users.

    Raises:
        ContextError: there is no rating, or one is not finite.
        ConfigError: a setting is out of its range.
    """
    check_ratings(matrix)
    check_range("ridge", ridge, low=0.0, low_open=True)
    check_whole("iterations", iterations, low=1)
    n_users, n_items = matrix.shape
    per_user = np.diff(matrix.indptr)
    per_item = np.bincount(matrix.indices, minlength=n_items)
    users, items = np.repeat(np.arange(n_users), per_user), matrix.indices
    mean = float(matrix.data.mean(dtype=np.float64))
    rest = matrix.data.astype(np.float64) - mean
    user_bias, item_bias = np.zeros(n_users), np.zeros(n_items)
    for _ in range(iterations):
        item_bias = np.bincount(items, rest - user_bias[users], n_items) / (per_item + ridge)
        user_bias = np.bincount(users, rest - item_bias[items], n_users) / (per_user + ridge)
    return BiasedFactors(
        global_mean=mean,
        user_bias=user_bias,
        item_bias=item_bias,
        user_factors=np.zeros((n_users, 0)),
        item_factors=np.zeros((n_items, 0)),
    )


def _centre(users: Side, items: Side, *, rated: BoolArray) -> float:
    """Move the mean of the users with ratings into the items; gives what the global mean gains.

    Predictions stay as they are, and a user about whom nothing is known is the mean user.
    """
    factors = users.factors[rated].mean(axis=0)
    bias = float(users.bias[rated].mean())
    users.factors[rated] -= factors
    users.bias[rated] -= bias
    items.bias[:] += np.einsum("mf,f->m", items.factors, factors)
    return bias
