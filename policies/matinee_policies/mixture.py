"""The law of a mixture: one of `M` bases is drawn per slate, and it draws the whole slate.

With weights w and p_jm = P(item at slot m | items before it) under base j, the law that an onlooker
sees, who does not know the base, is

    p(l | prefix) = sum_j w_j prod_{m<=l} p_jm / sum_j w_j prod_{m<l} p_jm

so its product over the slots is sum_j w_j P_j(slate). It is worked out as the mean of the p_jl
under the odds of the bases given the prefix; those are products, kept as logarithms. A base that
could not have shown the prefix drops out.

Numerics on arrays only; what the bases are belongs to `base_policies.py`.
"""

import math

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray, Int8Array, UInt64Array
from matinee_policies.compiled import kernel
from matinee_policies.philox import uniform
from matinee_policies.records import PAD

BASE_COUNTER = np.uint64(2**64 - 1)
"""High counter of the uniform number that draws the base; slots use their own number, from 0."""

_NO_COUNTER = np.uint64(0)
_IMPOSSIBLE = -np.inf


def draw_bases(weights: FloatArray, keys: UInt64Array) -> Int8Array:
    """Draw one base per decision, by inversion of the running sum of the weights.

    The uniform number is that of (decision key, `BASE_COUNTER`), which no slot uses, so the draws
    of a base's slots do not depend on which base was drawn.

    Args:
        weights: probability of each base, above 0, `float64 [M]`, `M` at most 127.
        keys: decision keys, `uint64 [B]`.

    Returns:
        Number of the base of each decision, `int8 [B]`.

    Example:
        >>> draw_bases(np.array([0.5, 0.5]), np.arange(6, dtype=np.uint64)).tolist()
        [1, 1, 1, 0, 0, 0]
    """
    bases = np.empty(len(keys), dtype=np.int8)
    _draw(
        # Numba compiles anew for arrays that are read-only.
        np.require(weights, requirements=("C", "W")),
        np.require(keys, requirements=("C", "W")),
        bases,
    )
    return bases


def mixture_propensities(
    laws: FloatArray, weights: FloatArray, positions: IndexArray
) -> FloatArray:
    """Probability of each item of any slates under the mixture, given the items before it.

    Args:
        laws: the same probability under each base, in [0, 1], `float64 [M, B, L]`; at padding, 1
            if the base leaves the slot empty and 0 if it does not.
        weights: probability of each base, above 0, `float64 [M]`.
        positions: the slates, `int32 [B, L]`; only padding is read from them.

    Returns:
        `float64 [B, L]` in [0, 1]. 1 at padding, but for a slot that only some of the bases leave
        empty: there, their odds. 0 from the slot on at which the slate becomes impossible for every
        base, padding apart.

    Example:
        >>> laws = np.array([[[0.5, 0.5]], [[0.1, 0.9]]])
        >>> slates = np.zeros((1, 2), dtype=np.int32)
        >>> mixture_propensities(laws, np.array([0.5, 0.5]), slates).round(6).tolist()
        [[0.3, 0.566667]]
    """
    mixed = np.empty(positions.shape)
    _mix(
        np.require(laws, requirements=("C", "W")),
        np.require(weights, requirements=("C", "W")),
        np.require(positions, requirements=("C", "W")),
        mixed,
    )
    return mixed


def draw_bases_reference(weights: FloatArray, keys: UInt64Array) -> Int8Array:
    """The readable twin of `draw_bases`."""
    edges = np.cumsum(weights)
    draws = [uniform(key, BASE_COUNTER, _NO_COUNTER) for key in keys]
    bases = np.searchsorted(edges, np.array(draws), side="right")
    return np.minimum(bases, len(weights) - 1).astype(np.int8)


def mixture_propensities_reference(
    laws: FloatArray, weights: FloatArray, positions: IndexArray
) -> FloatArray:
    """The formula of the module docstring, products and all; the twin of `mixture_propensities`."""
    joint = weights[:, None, None] * laws.cumprod(axis=2)
    after = joint.sum(axis=0)
    start = np.full((len(positions), 1), weights.sum())
    before = np.concatenate([start, after[:, :-1]], axis=1)
    ratio: FloatArray = (positions == PAD).astype(np.float64)
    np.divide(after, before, out=ratio, where=before > 0.0)
    return ratio


@kernel
def _draw(weights: FloatArray, keys: UInt64Array, bases: Int8Array) -> None:
    for b in range(keys.shape[0]):
        draw = uniform(keys[b], BASE_COUNTER, _NO_COUNTER)
        total = 0.0
        # Should rounding leave the sum below the draw, the last base takes it.
        chosen = weights.shape[0] - 1
        for j in range(weights.shape[0]):
            total += weights[j]
            if draw < total:
                chosen = j
                break
        bases[b] = chosen


@kernel
def _mix(laws: FloatArray, weights: FloatArray, positions: IndexArray, mixed: FloatArray) -> None:
    M = weights.shape[0]
    log_odds = np.empty(M)
    for b in range(positions.shape[0]):
        for j in range(M):
            log_odds[j] = math.log(weights[j])
        for slot in range(positions.shape[1]):
            best = _IMPOSSIBLE
            for j in range(M):
                best = max(best, log_odds[j])
            if best == _IMPOSSIBLE:
                mixed[b, slot] = 1.0 if positions[b, slot] == PAD else 0.0
                continue
            # A mean of the p_j: exactly 1 where all of them are.
            above, below = 0.0, 0.0
            for j in range(M):
                odds = math.exp(log_odds[j] - best)
                above += odds * laws[j, b, slot]
                below += odds
            mixed[b, slot] = above / below
            for j in range(M):
                p = laws[j, b, slot]
                log_odds[j] = log_odds[j] + math.log(p) if p > 0.0 else _IMPOSSIBLE
