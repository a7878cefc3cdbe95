"""Poisson counts from uniform draws, one for each."""

import math

import numpy as np

from matinee_policies.arrays import FloatArray, Int64Array

_NEGLIGIBLE = 2.0**-64


def poisson_counts(rate: float, draws: FloatArray) -> Int64Array:
    """Counts of a Poisson law by inversion: P(count <= k) is crossed by the draw.

    Args:
        rate: mean, in [0, 700].
        draws: uniform in [0, 1), any shape.

    Returns:
        One count for each draw, rising with the draw and with the rate.

    Example:
        >>> poisson_counts(1.0, np.array([0.0, 0.3, 0.4, 0.8, 0.99])).tolist()
        [0, 0, 1, 2, 4]
    """
    counts = np.zeros(draws.shape, dtype=np.int64)
    chance = reach = math.exp(-rate)
    k = 0
    # Rounding may keep the sum of all probabilities below the largest draws: stop in the far tail.
    while k < rate or chance > _NEGLIGIBLE:
        above = draws >= reach
        if not above.any():
            break
        counts[above] += 1
        k += 1
        chance *= rate / k
        reach += chance
    return counts
