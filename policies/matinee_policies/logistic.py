"""Logistic regression that learns row by row, as pure functions on arrays.

    P(reward | x) = s(x' theta)          s(z) = 1 / (1 + exp(-z))

for rewards r in [0, 1]; a fraction enters through the cross-entropy -r log s - (1 - r) log(1 - s).
The state is a normal law N(theta, A^-1), at first N(0, I / l2). A row x, with q = A^-1 x and
v = x' q of the state before it, moves the state along q only:

    laplace   theta <- theta + (r - s(z)) q,  where z = x' theta + v (r - s(z))
              A <- A + s(z) (1 - s(z)) x x'
    newton    theta <- theta + (r - s(x' theta)) q / (1 + c v),   A <- A + c x x'

laplace: the law before the row is the prior of the row, the new theta is its exact mode and the new
A its curvature there (Chapelle and Li 2011, "An empirical evaluation of Thompson sampling",
algorithm 3, with full covariance and batches of one row; Bishop 2006, "Pattern recognition and
machine learning", section 4.4). z is the root of an increasing function of one number. Beside the
posterior of all rows together, the mode is off by a fraction of a standard deviation and standard
deviations come out some 5 % short, more where predictions are near 0 or 1.

newton: the online Newton step with a constant curvature c (Hazan, Agarwal and Kale 2007,
"Logarithmic regret algorithms for online convex optimization", figure 2; Zhang et al. 2016, "Online
stochastic linear optimization under one-bit feedback", section 3.1, whose beta / 2 is c), without
their projection on a ball. At 1/4, the largest curvature of the loss, a step never goes beyond the
mode of its row; where predictions are near 0 or 1 it is then too short, and widths too narrow.

The inverse follows A by the Sherman-Morrison identity in O(d^2) per row, and is computed anew from
A after every `REFRESH` rows, and after a row that takes a variance to less than the `MOST_SHRUNK`th
of itself, so that rounding does not pile up. A row is refused if rounding could change a variance
by more than a share of 1e-4 (`inverse_root.py` has the bound, which is looked at after every row,
so batches leave no trace in what is refused either). Rows are taken one by one in the
canonical order of the log: batches leave no trace. Features are float32; the state is float64.
"""

import math
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import BoolArray, Float32Array, FloatArray
from matinee_policies.compiled import kernel
from matinee_policies.errors import ContextError
from matinee_policies.feature_checks import check_dimension, check_shown
from matinee_policies.inverse_root import EPSILON, MOST_ROUNDING
from matinee_policies.records import OutcomeBatch

REFRESH = 4096
"""Rows after which the inverse is computed anew, from the sum of all rows."""

MOST_SHRUNK = 1e3
"""Factor by which one row may shrink a variance before the inverse is computed anew."""

UPPER_BEND = 20.0
"""Above it, `ordered_sigmoid` has a longer tail than the sigmoid."""

LOWER_BEND = -700.0
"""Below it, `ordered_sigmoid` has a longer tail than the sigmoid."""

_STEPS = 100
_CLOSE = 1e-8
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class LogisticState:
    """A normal law of the coefficients.

    Attributes:
        theta: mean, the mode of the posterior, `float64 [d]`.
        inverse: covariance A^-1, symmetric, `float64 [d, d]`.
        precision: A, symmetric, `float64 [d, d]`.
        rows: items learned from.
    """

    theta: FloatArray
    inverse: FloatArray
    precision: FloatArray
    rows: int

    @classmethod
    def prior(cls, dimension: int, *, l2: float) -> "LogisticState":
        """The law before any observation; l2 > 0 is the precision of every coefficient."""
        eye = np.eye(dimension)
        return cls(np.zeros(dimension), eye / l2, eye * l2, 0)


def logistic_learn(
    state: LogisticState, outcomes: OutcomeBatch, *, curvature: float | None = None
) -> LogisticState:
    """Take in the rewards of many slates, item by item in their order.

    Args:
        state: of a `d`-dimensional regression.
        outcomes: `d`-dimensional; slots without an item are ignored.
        curvature: of the online Newton step, above 0; `None` means the Laplace approximation.

    Returns:
        A new state; taking in the same rows in any number of calls gives the same bits.

    Raises:
        ContextError: if a reward of a shown slot is outside [0, 1], or features of one are not
            finite, so large that precision is lost, or of another dimension.
    """
    _check_outcomes(outcomes, dimension=len(state.theta))
    theta, inverse = state.theta.copy(), state.inverse.copy()
    precision = state.precision.copy()
    rows, failed = _learn_rows(
        np.require(outcomes.features, requirements=["C", "W"]),
        np.require(outcomes.rewards, requirements=["C", "W"]),
        np.require(outcomes.shown, requirements=["C", "W"]),
        0.0 if curvature is None else float(curvature),
        state.rows,
        theta,
        inverse,
        precision,
    )
    # An infinite precision makes its row fail; a step of theta is not seen there.
    if failed >= 0 or not np.isfinite(theta).all():
        largest = float(np.abs(outcomes.features[outcomes.shown]).max())
        raise ContextError(f"features must be of moderate size, got values up to {largest:.3g}")
    return LogisticState(theta, inverse, precision, rows)


def logistic_learn_reference(
    state: LogisticState, outcomes: OutcomeBatch, *, curvature: float | None = None
) -> LogisticState:
    """The readable twin of `logistic_learn`: solves with A for every row, finds z by halving."""
    theta, precision = state.theta.copy(), state.precision.copy()
    rows = 0
    for n, slot in np.argwhere(outcomes.shown):
        x = outcomes.features[n, slot].astype(np.float64)
        reward = outcomes.rewards[n, slot]
        gain = np.linalg.solve(precision, x)
        mean, variance = x @ theta, x @ gain
        if curvature is None:
            low, high = mean - variance, mean + variance
            for _ in range(200):
                z = (low + high) / 2.0
                above = z > mean + variance * (reward - 1.0 / (1.0 + np.exp(-z)))
                low, high = (low, z) if above else (z, high)
            p = 1.0 / (1.0 + np.exp(-z))
            theta = theta + (reward - p) * gain
            weight = p * (1.0 - p)
        else:
            p = 1.0 / (1.0 + np.exp(-mean))
            theta = theta + (reward - p) * gain / (1.0 + curvature * variance)
            weight = curvature
        precision = precision + weight * np.outer(x, x)
        rows += 1
    inverse = np.asarray(np.linalg.inv(precision))
    return LogisticState(theta, inverse, precision, state.rows + rows)


def sigmoid(values: FloatArray) -> FloatArray:
    """1 / (1 + exp(-value)) of each entry, `float64` of the same shape; NaN stays NaN.

    Example:
        >>> sigmoid(np.array([-800.0, 0.0, 800.0]))
        array([0. , 0.5, 1. ])
    """
    result = np.ascontiguousarray(values)
    if result is values:
        result = values.copy()
    _squash(result.reshape(-1))
    return result


def ordered_sigmoid(values: FloatArray) -> FloatArray:
    """The sigmoid with tails so long that numbers which differ keep their order.

    1 / (1 + exp(-z)) is 1 for all z above 37 or so, and 0 below -745, where the best of several
    could not be told any more. Beyond the bends, with y the distance from the bend,

        above      1 - e / (1 + log(1 + y)),   e = 1 - s(UPPER_BEND)
        below      e / (1 + log(1 + y)),       e = s(LOWER_BEND)

    which join smoothly and differ from the sigmoid by less than 2.1e-9. Numbers of any size keep
    their order if they differ by a share of 1e-3.

    Args:
        values: of any shape.

    Returns:
        `float64` of the same shape, in (0, 1); NaN where a value is not finite.

    Example:
        >>> first, second = ordered_sigmoid(np.array([800.0, 801.0]))
        >>> bool(first < second < 1.0)
        True
    """
    result = np.array(values, order="C")
    _squash_in_order(result.reshape(-1))
    return result


def ordered_sigmoid_reference(values: FloatArray) -> FloatArray:
    """The readable twin of `ordered_sigmoid`, for finite numbers."""
    above = np.log1p(np.maximum(values - UPPER_BEND, 0.0))
    below = np.log1p(np.maximum(LOWER_BEND - values, 0.0))
    middle = 1.0 / (1.0 + np.exp(-np.clip(values, LOWER_BEND, UPPER_BEND)))
    result: FloatArray = np.where(
        values > UPPER_BEND, 1.0 - (1.0 - middle) / (1.0 + above), middle / (1.0 + below)
    )
    return result


def posterior_draws(state: LogisticState, *, scale: float, draws: FloatArray) -> FloatArray:
    """Coefficients theta + scale L^-T g with A = L L': draws of N(theta, scale^2 A^-1).

    Args:
        state: a `d`-dimensional law.
        scale: 1 for the law itself, at least 0.
        draws: the standard normal numbers g, `float64 [M, d]`.

    Returns:
        `float64 [M, d]`.
    """
    lower = np.linalg.cholesky(state.precision)
    thetas: FloatArray = state.theta + scale * np.linalg.solve(lower.T, draws.T).T
    return thetas


def _check_outcomes(outcomes: OutcomeBatch, *, dimension: int) -> None:
    check_dimension(outcomes.features, dimension)
    rewards = outcomes.rewards[outcomes.shown]
    bad = ~((rewards >= 0.0) & (rewards <= 1.0))
    if bad.any():
        raise ContextError(
            f"rewards of a logistic policy must be in [0, 1], got {rewards[bad][0]:g}"
        )
    check_shown(outcomes)


@kernel
def _learn_rows(
    features: Float32Array,
    rewards: FloatArray,
    shown: BoolArray,
    curvature: float,
    rows: int,
    theta: FloatArray,
    inverse: FloatArray,
    precision: FloatArray,
) -> tuple[int, int]:
    """Take in rows in order; gives the rows so far, and the slate that lost precision, or -1."""
    d = features.shape[2]
    x = np.empty(d)
    gain = np.empty(d)
    for n in range(features.shape[0]):
        for slot in range(features.shape[1]):
            if not shown[n, slot]:
                continue
            mean = 0.0
            for i in range(d):
                x[i] = features[n, slot, i]
                gain[i] = 0.0
                mean += x[i] * theta[i]
            for i in range(d):
                for j in range(d):
                    gain[j] += x[i] * inverse[i, j]
            variance = 0.0
            for i in range(d):
                variance += x[i] * gain[i]
            if not 0.0 <= variance < np.inf:
                return rows, n
            if curvature > 0.0:
                weight = curvature
                step = (rewards[n, slot] - _sigmoid(mean)) / (1.0 + curvature * variance)
            else:
                z = _mode(mean, variance, rewards[n, slot])
                weight = _slope(z)
                # The same number twice; each form is exact where the other cancels.
                step = rewards[n, slot] - _sigmoid(z)
                if variance > 1.0:
                    step = (z - mean) / variance
            shrink = math.sqrt(weight / (1.0 + weight * variance))
            root = math.sqrt(weight)
            reached = 0.0
            for i in range(d):
                theta[i] += step * gain[i]
                reached += x[i] * theta[i]
                gain[i] *= shrink
                x[i] *= root
            meant = mean + step * variance
            if not abs(reached - meant) <= _TOLERANCE * (1.0 + abs(meant)):
                return rows, n
            for i in range(d):
                for j in range(d):
                    inverse[i, j] -= gain[i] * gain[j]
                for j in range(d):
                    precision[i, j] += x[i] * x[j]
            rows += 1
            if rows % REFRESH == 0 or weight * variance > MOST_SHRUNK:
                _invert(precision, inverse)
            if not _rounding_share(precision, inverse) <= MOST_ROUNDING:
                return rows, n
    return rows, -1


@kernel
def _mode(mean: float, variance: float, reward: float) -> float:
    """Root of z = mean + variance (reward - s(z)), by Newton's method kept in a bracket."""
    low = mean + variance * (reward - 1.0)
    high = mean + variance * reward
    z = min(max(mean, low), high)
    for _ in range(_STEPS):
        excess = z - mean - variance * (reward - _sigmoid(z))
        if excess > 0.0:
            high = z
        else:
            low = z
        following = z - excess / (1.0 + variance * _slope(z))
        if not low <= following <= high:
            following = 0.5 * (low + high)
        # Newton's method squares the error, so the step after this one is lost in rounding.
        close = abs(following - z) <= _CLOSE * (1.0 + abs(z))
        z = following
        if close:
            break
    return z


@kernel
def _invert(matrix: FloatArray, inverse: FloatArray) -> None:
    """Inverse of a symmetric positive definite matrix, by Gauss and Jordan without pivots."""
    d = matrix.shape[0]
    row = np.empty(d)
    for i in range(d):
        for j in range(d):
            inverse[i, j] = matrix[i, j]
    for k in range(d):
        pivot = 1.0 / inverse[k, k]
        for j in range(d):
            row[j] = inverse[k, j] * pivot
        row[k] = pivot
        for i in range(d):
            factor = inverse[i, k]
            if i == k:
                for j in range(d):
                    inverse[i, j] = row[j]
            else:
                inverse[i, k] = 0.0
                for j in range(d):
                    inverse[i, j] -= factor * row[j]
    for i in range(d):
        for j in range(i):
            half = 0.5 * (inverse[i, j] + inverse[j, i])
            inverse[i, j] = half
            inverse[j, i] = half


@kernel
def _rounding_share(precision: FloatArray, inverse: FloatArray) -> float:
    """As `inverse_root.rounding_share`; NaN if a variance is not above 0."""
    d = precision.shape[0]
    total = 0.0
    for i in range(d):
        if not inverse[i, i] > 0.0:
            return np.nan
        total += precision[i, i] * inverse[i, i]
    share: float = EPSILON * d * total
    return share


@kernel
def _squash_in_order(values: FloatArray) -> None:
    for n in range(values.shape[0]):
        z = values[n]
        if not abs(z) < np.inf:
            values[n] = np.nan
        elif z > UPPER_BEND:
            tail = _sigmoid(-UPPER_BEND) / (1.0 + math.log1p(z - UPPER_BEND))
            values[n] = 1.0 - tail
        elif z < LOWER_BEND:
            values[n] = _sigmoid(LOWER_BEND) / (1.0 + math.log1p(LOWER_BEND - z))
        else:
            values[n] = _sigmoid(z)


@kernel
def _squash(values: FloatArray) -> None:
    for n in range(values.shape[0]):
        values[n] = _sigmoid(values[n])


@kernel
def _sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))


@kernel
def _slope(z: float) -> float:
    """s(z) (1 - s(z)), exact in the tails too."""
    e = math.exp(-abs(z))
    return e / ((1.0 + e) * (1.0 + e))
