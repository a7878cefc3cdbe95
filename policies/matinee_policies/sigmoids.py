"""The logistic function of many numbers at once, side by side in a kernel.

A call of `exp` for each number is most of what a score costs. Here the exponential is a polynomial,
so that the compiler works on as many numbers as fit into a vector: exp(y) = 2^n exp(r) with n the
whole number next to y / log 2 and |r| <= log(2) / 2, where the Taylor sum to r^13 is exact to
rounding.
"""

import math

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, Int64Array
from matinee_policies.compiled import lean_kernel

FARTHEST = 15.0
"""Beyond this distance from 0 a float32 score would round to 0 or 1."""

_PER_LOG_2 = 1.0 / math.log(2.0)
# log 2 in two parts: a product of the first with a small whole number is exact.
_LOG_2_HIGH = 0.693359375
_LOG_2_LOW = math.log(2.0) - _LOG_2_HIGH
# Added and taken away again, it rounds to a whole number.
_ROUNDER = 1.5 * 2.0**52
_EXPONENT_BIAS, _EXPONENT_PLACE = 1023, 52
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = (
    1.0 / math.factorial(power) for power in range(2, 14)
)


@lean_kernel
def fill_sigmoids(
    raws: Float32Array,
    size: int,
    mean: float,
    scale: float,
    powers: Int64Array,
    parts: FloatArray,
) -> None:
    """Turn raw scores into 1 / (1 + exp(-z)), z = (raw - mean) / scale within +-`FARTHEST`.

    Args:
        raws: finite; receives the scores, `float32 [>= size]`.
        size: how many.
        mean: of raw scores.
        scale: of raw scores, above 0.
        powers: room, `int64 [>= size]`.
        parts: room, `float64 [>= size]`.
    """
    for t in range(size):
        y = (mean - float(raws[t])) / scale
        y = min(max(y, -FARTHEST), FARTHEST)
        n = (y * _PER_LOG_2 + _ROUNDER) - _ROUNDER
        r = (y - n * _LOG_2_HIGH) - n * _LOG_2_LOW
        p = _C13 * r + _C12
        p = p * r + _C11
        p = p * r + _C10
        p = p * r + _C9
        p = p * r + _C8
        p = p * r + _C7
        p = p * r + _C6
        p = p * r + _C5
        p = p * r + _C4
        p = p * r + _C3
        p = p * r + _C2
        parts[t] = (p * r + 1.0) * r + 1.0
        powers[t] = (np.int64(n) + _EXPONENT_BIAS) << _EXPONENT_PLACE
    # The bits of an exponent alone are a power of two.
    scales = powers.view(np.float64)
    for t in range(size):
        raws[t] = np.float32(1.0 / (1.0 + parts[t] * scales[t]))


def sigmoids_reference(raws: Float32Array, *, mean: float, scale: float) -> FloatArray:
    """The scores of `fill_sigmoids`, `float64 [n]`, by the library's exponential."""
    z = (raws.astype(np.float64) - mean) / scale
    return 1.0 / (1.0 + np.exp(-np.clip(z, -FARTHEST, FARTHEST)))
