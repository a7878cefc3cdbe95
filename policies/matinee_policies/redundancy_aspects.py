"""Redundancy by aspects, compiled: calibration and xQuAD, over lists of each candidate's aspects.

Calibration (Steck 2018, eqs. 1-3): with p the unit's mix, q the mean of the aspects of a slate of n
items and candidate i, and s the smoothing,

    redundancy(i | J) = sum_g p_g log(p_g / ((1 - s) q_g + s p_g))

Aspects that i lacks have the same term for all candidates, so only the logarithms of its own
aspects are taken. An item without aspects adds nothing to q but counts as an item; aspects of no
interest and units of whom nothing is known cost nothing.

xQuAD (Santos et al. 2010, eqs. 1-4), with a the shares of aspects in items:

    redundancy(i | J) = 1 - sum_g p_g a_ig prod_{j in J} (1 - a_jg)
"""

import math
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray
from matinee_policies.compiled import kernel, lean_kernel
from matinee_policies.records import PAD
from matinee_policies.redundancy_codes import CODE_CALIBRATED


class AspectLists(NamedTuple):
    """The aspects of one decision's candidates, and those of its slate.

    Attributes:
        start: where the aspects of each candidate start in the lists, `int32 [K + 1]`.
        aspect: numbers of aspects, rising per candidate, `int32 [K * G]`.
        share: their shares, above 0, `float64 [K * G]`.
        interest: the unit's mix, `float64 [G]`.
        slate: calibration: sum of the shares in the slate; xQuAD: share of each aspect that the
            slate leaves uncovered, `float64 [G]`.
        mixed: overwritten, `float64 [G]`.
    """

    start: IndexArray
    aspect: IndexArray
    share: FloatArray
    interest: FloatArray
    slate: FloatArray
    mixed: FloatArray


@kernel
def new_lists(candidates: int, aspects: int) -> AspectLists:
    """Room for one decision at a time."""
    return AspectLists(
        np.zeros(candidates + 1, np.int32),
        np.empty(candidates * aspects, np.int32),
        np.empty(candidates * aspects),
        np.empty(aspects),
        np.empty(aspects),
        np.empty(aspects),
    )


@lean_kernel
def start_lists(
    lists: AspectLists,
    candidates: IndexArray,
    aspects: Float32Array,
    interests: Float32Array,
    code: int,
) -> None:
    """Fill the lists for one decision with an empty slate.

    Args:
        lists: as `new_lists` gives them.
        candidates: catalogue rows, `int32 [K]`.
        aspects: shares of the catalogue, `float32 [M, G]`.
        interests: the unit's mix, `float32 [G]`.
        code: of the kind of redundancy.
    """
    start, aspect, share = lists.start, lists.aspect, lists.share
    interest, slate = lists.interest, lists.slate
    end = 0
    for k in range(candidates.shape[0]):
        item = candidates[k]
        if item != PAD:
            for g in range(aspects.shape[1]):
                if aspects[item, g] > 0.0:
                    aspect[end] = g
                    share[end] = aspects[item, g]
                    end += 1
        start[k + 1] = end
    for g in range(interests.shape[0]):
        interest[g] = interests[g]
        slate[g] = 0.0 if code == CODE_CALIBRATED else 1.0


@lean_kernel
def show_aspects(lists: AspectLists, k: int, code: int) -> None:
    """Add candidate `k` to the slate."""
    start, aspect, share, slate = lists.start, lists.aspect, lists.share, lists.slate
    for entry in range(start[k], start[k + 1]):
        if code == CODE_CALIBRATED:
            slate[aspect[entry]] += share[entry]
        else:
            slate[aspect[entry]] *= 1.0 - share[entry]


@lean_kernel
def set_uncovered(lists: AspectLists, redundancy: FloatArray) -> None:
    """XQuAD: work out the redundancy of every candidate, `float64 [at least K]`."""
    start, aspect, share = lists.start, lists.aspect, lists.share
    interest, slate = lists.interest, lists.slate
    for k in range(start.shape[0] - 1):
        covered = 0.0
        for entry in range(start[k], start[k + 1]):
            g = aspect[entry]
            covered += interest[g] * slate[g] * share[entry]
        redundancy[k] = 1.0 - covered


@lean_kernel
def set_divergences(
    lists: AspectLists, shown: int, smoothing: float, redundancy: FloatArray
) -> None:
    """Calibration: work out the redundancy of every candidate.

    Args:
        lists: with the slate so far.
        shown: items of the slate so far.
        smoothing: weight of the unit's own mix, in (0, 1).
        redundancy: receives the values, `float64 [at least K]`.
    """
    start, aspect, share = lists.start, lists.aspect, lists.share
    interest, slate, mixed = lists.interest, lists.slate, lists.mixed
    weight = (1.0 - smoothing) / (shown + 1.0)
    without = 0.0
    for g in range(interest.shape[0]):
        p = interest[g]
        if p > 0.0:
            mixed[g] = weight * slate[g] + smoothing * p
            without += p * math.log(p / mixed[g])
    for k in range(start.shape[0] - 1):
        total = without
        for entry in range(start[k], start[k + 1]):
            g = aspect[entry]
            p = interest[g]
            if p > 0.0:
                total -= p * math.log1p(weight * share[entry] / mixed[g])
        redundancy[k] = max(total, 0.0)
