"""Small symmetric positive definite systems, solved inside kernels.

Own loops instead of LAPACK: they need no call out of a kernel, and their bits depend on the system
alone, not on threads or on what else is solved with it.
"""

import math

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.compiled import kernel, lean_kernel


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
