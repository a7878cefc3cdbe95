"""Estimate how often each slot is examined, from what exploration has swapped by chance.

In the position-based model the item i at slot l is clicked with probability theta_l m_i: slot l is
examined with probability theta_l, and an examined i is clicked with m_i, wherever it stands. Slots
of a slate hold unlike items, so their click rates say nothing of theta. But a slate that shows
(i, j) at two neighbouring slots could, by the logged law, have shown (j, i). With P and P' the
probabilities of the two, given the items above, the weight

    w = P' / (P + P')

makes both orders equally frequent, and the two slots then hold the same items:

    theta_{l+1} / theta_l = E[w click_{l+1}] / E[w click_l]

This is intervention harvesting (Agarwal et al. 2019, "Estimating position bias without intrusive
interventions", section 4) for exact propensities: P' comes from scoring the swapped slate, and the
weights, within [0, 1], are those of least variance for an overlap (Li, Morgan and Zaslavsky 2018,
"Balancing covariates via propensity score weighting", section 3). A law without exploration has
P' = 0 and tells nothing; a uniform one has w = 1/2.

What an item loses by standing below a similar one is no examination, but stands in these ratios,
most of all in the first: only the first slot has nothing above it.
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import (
    BoolArray,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.errors import ContextError
from matinee_policies.policy import Policy
from matinee_policies.records import ContextBatch


@dataclass(frozen=True, slots=True)
class Examination:
    """The estimated curve of `L` slots.

    Attributes:
        curve: examination of each slot, in shares of the first slot's, `float64 [L]`; NaN from the
            first slot on that nothing is known of.
        curve_error: standard errors, `float64 [L]`, 0 for the first slot.
        ratio: of each slot to the one above, `float64 [L - 1]`.
        ratio_error: standard errors, `float64 [L - 1]`.
        persistence: gamma, one ratio for all slots from the second on.
        persistence_error: its standard error.
        clicks: weighted clicks of the upper slot of each pair, `float64 [L - 1]`.
        pages: slates that the estimate rests on.
        units: whose slates these were.
    """

    curve: FloatArray
    curve_error: FloatArray
    ratio: FloatArray
    ratio_error: FloatArray
    persistence: float
    persistence_error: float
    clicks: FloatArray
    pages: int
    units: int


def swapped(positions: IndexArray, pair: Int64Array) -> IndexArray:
    """Slates with two neighbours in each other's place.

    Args:
        positions: `int32 [n, L]`.
        pair: upper slot of the two, below `L - 1`, `int64 [n]`.

    Example:
        >>> swapped(np.array([[4, 5, 6]], dtype=np.int32), np.array([1])).tolist()
        [[4, 6, 5]]
    """
    rows = np.arange(len(positions))
    slates = positions.copy()
    slates[rows, pair], slates[rows, pair + 1] = positions[rows, pair + 1], positions[rows, pair]
    return slates


def swap_weights(
    policy: Policy,
    contexts: ContextBatch,
    positions: IndexArray,
    propensities: FloatArray,
    *,
    pair: Int64Array,
    chosen: BoolArray,
) -> FloatArray:
    """P' / (P + P') of one pair of each slate, 0 where a slot of it holds no choice, `float64 [n]`.

    Args:
        policy: in the state that chose the slates.
        contexts: of `n` decisions.
        positions: the slates, `int32 [n, L]`.
        propensities: as logged, `float64 [n, L]`.
        pair: upper slot of each pair, `int64 [n]`.
        chosen: slots that hold an item which no pin put there, `bool [n, L]`.
    """
    rows = np.arange(len(positions))
    weights = np.zeros(len(positions))
    both = np.flatnonzero(chosen[rows, pair] & chosen[rows, pair + 1])
    if both.size:
        upper = pair[both]
        turned = policy.propensities(contexts.rows(both), swapped(positions[both], upper))
        at = np.arange(both.size)
        other = turned[at, upper] * turned[at, upper + 1]
        own = propensities[both, upper] * propensities[both, upper + 1]
        weights[both] = other / (own + other)
    return weights


def estimate_examination(weights: FloatArray, clicks: BoolArray, units: UInt64Array) -> Examination:
    """The curve of the module docstring, with standard errors by unit.

    Ratios of sums vary as their linear parts do (delta method), and units, not pages, are taken to
    be independent.

    Args:
        weights: of each pair of slots, in [0, 1], `float64 [n, L - 1]`.
        clicks: `bool [n, L]`.
        units: whose slates these are, `uint64 [n]`.

    Raises:
        ContextError: if the arrays do not fit together.
    """
    n, pairs = weights.shape
    if clicks.shape != (n, pairs + 1) or units.shape != (n,) or pairs < 1:
        raise ContextError(
            f"clicks and units must have shapes {(n, pairs + 1)} and {(n,)}, at least two slots, "
            f"got {clicks.shape} and {units.shape}"
        )
    distinct, owner = np.unique(units, return_inverse=True)
    upper, lower = (
        _by_unit(weights * clicks[:, part], owner, units=distinct.size)
        for part in (slice(None, -1), slice(1, None))
    )
    known, total = upper.sum(axis=0), lower.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(known > 0.0, total / known, np.nan)
        # What a unit adds to the logarithm of each ratio.
        parts = lower / total - upper / known
        sums = np.cumsum(parts, axis=1)
    curve = np.concatenate([[1.0], np.cumprod(ratio)])
    error = np.concatenate([[0.0], np.sqrt((sums**2).sum(axis=0))])
    persistence, persistence_error = _pooled(upper[:, 1:], lower[:, 1:])
    return Examination(
        curve=curve,
        curve_error=curve * error,
        ratio=ratio,
        ratio_error=ratio * np.sqrt((parts**2).sum(axis=0)),
        persistence=persistence,
        persistence_error=persistence_error,
        clicks=known,
        pages=int((weights > 0.0).any(axis=1).sum()),
        units=int(distinct.size),
    )


def _by_unit(values: FloatArray, owner: Int64Array, *, units: int) -> FloatArray:
    return np.stack(
        [np.bincount(owner, weights=column, minlength=units) for column in values.T], axis=1
    )


def _pooled(upper: FloatArray, lower: FloatArray) -> tuple[float, float]:
    """One ratio for several pairs, `[units, pairs]`, and its standard error."""
    known = float(upper.sum())
    if not known:
        return float("nan"), float("nan")
    ratio = float(lower.sum()) / known
    parts = lower.sum(axis=1) - ratio * upper.sum(axis=1)
    return ratio, float(np.sqrt((parts**2).sum())) / known
