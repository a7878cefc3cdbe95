"""The first row that has neither length one nor length zero, at the speed of reading memory."""

import numpy as np

from matinee_policies.arrays import AnyArray
from matinee_policies.compiled import kernel
from matinee_policies.lanes import (
    add_lanes,
    lanes_of,
    load_lanes,
    multiply_add,
    sum_lanes,
    zero_lanes,
)
from matinee_policies.records import PAD


@kernel
def first_odd_row(vectors: AnyArray, low: float, high: float) -> int:
    """The first row that is not 0 and whose sum of squares is outside [low, high]; `PAD` if none.

    Args:
        vectors: `float32` or `float64 [n, m]`, in order and read-only.
        low: above 0.
        high: at least `low`.
    """
    m = vectors.shape[1]
    width = lanes_of(vectors)
    whole, pairs = m - m % width, m - m % (2 * width)
    for n in range(vectors.shape[0]):
        one, two = zero_lanes(vectors), zero_lanes(vectors)
        for f in range(n * m, n * m + pairs, 2 * width):
            first, second = load_lanes(vectors, f), load_lanes(vectors, f + width)
            one = multiply_add(first, first, one)
            two = multiply_add(second, second, two)
        if pairs < whole:
            first = load_lanes(vectors, n * m + pairs)
            one = multiply_add(first, first, one)
        total = np.float64(sum_lanes(add_lanes(one, two)))
        for f in range(whole, m):
            total += np.float64(vectors[n, f]) * np.float64(vectors[n, f])
        if not (low <= total <= high):
            for f in range(m):
                if vectors[n, f] != 0.0:
                    return n
    return PAD
