"""Discounted ridge regression as pure functions on arrays.

With rows x_n and rewards r_n of day t_n, the newest day T seen so far, a discount gamma in (0, 1]
per day and the prior l2 I, which is not discounted,

    V  = l2 I + sum gamma^(T - t_n) x_n x_n'          b = sum gamma^(T - t_n) x_n r_n
    V~ = l2 I + sum gamma^(2 (T - t_n)) x_n x_n'
    theta = V^-1 b        value(x) = x' theta        width(x) = sqrt(x' V^-1 V~ V^-1 x)

(Russac, Vernade and Cappe 2019, "Weighted linear bandits for non-stationary environments",
algorithm 1, with one time step per day; a day per round gives the paper's own recursion.)

Sums are kept per shard of units. Each shard remembers the day up to which it is discounted and is
brought up to date by its own rows, so that neither batches nor other shards leave a trace in it.
Every sum is float64.
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import BoolArray, Float32Array, FloatArray, Int64Array, UInt8Array
from matinee_policies.compiled import kernel
from matinee_policies.feature_checks import check_dimension, check_shown, check_sums
from matinee_policies.forgetting import NO_DAY, days_of
from matinee_policies.inverse_root import inverse_root
from matinee_policies.linear import RidgeState
from matinee_policies.records import SHARDS, OutcomeBatch


@dataclass(frozen=True, slots=True)
class DiscountedSums:
    """What has been observed, by shard, discounted up to the shard's own day.

    Attributes:
        gram: sums of x x' that make V and V~, `float64 [2, SHARDS, d, d]`.
        moments: sum of x times reward, `float64 [2, SHARDS, d]`: of first components, and of later
            ones.
        days: day up to which sums are discounted, `int64 [2, SHARDS]`: of `gram` and the moments of
            first components, and of the moments of later ones; `NO_DAY` where nothing was seen.
        newest: newest day of any slate; `NO_DAY` at first.
        rows: items whose features are in `gram`.
    """

    gram: FloatArray
    moments: FloatArray
    days: Int64Array
    newest: int
    rows: int

    @classmethod
    def empty(cls, dimension: int) -> "DiscountedSums":
        """Nothing observed yet."""
        return cls(
            gram=np.zeros((2, SHARDS, dimension, dimension)),
            moments=np.zeros((2, SHARDS, dimension)),
            days=np.full((2, SHARDS), NO_DAY, dtype=np.int64),
            newest=NO_DAY,
            rows=0,
        )


def discounted_accumulate(
    sums: DiscountedSums, outcomes: OutcomeBatch, *, gamma: float
) -> DiscountedSums:
    """Add one matured component of many slates.

    The first component of a slate adds its features and its rewards, a later one its rewards only.
    A row of an older day than others before it enters with the weight of its own day.

    Args:
        sums: of a `d`-dimensional regression.
        outcomes: `d`-dimensional, with days; slots without an item are ignored.
        gamma: weight that is left after one day, in (0, 1].

    Returns:
        New sums; adding the same rows in any number of calls gives the same bits.

    Raises:
        ContextError: if days are missing, or features of a shown slot are not finite or have
            another dimension, or sums overflow.
    """
    check_dimension(outcomes.features, sums.gram.shape[2])
    check_shown(outcomes)
    days = days_of(outcomes)
    part = 0 if outcomes.first else 1
    gram, moments, own_days = sums.gram.copy(), sums.moments.copy(), sums.days.copy()
    added = _add_rows(
        np.require(outcomes.features, requirements=["C", "W"]),
        np.require(outcomes.rewards, requirements=["C", "W"]),
        np.require(outcomes.shown, requirements=["C", "W"]),
        np.require(outcomes.shards, requirements=["C", "W"]),
        np.require(days, requirements=["C", "W"]),
        outcomes.first,
        float(gamma),
        gram,
        moments[part],
        own_days[part],
    )
    check_sums(outcomes, moments[part])
    newest = max(sums.newest, int(days.max(initial=NO_DAY)))
    rows = sums.rows + (added if outcomes.first else 0)
    return DiscountedSums(gram, moments, own_days, newest, rows)


def discounted_accumulate_reference(
    sums: DiscountedSums, outcomes: OutcomeBatch, *, gamma: float
) -> DiscountedSums:
    """The same sums, one matrix product per shard: the readable twin of `discounted_accumulate`."""
    gram, moments, own_days = sums.gram.copy(), sums.moments.copy(), sums.days.copy()
    days = days_of(outcomes)
    part = 0 if outcomes.first else 1
    for shard in np.unique(outcomes.shards[outcomes.shown.any(axis=1)]):
        mine = outcomes.shards == shard
        shown = outcomes.shown & mine[:, None]
        row_days = np.broadcast_to(days[:, None], shown.shape)[shown]
        last = max(int(own_days[part, shard]), int(row_days.max()))
        aged = gamma ** (last - own_days[part, shard]) if own_days[part, shard] != NO_DAY else 0.0
        weight = gamma ** (last - row_days).astype(np.float64)
        X = outcomes.features[shown].astype(np.float64)
        if outcomes.first:
            for power in (1, 2):
                gram[power - 1, shard] *= aged**power
                gram[power - 1, shard] += (X * weight[:, None] ** power).T @ X
        moments[part, shard] *= aged
        moments[part, shard] += X.T @ (weight * outcomes.rewards[shown])
        own_days[part, shard] = last
    newest = max(sums.newest, int(days.max(initial=NO_DAY)))
    rows = sums.rows + outcomes.first * int(outcomes.shown.sum())
    return DiscountedSums(gram, moments, own_days, newest, rows)


def discounted_solve(sums: DiscountedSums, *, gamma: float, l2: float) -> RidgeState:
    """Solve for theta, and for the matrix of the width, by Cholesky's factorisation.

    Args:
        sums: what has been observed.
        gamma: weight that is left after one day, in (0, 1].
        l2: weight of the prior, above 0.

    Returns:
        theta, with V^-1 V~ V^-1 in the place of the inverse, so that `linear.ridge_values` gives
        the upper bounds.

    Raises:
        ContextError: if the prior is lost in rounding (`inverse_root.py`).
    """
    dimension = sums.gram.shape[2]
    V, squared = l2 * np.eye(dimension), l2 * np.eye(dimension)
    b = np.zeros(dimension)
    for shard in range(SHARDS):
        first, later = (
            gamma ** float(sums.newest - day) if day != NO_DAY else 0.0
            for day in sums.days[:, shard].tolist()
        )
        V += first * sums.gram[0, shard]
        squared += first * first * sums.gram[1, shard]
        b += first * sums.moments[0, shard] + later * sums.moments[1, shard]
    half = inverse_root(V, l2=l2)
    spread = half.T @ (half @ squared @ half.T) @ half
    return RidgeState(inverse=(spread + spread.T) / 2.0, theta=half.T @ (half @ b))


@kernel
def _add_rows(
    features: Float32Array,
    rewards: FloatArray,
    shown: BoolArray,
    shards: UInt8Array,
    days: Int64Array,
    first: bool,
    gamma: float,
    gram: FloatArray,
    moments: FloatArray,
    own_days: Int64Array,
) -> int:
    """Add rows to the sums of their shards, in order; gives the number of items added."""
    d = features.shape[2]
    x = np.empty(d)
    added = 0
    for n in range(features.shape[0]):
        shard = shards[n]
        for slot in range(features.shape[1]):
            if not shown[n, slot]:
                continue
            added += 1
            if days[n] > own_days[shard]:
                if own_days[shard] != NO_DAY:
                    aged = gamma ** float(days[n] - own_days[shard])
                    for i in range(d):
                        moments[shard, i] *= aged
                        if first:
                            for j in range(d):
                                gram[0, shard, i, j] *= aged
                            for j in range(d):
                                gram[1, shard, i, j] *= aged * aged
                own_days[shard] = days[n]
            weight = gamma ** float(own_days[shard] - days[n])
            for i in range(d):
                x[i] = features[n, slot, i]
            for i in range(d):
                moments[shard, i] += weight * x[i] * rewards[n, slot]
            if first:
                for i in range(d):
                    for j in range(d):
                        gram[0, shard, i, j] += weight * (x[i] * x[j])
                    for j in range(d):
                        gram[1, shard, i, j] += weight * weight * (x[i] * x[j])
    return added
