"""Ridge regression as pure functions on arrays.

With rows x_n and rewards r_n, and the prior l2 I,

    A = l2 I + sum x_n x_n'      b = sum x_n r_n      theta = A^-1 b
    value(x) = x' theta          width(x) = sqrt(x' A^-1 x)

(Li et al. 2010, "A contextual-bandit approach to personalized news article recommendation",
section 3.1, with one theta for all candidates.)

Sums are kept per shard of units and added in the order of the shards, so they do not depend on how
the rows were batched or who added them. Features are float32; every sum is float64.
"""

import math
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import BoolArray, Float32Array, FloatArray, UInt8Array
from matinee_policies.compiled import kernel
from matinee_policies.errors import ContextError
from matinee_policies.lanes import aligned_zeros, lanes_of
from matinee_policies.quadratic_form import (
    ROWS,
    blocks_size,
    copy_features,
    feature_dot,
    fill_blocks,
    row_forms,
)
from matinee_policies.records import SHARDS, OutcomeBatch


@dataclass(frozen=True, slots=True)
class RidgeSums:
    """What has been observed, by shard.

    Attributes:
        gram: sum of x x', `float64 [SHARDS, d, d]`.
        moments: sum of x times reward, `float64 [2, SHARDS, d]`: of first components, and of later
            ones, kept apart so that the order in which the two arrive leaves no trace.
        rows: items whose features are in `gram`.
    """

    gram: FloatArray
    moments: FloatArray
    rows: int

    @classmethod
    def empty(cls, dimension: int) -> "RidgeSums":
        """Nothing observed yet."""
        return cls(np.zeros((SHARDS, dimension, dimension)), np.zeros((2, SHARDS, dimension)), 0)


@dataclass(frozen=True, slots=True)
class RidgeState:
    """The solution that follows from what was observed.

    Attributes:
        inverse: A^-1, symmetric, `float64 [d, d]`.
        theta: `float64 [d]`.
    """

    inverse: FloatArray
    theta: FloatArray

    @classmethod
    def prior(cls, dimension: int, *, l2: float) -> "RidgeState":
        """The solution before any observation; the prior l2 > 0 enters as its inverse."""
        return cls(np.eye(dimension) / l2, np.zeros(dimension))


def ridge_accumulate(sums: RidgeSums, outcomes: OutcomeBatch) -> RidgeSums:
    """Add one matured component of many slates.

    The first component of a slate adds its features and its rewards, a later one its rewards only.

    Args:
        sums: of a `d`-dimensional regression.
        outcomes: `d`-dimensional; slots without an item are ignored.

    Returns:
        New sums; adding the same rows in any number of calls gives the same bits.

    Raises:
        ContextError: if features of a shown slot are not finite or have another dimension.
    """
    dimension = sums.gram.shape[1]
    if outcomes.features.shape[2] != dimension:
        raise ContextError(
            f"features must have dimension {dimension}, got {outcomes.features.shape[2]}"
        )
    gram, moments = sums.gram.copy(), sums.moments.copy()
    added = _add_rows(
        np.require(outcomes.features, requirements=["C", "W"]),
        np.require(outcomes.rewards, requirements=["C", "W"]),
        np.require(outcomes.shown, requirements=["C", "W"]),
        np.require(outcomes.shards, requirements=["C", "W"]),
        outcomes.first,
        gram,
        moments[0 if outcomes.first else 1],
    )
    # A feature that is not finite spoils the sums it enters, whatever its reward.
    if not (np.isfinite(gram).all() and np.isfinite(moments).all()):
        shown = outcomes.features[outcomes.shown]
        bad = shown[~np.isfinite(shown)]
        got = bad[0] if bad.size else "sums that overflow"
        raise ContextError(f"features of shown slots must be finite, got {got}")
    return RidgeSums(gram, moments, sums.rows + (added if outcomes.first else 0))


def ridge_accumulate_reference(sums: RidgeSums, outcomes: OutcomeBatch) -> RidgeSums:
    """The same sums, one matrix product per shard: the readable twin of `ridge_accumulate`."""
    gram, moments = sums.gram.copy(), sums.moments.copy()
    for shard in range(SHARDS):
        shown = outcomes.shown & (outcomes.shards == shard)[:, None]
        X = outcomes.features[shown].astype(np.float64)
        if outcomes.first:
            gram[shard] += X.T @ X
        moments[0 if outcomes.first else 1, shard] += X.T @ outcomes.rewards[shown]
    return RidgeSums(gram, moments, sums.rows + outcomes.first * int(outcomes.shown.sum()))


def ridge_solve(sums: RidgeSums, *, l2: float) -> RidgeState:
    """Solve for the inverse and theta by Cholesky's factorisation.

    Args:
        sums: what has been observed.
        l2: weight of the prior, above 0.

    Raises:
        ContextError: if the features are so large that the prior is lost in rounding.
    """
    dimension = sums.gram.shape[1]
    A = l2 * np.eye(dimension)
    b = np.zeros(dimension)
    for shard in range(SHARDS):
        A += sums.gram[shard]
        b += sums.moments[0, shard] + sums.moments[1, shard]
    try:
        half = np.linalg.inv(np.linalg.cholesky(A))
    except np.linalg.LinAlgError:
        raise ContextError(
            f"features must be of moderate size, got sums up to {A.max():.3g} beside l2 = {l2:g}"
        ) from None
    inverse = half.T @ half
    return RidgeState((inverse + inverse.T) / 2.0, half.T @ (half @ b))


def ridge_update(state: RidgeState, x: FloatArray, reward: float) -> RidgeState:
    """Fold one observation in by the Sherman-Morrison identity, in O(d^2).

    Args:
        state: solution of a `d`-dimensional ridge regression.
        x: features, `float64 [d]`, finite.
        reward: observed reward, finite.

    Raises:
        ContextError: if `x` or `reward` is not finite.

    Example:
        >>> state = ridge_update(RidgeState.prior(2, l2=1.0), np.array([1.0, 0.0]), 3.0)
        >>> state.theta
        array([1.5, 0. ])
    """
    if not (np.isfinite(x).all() and np.isfinite(reward)):
        raise ContextError(f"features and reward must be finite, got {x} and {reward}")
    gain = state.inverse @ x
    scale = 1.0 + x @ gain
    error = reward - x @ state.theta
    return RidgeState(
        state.inverse - np.outer(gain, gain) / scale, state.theta + gain * (error / scale)
    )


def ridge_values(features: Float32Array, state: RidgeState, *, alpha: float) -> FloatArray:
    """Value plus `alpha` widths of each candidate.

    Args:
        features: `float32 [B, K, d]`.
        state: solution of a `d`-dimensional ridge regression.
        alpha: widths to add, at least 0.

    Returns:
        `float64 [B, K]`; each entry depends on its own features only, and is not finite where
        they are not.

    Raises:
        ContextError: if the features have another dimension.
    """
    dimension = len(state.theta)
    if features.shape[2] != dimension:
        raise ContextError(f"features must have dimension {dimension}, got {features.shape[2]}")
    values = np.empty(features.shape[:2])
    # Numba would compile anew for read-only arrays.
    writable = np.require(features, requirements=["C", "W"])
    _fill_values(writable, state.theta, state.inverse, float(alpha), values)
    return values


def ridge_values_reference(
    features: Float32Array, state: RidgeState, *, alpha: float
) -> FloatArray:
    """The formulas of the module docstring: the readable twin of `ridge_values`."""
    X = features.astype(np.float64)
    variance = np.einsum("bki,ij,bkj->bk", X, state.inverse, X)
    values: FloatArray = X @ state.theta + alpha * np.sqrt(np.maximum(variance, 0.0))
    return values


@kernel
def _add_rows(
    features: Float32Array,
    rewards: FloatArray,
    shown: BoolArray,
    shards: UInt8Array,
    first: bool,
    gram: FloatArray,
    moments: FloatArray,
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
            for i in range(d):
                x[i] = features[n, slot, i]
            if first:
                for i in range(d):
                    for j in range(d):
                        gram[shard, i, j] += x[i] * x[j]
            for i in range(d):
                moments[shard, i] += x[i] * rewards[n, slot]
    return added


@kernel
def _fill_values(
    features: Float32Array,
    theta: FloatArray,
    inverse: FloatArray,
    alpha: float,
    values: FloatArray,
) -> None:
    """Mean and width of each candidate, eight candidates at a time."""
    K, d = features.shape[1], features.shape[2]
    lanes = lanes_of(theta)
    D = (d + lanes - 1) // lanes * lanes
    X = aligned_zeros(ROWS * D, theta).reshape(ROWS, D)
    blocks = aligned_zeros(blocks_size(D, lanes) if alpha != 0.0 else 0, theta)
    if alpha != 0.0:
        fill_blocks(inverse, blocks)
    forms = np.empty(ROWS)
    for b in range(features.shape[0]):
        for first in range(0, K, ROWS):
            rows = min(ROWS, K - first)
            for row in range(rows):
                values[b, first + row] = feature_dot(features[b, first + row], theta)
                if alpha != 0.0:
                    copy_features(features[b, first + row], X, row)
            if alpha != 0.0:
                row_forms(X, blocks, forms, 0)
                for row in range(rows):
                    values[b, first + row] += alpha * math.sqrt(max(forms[row], 0.0))
