"""Rank-one steps of ridge regression inside kernels, and the way back to its sums.

All matrices are `float64 [D, D]` and vectors `float64 [D]`, padded with zeros to a multiple of two
vectors of eight.
"""

import math

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.candidates.cholesky import add_scaled
from matinee_policies.compiled import kernel
from matinee_policies.lanes import (
    add_lanes,
    lanes_of,
    load_lanes,
    multiply_add,
    spread_lanes,
    store_lanes,
    zero_lanes,
)


@kernel
def multiply_symmetric(A: FloatArray, x: FloatArray, product: FloatArray) -> None:
    """Write A x for a symmetric A, reading it row by row."""
    D = A.shape[0]
    lanes: int = lanes_of(A)
    for start in range(0, D, 2 * lanes):
        even0 = zero_lanes(A)
        even1 = zero_lanes(A)
        odd0 = zero_lanes(A)
        odd1 = zero_lanes(A)
        for j in range(0, D, 2):
            place = j * D + start
            one = spread_lanes(x, j)
            even0 = multiply_add(one, load_lanes(A, place), even0)
            even1 = multiply_add(one, load_lanes(A, place + lanes), even1)
            two = spread_lanes(x, j + 1)
            odd0 = multiply_add(two, load_lanes(A, place + D), odd0)
            odd1 = multiply_add(two, load_lanes(A, place + D + lanes), odd1)
        store_lanes(product, start, add_lanes(even0, odd0))
        store_lanes(product, start + lanes, add_lanes(even1, odd1))


@kernel
def add_scaled_outer(A: FloatArray, u: FloatArray, v: FloatArray, weight: float) -> None:
    """Add weight u v' to `A`, `float64 [rows, columns]`, in place; both sizes padded."""
    lanes: int = lanes_of(A)
    rows, columns = A.shape
    scaled = np.empty(rows)
    for i in range(rows):
        scaled[i] = weight * u[i]
    for i in range(rows):
        one = spread_lanes(scaled, i)
        for j in range(0, columns, lanes):
            place = i * columns + j
            store_lanes(A, place, multiply_add(one, load_lanes(v, j), load_lanes(A, place)))


@kernel
def add_lower_outer(A: FloatArray, x: FloatArray) -> None:
    """Add x x' to the lower triangle of `A`; what lies above it means nothing afterwards."""
    lanes: int = lanes_of(A)
    D = A.shape[0]
    for i in range(D):
        one = spread_lanes(x, i)
        for j in range(0, i + 1, lanes):
            place = i * D + j
            store_lanes(A, place, multiply_add(one, load_lanes(x, j), load_lanes(A, place)))


@kernel
def mirror_lower(A: FloatArray) -> None:
    """Make `A` symmetric from its lower triangle."""
    tile = 16
    for top in range(0, A.shape[0], tile):
        for left in range(0, top + 1, tile):
            # Tile by tile, since a whole column does not fit into the nearest cache.
            for i in range(top, min(top + tile, A.shape[0])):
                for j in range(left, min(left + tile, i)):
                    A[j, i] = A[i, j]


@kernel
def invert_sums(gram: FloatArray, l2: float, dimension: int, inverse: FloatArray) -> bool:
    """Write (l2 I + gram)^-1 by Cholesky's factorisation, from the lower triangle of `gram`.

    Args:
        gram: sum of x x', `float64 [>= dimension, >= dimension]`.
        l2: weight of the prior.
        dimension: rows and columns that count.
        inverse: `float64 [>= dimension, >= dimension]`, untouched if there is none.

    Returns:
        Whether the matrix is positive definite in double precision.
    """
    L = np.zeros((dimension, dimension))
    column = np.empty(dimension)
    for i in range(dimension):
        for j in range(i):
            L[i, j] = gram[i, j]
        L[i, i] = gram[i, i] + l2
    for j in range(dimension):
        if not L[j, j] > 0.0 or math.isinf(L[j, j]):
            return False
        scale = 1.0 / math.sqrt(L[j, j])
        for i in range(j, dimension):
            column[i] = L[i, j] * scale
            L[i, j] = column[i]
        for i in range(j + 1, dimension):
            add_scaled(L[i], column, -column[i], j + 1, i + 1)
    half = np.zeros((dimension, dimension))
    for i in range(dimension):
        half[i, i] = 1.0
        for k in range(i):
            add_scaled(half[i], half[k], -L[i, k], 0, k + 1)
        for j in range(i + 1):
            half[i, j] /= L[i, i]
    for i in range(dimension):
        for j in range(dimension):
            inverse[i, j] = 0.0
    for k in range(dimension):
        for i in range(k + 1):
            add_scaled(inverse[i], half[k], half[k, i], 0, i + 1)
    for i in range(dimension):
        for j in range(i):
            inverse[j, i] = inverse[i, j]
    return True
