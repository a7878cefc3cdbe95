"""One half step of biased alternating least squares: every row of one side, given the other."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray
from matinee_policies.candidates.cholesky import add_outer, add_scaled, cholesky_solve
from matinee_policies.compiled import kernel
from matinee_policies.interactions import Ratings


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Users or items; half steps write into the arrays.

    Attributes:
        vectors: `float64 [n, 1 + f]`: 1, which multiplies the other side's bias, then the factors.
        bias: `float64 [n]`.
    """

    vectors: FloatArray
    bias: FloatArray

    @classmethod
    def empty(cls, rows: int, factors: int) -> Self:
        """A side whose factors and biases are 0."""
        vectors = np.zeros((rows, 1 + factors))
        vectors[:, 0] = 1.0
        return cls(vectors, np.zeros(rows))

    @property
    def factors(self) -> FloatArray:
        """The factors alone, a view, `float64 [n, f]`."""
        return self.vectors[:, 1:]


@dataclass(frozen=True, slots=True, eq=False)
class Penalty:
    """Ridge of (bias, factors) of a row, as fixed + per_rating * ratings of the row.

    Attributes:
        fixed: above 0, `float64 [1 + f]`.
        per_rating: at least 0, `float64 [1 + f]`.
    """

    fixed: FloatArray
    per_rating: FloatArray


def solve_rows(matrix: Ratings, other: Side, solved: Side, *, mean: float, ridge: Penalty) -> None:
    """Put the least squares solution of every row into `solved`.

    A row with ratings r has the bias c and the factors p that make the sum over its ratings of
    (r - mean - bias_j - c - p . q_j)^2, plus ridge times (c, p)^2, least.

    Args:
        matrix: ratings, one row for each of `solved`, one column for each of `other`.
        other: the side that is given.
        solved: the side to solve for.
        mean: global mean.
        ridge: penalty of each row.
    """
    _solve_rows(
        matrix.indptr.astype(np.int32, copy=False),
        matrix.indices.astype(np.int32, copy=False),
        matrix.data.astype(np.float32, copy=False),
        other.vectors,
        other.bias,
        mean,
        ridge.fixed,
        ridge.per_rating,
        solved.vectors,
        solved.bias,
    )


def solve_rows_reference(
    matrix: Ratings, other: Side, solved: Side, *, mean: float, ridge: Penalty
) -> None:
    """The same by numpy: the readable twin of `solve_rows`."""
    for row in range(matrix.shape[0]):
        entries = slice(int(matrix.indptr[row]), int(matrix.indptr[row + 1]))
        columns = matrix.indices[entries]
        X = other.vectors[columns]
        y = matrix.data[entries].astype(np.float64) - mean - other.bias[columns]
        penalty = ridge.fixed + ridge.per_rating * columns.size
        solution = np.linalg.solve(np.diag(penalty) + X.T @ X, X.T @ y)
        solved.bias[row], solved.factors[row] = solution[0], solution[1:]


@kernel
def _solve_rows(
    indptr: IndexArray,
    indices: IndexArray,
    values: Float32Array,
    vectors: FloatArray,
    bias: FloatArray,
    mean: float,
    fixed: FloatArray,
    per_rating: FloatArray,
    solved: FloatArray,
    solved_bias: FloatArray,
) -> None:
    """Solve the smaller of two systems for each row.

    With D the diagonal ridge, X the other side's vectors and y what is left to explain, the
    solution is (D + X'X)^-1 X'y = D^-1 X' (I + X D^-1 X')^-1 y (Woodbury's identity).
    """
    d = vectors.shape[1]
    A = np.empty((d, d))
    X = np.empty((d, d))
    b = np.empty(d)
    solution = np.empty(d)
    for row in range(indptr.size - 1):
        start, n = indptr[row], indptr[row + 1] - indptr[row]
        A[:] = 0.0
        if n >= d:
            solution[:] = 0.0
            for k in range(d):
                A[k, k] = fixed[k] + per_rating[k] * n
            for t in range(start, start + n):
                j = indices[t]
                add_outer(A, vectors[j], 1.0, d)
                add_scaled(solution, vectors[j], values[t] - mean - bias[j], 0, d)
            cholesky_solve(A, solution, d)
        else:
            for t in range(n):
                j = indices[start + t]
                A[t, t] = 1.0
                b[t] = values[start + t] - mean - bias[j]
                for k in range(d):
                    X[k, t] = vectors[j, k]
            for k in range(d):
                add_outer(A, X[k], 1.0 / (fixed[k] + per_rating[k] * n), n)
            cholesky_solve(A, b, n)
            for k in range(d):
                total = 0.0
                for t in range(n):
                    total += X[k, t] * b[t]
                solution[k] = total / (fixed[k] + per_rating[k] * n)
        solved_bias[row] = solution[0]
        for k in range(1, d):
            solved[row, k] = solution[k]
