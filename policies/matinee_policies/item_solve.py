"""Solutions of many small ridge regressions, one per item."""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.errors import ContextError

_CHUNK = 256


@dataclass(frozen=True, slots=True)
class ItemSolutions:
    """With A_a = l2 I + cross_a[:, columns], for each of `t` items.

    Attributes:
        inverse: A_a^-1, symmetric, `float64 [t, p, p]`.
        theta: A_a^-1 moments_a, `float64 [t, p]`.
        link: A_a^-1 cross_a, `float64 [t, p, d]`; empty if not asked for.
    """

    inverse: FloatArray
    theta: FloatArray
    link: FloatArray


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
        ContextError: if the features are so large that the prior is lost in rounding.
    """
    t, p, d = cross.shape
    inverse, theta = np.empty((t, p, p)), np.empty((t, p))
    links = np.empty((t if link else 0, p, d))
    for start in range(0, t, _CHUNK):
        rows = slice(start, start + _CHUNK)
        A = cross[rows][:, :, columns] + l2 * np.eye(p)
        try:
            half = np.linalg.inv(np.linalg.cholesky(A))
        except np.linalg.LinAlgError:
            raise ContextError(
                f"features must be of moderate size, got sums up to {A.max():.3g} beside "
                f"l2 = {l2:g}"
            ) from None
        other = np.ascontiguousarray(half.swapaxes(1, 2))
        full = other @ half
        inverse[rows] = (full + full.swapaxes(1, 2)) / 2.0
        b = moments[rows, 0] + moments[rows, 1]
        theta[rows] = (other @ (half @ b[:, :, None]))[:, :, 0]
        if link:
            links[rows] = other @ (half @ cross[rows])
    return ItemSolutions(inverse, theta, links)
