"""How good predictions and rankings are, user by user, and over users with an interval.

Every metric over users is a ratio of sums, sum a_u / sum b_u: a mean where b_u = 1. Its standard
error treats users as independent draws (delta method for ratios):

    se^2 = n / (n - 1) * sum (a_u - ratio b_u)^2 / (sum b_u)^2

and the 95 % interval is the normal one, ratio +- 1.96 se.
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray, Int64Array
from matinee_policies.errors import ContextError
from matinee_policies.interactions import Ratings
from matinee_policies.records import PAD

Z95 = 1.959963984540054
"""Normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric over users.

    Attributes:
        value: the estimate.
        low: lower end of the 95 % interval; NaN with fewer than two users.
        high: upper end.
        users: users who count.
    """

    value: float
    low: float
    high: float
    users: int


def rmse(predicted: AnyArray, actual: AnyArray) -> float:
    """Root mean squared error of predictions.

    Args:
        predicted: `[n]`, n >= 1.
        actual: `[n]`.

    Raises:
        ContextError: the arrays are empty or of different shapes.

    Example:
        >>> rmse(np.array([3.0, 4.0]), np.array([3.0, 2.0]))
        1.4142135623730951
    """
    if predicted.shape != actual.shape or predicted.size == 0:
        raise ContextError(
            f"predicted and actual must be of one length above 0, got {predicted.shape} "
            f"and {actual.shape}"
        )
    error = predicted.astype(np.float64) - actual.astype(np.float64)
    return float(np.sqrt(np.mean(error * error)))


def ratio_estimate(a: FloatArray, b: FloatArray) -> Estimate:
    """Sum of `a` over the sum of `b`, by user.

    Args:
        a: numerator of each user, `float64 [n]`.
        b: denominator of each user, at least 0, `float64 [n]`; users of 0 do not count.

    Raises:
        ContextError: no user counts.

    Example:
        >>> ratio_estimate(np.array([1.0, 0.0, 9.0]), np.array([2.0, 2.0, 0.0])).value
        0.25
    """
    counted = b > 0.0
    a, b = a[counted], b[counted]
    if a.size == 0:
        raise ContextError("a metric needs at least one user who counts, got none")
    total = float(b.sum())
    value = float(a.sum()) / total
    if a.size < 2:
        return Estimate(value, float("nan"), float("nan"), a.size)
    residual = a - value * b
    se = (a.size / (a.size - 1) * float(residual @ residual)) ** 0.5 / total
    return Estimate(value, value - Z95 * se, value + Z95 * se, a.size)


def mean_estimate(values: FloatArray) -> Estimate:
    """Mean over users, `float64 [n]`; NaN marks users who do not count."""
    counted = ~np.isnan(values)
    return ratio_estimate(np.where(counted, values, 0.0), counted.astype(np.float64))


def root_estimate(mean_square: Estimate) -> Estimate:
    """Square root of an estimate, its interval by the delta method around the root."""
    value = mean_square.value**0.5
    half = (mean_square.high - mean_square.value) / (2.0 * value) if value > 0.0 else 0.0
    return Estimate(value, value - half, value + half, mean_square.users)


def hits(items: IndexArray, held_out: Ratings) -> BoolArray:
    """Whether each ranked item is among the user's held-out ones.

    Args:
        items: ranked items of every user, `PAD` where there are none, `int32 [N, k]`.
        held_out: a rating of each held-out pair, `[N, M]`.

    Raises:
        ContextError: the rows are not those of `held_out`.
    """
    n_users, n_items = held_out.shape
    if len(items) != n_users:
        raise ContextError(f"items must have one row for each of {n_users} users, got {len(items)}")
    owners = np.repeat(np.arange(n_users, dtype=np.int64), np.diff(held_out.indptr))
    wanted = owners * n_items + held_out.indices
    asked = np.arange(n_users, dtype=np.int64)[:, None] * n_items + items
    found: BoolArray = np.isin(asked, wanted) & (items != PAD)
    return found


def recall(found: BoolArray, held_out_counts: Int64Array) -> FloatArray:
    """Share of each user's held-out items that were ranked; NaN for a user without any.

    Args:
        found: as `hits` gives for the first k items, `bool [N, k]`.
        held_out_counts: held-out items of each user, `int64 [N]`.
    """
    counts = np.where(held_out_counts > 0, held_out_counts, 1)
    return np.where(held_out_counts > 0, found.sum(axis=1) / counts, np.nan)


def recall_at_k(items: IndexArray, held_out: Ratings) -> float:
    """Share of a user's held-out items among the user's candidates, mean over users.

    Args:
        items: candidates of every user, `PAD` where there are none, `int32 [N, k]`.
        held_out: a rating of each held-out pair, `[N, M]`; users without any do not count.

    Raises:
        ContextError: the rows are not those of `held_out`, or nothing was held out.
    """
    counts = np.diff(held_out.indptr).astype(np.int64)
    return mean_estimate(recall(hits(items, held_out), counts)).value


def ndcg(found: BoolArray, held_out_counts: Int64Array) -> FloatArray:
    """Normalised discounted cumulative gain of each user; NaN for a user without held-out items.

    A held-out item at rank r (from 1) gains 1 / log2(r + 1); the best possible ranking has the
    first min(k, held out) ranks filled (Järvelin and Kekäläinen 2002, with gains of 0 and 1).
    Arguments as `recall`.
    """
    discounts = 1.0 / np.log2(np.arange(found.shape[1]) + 2.0)
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    best = ideal[np.minimum(held_out_counts, found.shape[1])]
    gained = (found * discounts).sum(axis=1)
    return np.where(held_out_counts > 0, gained / np.where(best > 0.0, best, 1.0), np.nan)


def catalogue_coverage(items: IndexArray, n_items: int) -> float:
    """Share of the catalogue that at least one user's ranking holds.

    Args:
        items: ranked items, `PAD` where there are none, `int32 [N, k]`.
        n_items: items of the catalogue.
    """
    return float(np.unique(items[items != PAD]).size / n_items)


def novelty(items: IndexArray, popularity: AnyArray, *, users: int) -> FloatArray:
    """Mean of -log2(popularity / users) over each user's ranked items, in bits; NaN without any.

    An item that nobody knows counts as known by one user, so that its novelty is finite.

    Args:
        items: ranked items, `PAD` where there are none, `int32 [N, k]`.
        popularity: users who rated each item, `[M]`.
        users: number of users, at least 1.
    """
    bits = -np.log2(np.maximum(popularity, 1) / users)
    shown = items != PAD
    total = np.where(shown, bits[np.where(shown, items, 0)], 0.0).sum(axis=1)
    counts = shown.sum(axis=1)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
