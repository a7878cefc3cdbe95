"""Solutions of many small ridge regressions, one per item."""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.inverse_root import inverse_root

LANES = 8
"""Numbers of float64 in a vector of `lanes.py`."""

_CHUNK = 256


@dataclass(frozen=True, slots=True)
class ItemSolutions:
    """With A_a = l2 I + cross_a[:, columns], for each of `t` items.

    Attributes:
        triangles: the lower triangle of A_a^-1 row by row, then zeros; `float64 [t, T]`, T whole
            vectors.
        theta: A_a^-1 moments_a, then zeros, `float64 [t, P]`, P whole vectors.
        link: A_a^-1 cross_a, `float64 [t, p, d]`; empty if not asked for.
    """

    triangles: FloatArray
    theta: FloatArray
    link: FloatArray


def whole_vectors(count: int) -> int:
    """Numbers in the vectors that hold `count` of them.

    Example:
        >>> whole_vectors(8), whole_vectors(9)
        (8, 16)
    """
    return (count + LANES - 1) // LANES * LANES


def solve_items(
    cross: FloatArray, moments: FloatArray, *, columns: Int64Array, l2: float, link: bool = False
) -> ItemSolutions:
    """Solve by Cholesky's factorisation, item by item.

    Args:
        cross: `float64 [t, p, d]`.
        moments: `float64 [t, 2, p]`.
        columns: of the features that are an item's own, `int64 [p]`.
        l2: weight of the prior, above 0.
        link: whether `ItemSolutions.link` is wanted.

    Raises:
        ContextError: if the prior of an item is lost in rounding (`inverse_root.py`).
    """
    t, p, d = cross.shape
    row, column = np.tril_indices(p)
    triangles = np.zeros((t, whole_vectors(len(row))))
    theta = np.zeros((t, whole_vectors(p)))
    links = np.empty((t if link else 0, p, d))
    for start in range(0, t, _CHUNK):
        rows = slice(start, start + _CHUNK)
        A = np.take(cross[rows], columns, axis=2) + l2 * np.eye(p)
        half = inverse_root(A, l2=l2)
        other = np.ascontiguousarray(half.swapaxes(1, 2))
        full = other @ half
        both = full + full.swapaxes(1, 2)
        lower = np.take(both.reshape(len(both), p * p), row * p + column, axis=1)
        triangles[rows, : len(row)] = 0.5 * lower
        b = moments[rows, 0] + moments[rows, 1]
        theta[rows, :p] = (other @ (half @ b[:, :, None]))[:, :, 0]
        if link:
            links[rows] = other @ (half @ cross[rows])
    return ItemSolutions(triangles, theta, links)
