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
from matinee_policies.errors import ContextError, SnapshotError
from matinee_policies.feature_checks import check_dimension, check_sums
from matinee_policies.inverse_root import inverse_root, rounding_share
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

_SAME_SOLUTION = 1e-9


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
    check_dimension(outcomes.features, sums.gram.shape[1])
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
    check_sums(outcomes, gram, moments)
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
        ContextError: if the prior is lost in rounding (`inverse_root.py`).
    """
    A, b = normal_equations(sums, l2=l2)
    return solution(inverse_root(A, l2=l2), b)


def normal_equations(sums: RidgeSums, *, l2: float) -> tuple[FloatArray, FloatArray]:
    """A, `float64 [d, d]`, and b, `float64 [d]`; shards are added in their order."""
    dimension = sums.gram.shape[1]
    A = l2 * np.eye(dimension)
    b = np.zeros(dimension)
    for shard in range(SHARDS):
        A += sums.gram[shard]
        b += sums.moments[0, shard] + sums.moments[1, shard]
    return A, b


def solution(half: FloatArray, b: FloatArray) -> RidgeState:
    """A^-1 and A^-1 b from a root of the inverse, `half' half` = A^-1."""
    inverse = half.T @ half
    return RidgeState((inverse + inverse.T) / 2.0, half.T @ (half @ b))


def check_solution(state: RidgeState, sums: RidgeSums, *, l2: float, kind: str) -> None:
    """Refuse a stored solution that does not follow from the sums stored beside it.

    If another type of machine has stored it, their last bits differ. What is compared are therefore
    variances and means of any features, to nine digits or what rounding leaves of them.

    Args:
        state: as stored, finite.
        sums: stored beside it, finite.
        l2: weight of the prior, above 0.
        kind: of the snapshot.

    Raises:
        SnapshotError: naming the array.
        ContextError: if no rows give these sums.
    """
    A, b = normal_equations(sums, l2=l2)
    half = inverse_root(A, l2=l2)
    expected = solution(half, b)
    allowed = max(_SAME_SOLUTION, float(rounding_share(A.diagonal(), half)))
    check_same_solution(state, expected, allowed=allowed, kind=kind)


def check_same_solution(
    state: RidgeState,
    expected: RidgeState,
    *,
    allowed: float,
    kind: str,
    matrix: str = "inverse",
) -> None:
    """Refuse a stored solution whose variances or means differ by more than a share `allowed`.

    Args:
        state: as stored, finite.
        expected: worked out from the sums stored beside it.
        allowed: largest share.
        kind: of the snapshot.
        matrix: name of the array that holds `RidgeState.inverse`.

    Raises:
        SnapshotError: naming the array.
    """
    root = np.linalg.cholesky(expected.inverse)
    whitener = np.linalg.inv(root)
    variances = whitener @ (state.inverse - expected.inverse) @ whitener.T
    means = whitener @ np.stack([state.theta - expected.theta, expected.theta], axis=1)
    gap, size = np.linalg.norm(means, axis=0)
    for name, share in ((matrix, np.abs(variances).max()), ("theta", gap / (size or 1.0))):
        # Not a number is not close either.
        if not share <= allowed:
            raise SnapshotError(
                f"snapshot array {name!r} of {kind!r} must follow from its sums, "
                f"got a share of {share:.2g} that does not"
            )


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
    check_dimension(features, len(state.theta))
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
