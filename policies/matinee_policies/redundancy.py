"""The redundancy of every candidate given the items shown before it, from the definitions.

Readable twins of `redundancy_vectors.py` and `redundancy_aspects.py`; `diversity.py` names the
sources.

With S the matrix of cosines and S_ii = 1, also for an unknown item (zero vector), which is similar
to nobody:

    MMR   max(0, max over j in J of S_ij)
    DPP   -log max(c_i^2, 1e-6), c_i^2 = S_ii - S_iJ S_JJ^-1 S_Ji, the conditional variance; items
          of J that those before them explain to within 1e-6 are left out of J
"""

import math

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray
from matinee_policies.diversity import DPP, MMR, Calibrated, Diversity, XQuAD
from matinee_policies.redundancy_codes import LEAST_VARIANCE
from matinee_policies.similarity import cosines_reference


def mmr_reference(vectors: AnyArray, chosen: IndexArray) -> FloatArray:
    """Redundancy of MMR of each vector given those chosen.

    Args:
        vectors: of length one or zero, `[K, m]`.
        chosen: positions chosen so far, `int32 [any length]`.

    Returns:
        Values in [0, 1], `float64 [K]`.
    """
    largest = np.zeros(len(vectors))
    for position in chosen:
        largest = np.maximum(largest, cosines_reference(vectors, vectors[position]))
    return largest


def dpp_reference(vectors: AnyArray, chosen: IndexArray) -> FloatArray:
    """Redundancy of DPP of each vector given those chosen; arguments as `mmr_reference`.

    Row by row of the Cholesky factor (Chen, Zhang and Zhou 2018, algorithm 1).
    """
    variance = np.ones(len(vectors))
    factor = np.zeros((0, len(vectors)))
    for position in chosen:
        row = np.zeros(len(vectors))
        if variance[position] > LEAST_VARIANCE:
            row += cosines_reference(vectors, vectors[position])
            for before in factor:
                row -= before[position] * before
            row /= math.sqrt(variance[position])
        factor = np.vstack([factor, row])
        variance = variance - row * row
    return -np.log(np.maximum(variance, LEAST_VARIANCE))


def calibrated_reference(
    aspects: AnyArray, interests: AnyArray, chosen: IndexArray, *, smoothing: float
) -> FloatArray:
    """Redundancy of calibration.

    Args:
        aspects: shares of each aspect in each candidate, `[K, G]`.
        interests: the unit's mix, `[G]`.
        chosen: positions chosen so far, `int32 [any length]`.
        smoothing: weight of the unit's own mix in the slate's, in (0, 1).

    Returns:
        Kullback-Leibler divergences in nats, at least 0, `float64 [K]`.
    """
    shares, mix = aspects.astype(np.float64), interests.astype(np.float64)
    slates = (shares[chosen].sum(axis=0) + shares) / (len(chosen) + 1)
    wanted = mix > 0
    smoothed = (1.0 - smoothing) * slates[:, wanted] + smoothing * mix[wanted]
    divergence: FloatArray = (mix[wanted] * np.log(mix[wanted] / smoothed)).sum(axis=1)
    return np.maximum(divergence, 0.0)


def xquad_reference(aspects: AnyArray, interests: AnyArray, chosen: IndexArray) -> FloatArray:
    """Redundancy of xQuAD; arguments as `calibrated_reference`; values in [0, 1]."""
    shares, mix = aspects.astype(np.float64), interests.astype(np.float64)
    uncovered = (1.0 - shares[chosen]).prod(axis=0)
    gain: FloatArray = 1.0 - shares @ (mix * uncovered)
    return gain


def redundancy_reference(
    diversity: Diversity,
    chosen: IndexArray,
    *,
    vectors: AnyArray,
    aspects: AnyArray,
    interests: AnyArray,
) -> FloatArray:
    """Redundancy of each candidate under any kind, `float64 [K]`; arguments as above."""
    if isinstance(diversity, MMR):
        return mmr_reference(vectors, chosen)
    if isinstance(diversity, DPP):
        return dpp_reference(vectors, chosen)
    if isinstance(diversity, Calibrated):
        return calibrated_reference(aspects, interests, chosen, smoothing=diversity.smoothing)
    if not isinstance(diversity, XQuAD):
        raise TypeError(f"no redundancy is known for {diversity!r}")
    return xquad_reference(aspects, interests, chosen)
