"""Cosines between the candidates of a decision and the items of its slate.

Vectors have length one or zero, so a cosine is a dot product. Products of two numbers of float32
are exact in float64, in which they are added: a cosine of vectors of float32 is that of the same
vectors in float64, to rounding of float64. The compiled sums are in `redundancy_vectors.py`.
"""

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray


def cosines_reference(vectors: AnyArray, vector: AnyArray) -> FloatArray:
    """Dot product of one vector with many.

    Args:
        vectors: `[n, m]`.
        vector: of the same type, `[m]`.

    Returns:
        Values in [-1, 1] to rounding, `float64 [n]`.
    """
    cosines: FloatArray = vectors.astype(np.float64) @ vector.astype(np.float64)
    return cosines
