"""Small symmetric positive definite systems, solved inside kernels, one or eight at a time.

Own loops instead of LAPACK: they need no call out of a kernel, and their bits depend on the system
alone, not on threads or on what else is solved with it. Eight systems lie side by side in the lanes
of vectors and go through the steps of one, so each has the bits that it has alone.
"""

import math

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.compiled import kernel, lean_kernel
from matinee_policies.lanes import add_lanes, load_lanes, multiply_lanes, store_lanes

EIGHT = 8
"""Systems that `solve_eight` takes; lanes of a vector of float64."""


@kernel
def cholesky_solve(A: FloatArray, b: FloatArray, size: int) -> None:
    """Solve A x = b by A = L L', leaving x in `b` and L in the lower triangle of `A`.

    Args:
        A: symmetric positive definite in its first `size` rows and columns, of which the lower
            triangle is read, `float64 [>= size, >= size]`.
        b: right-hand side, `float64 [>= size]`.
        size: number of unknowns.
    """
    _solve(A, b, size, np.empty(size))


@lean_kernel
def _solve(A: FloatArray, b: FloatArray, size: int, column: FloatArray) -> None:
    for j in range(size):
        scale = 1.0 / math.sqrt(A[j, j])
        for i in range(j, size):
            column[i] = A[i, j] * scale
            A[i, j] = column[i]
        for i in range(j + 1, size):
            add_scaled(A[i], column, -column[i], j + 1, i + 1)
    for i in range(size):
        rest = b[i]
        for k in range(i):
            rest -= A[i, k] * b[k]
        b[i] = rest / A[i, i]
    for i in range(size - 1, -1, -1):
        b[i] /= A[i, i]
        add_scaled(b, A[i], -b[i], 0, i)


@lean_kernel
def solve_eight(A: FloatArray, b: FloatArray, column: FloatArray, negative: FloatArray) -> None:
    """Solve eight systems as `cholesky_solve` does each of them.

    Args:
        A: lower triangles, overwritten, `float64 [f, f, 8]`, C-contiguous as are the others.
        b: right-hand sides; receives the solutions, `float64 [f, 8]`.
        column: room, `float64 [f, 8]`.
        negative: room, `float64 [f, 8]`.
    """
    size = b.shape[0]
    row = size * EIGHT
    for j in range(size):
        for lane in range(EIGHT):
            negative[j, lane] = 1.0 / math.sqrt(A[j, j, lane])
        scale = load_lanes(negative, j * EIGHT)
        for i in range(j, size):
            at = i * row + j * EIGHT
            scaled = multiply_lanes(load_lanes(A, at), scale)
            store_lanes(column, i * EIGHT, scaled)
            store_lanes(A, at, scaled)
        for i in range(j + 1, size):
            for lane in range(EIGHT):
                negative[i, lane] = -column[i, lane]
            weight = load_lanes(negative, i * EIGHT)
            for k in range(j + 1, i + 1):
                at = i * row + k * EIGHT
                taken = multiply_lanes(weight, load_lanes(column, k * EIGHT))
                store_lanes(A, at, add_lanes(load_lanes(A, at), taken))
    for i in range(size):
        for k in range(i):
            for lane in range(EIGHT):
                b[i, lane] -= A[i, k, lane] * b[k, lane]
        for lane in range(EIGHT):
            b[i, lane] /= A[i, i, lane]
    for i in range(size - 1, -1, -1):
        for lane in range(EIGHT):
            b[i, lane] /= A[i, i, lane]
        for k in range(i):
            for lane in range(EIGHT):
                b[k, lane] -= b[i, lane] * A[i, k, lane]


@lean_kernel
def add_outer(A: FloatArray, x: FloatArray, weight: float, size: int) -> None:
    """Add weight x x' to the lower triangle of `A`.

    Args:
        A: `float64 [>= size, >= size]`.
        x: `float64 [>= size]`.
        weight: any number.
        size: how much of `A` and `x` takes part.
    """
    for i in range(size):
        add_scaled(A[i], x, weight * x[i], 0, i + 1)


@lean_kernel
def add_scaled(target: FloatArray, x: FloatArray, weight: float, start: int, stop: int) -> None:
    """Add weight x to `target` within `start` and `stop`; both are `float64 [>= stop]`."""
    for k in range(start, stop):
        target[k] += weight * x[k]


def cholesky_solve_reference(A: FloatArray, b: FloatArray) -> FloatArray:
    """The solution by numpy: the readable twin of `cholesky_solve`, on the whole of `A`."""
    lower = np.tril(A)
    return np.linalg.solve(lower + np.tril(A, -1).T, b).astype(np.float64)
