"""The inverse of a ridge regression's matrix, refused where rounding has spoilt it.

A = l2 I + sum x x' is positive definite, but as numbers of 53 bits it need not be: features of 1e9
beside a prior of 1 leave nothing of the prior. To first order, rounding changes x' A^-1 x, the
square of a width, by at most the share

    eps d sum_k A_kk (A^-1)_kk

of it (Demmel 1989, "On floating point errors in Cholesky", with the rows and columns of A scaled to
a diagonal of 1, and the trace in the place of the norm). A_kk (A^-1)_kk, the variance inflation
factor of feature k, is 1 where the feature is a combination of no others, whatever its size, so one
large feature is as good as a small one; it is large where features that are large beside the prior
are nearly dependent. Rounding in sums of very many rows comes on top, and grows with the square
root of their number.
"""

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ContextError

MOST_ROUNDING = 1e-4
"""Largest share of a variance that may be lost to rounding; of a width, half of it."""

EPSILON = 2.0**-52


def inverse_root(A: FloatArray, *, l2: float, sizes: FloatArray | None = None) -> FloatArray:
    """Matrices `H` with `H' H` the inverse of `A`.

    Refused are matrices whose inverse rounding may have changed by more than `MOST_ROUNDING`, and
    those that no rows can give, with a squared pivot below l2. What is refused does not depend on
    chance: where the prior is lost, the bound comes out far above the limit, whatever is left.

    Args:
        A: one or many symmetric matrices, `float64 [..., d, d]`.
        l2: weight of the prior that is in each, above 0.
        sizes: diagonal of what `A` was made from by subtraction, at least its own, `float64
            [..., d]`; its own if not given.

    Returns:
        `float64 [..., d, d]`, lower triangular.

    Raises:
        ContextError: with the size of the sums.

    Example:
        >>> inverse_root(np.diag([4.0, 1e18]), l2=1.0)
        array([[5.e-01, 0.e+00],
               [0.e+00, 1.e-09]])
    """
    diagonal = np.diagonal(A, axis1=-2, axis2=-1)
    try:
        root = np.linalg.cholesky(A)
        half: FloatArray = np.linalg.inv(root)
    except np.linalg.LinAlgError:
        raise _refusal(diagonal, l2) from None
    pivots = np.diagonal(root, axis1=-2, axis2=-1)
    with np.errstate(over="ignore", invalid="ignore"):
        lost = rounding_share(diagonal if sizes is None else sizes, half)
        sound = (lost <= MOST_ROUNDING) & ((pivots**2).min(axis=-1) >= l2 * (1.0 - MOST_ROUNDING))
    # Not a number is not sound either.
    if not sound.all():
        raise _refusal(diagonal, l2)
    return half


def rounding_share(sizes: FloatArray, half: FloatArray) -> FloatArray:
    """Share of a variance that rounding may have changed, to first order.

    Args:
        sizes: diagonals of `A`, `float64 [..., d]`.
        half: roots of the inverses, `float64 [..., d, d]`.
    """
    variances = (half * half).sum(axis=-2)
    share: FloatArray = EPSILON * half.shape[-1] * (sizes * variances).sum(axis=-1)
    return share


def _refusal(diagonal: FloatArray, l2: float) -> ContextError:
    return ContextError(
        f"features must be of moderate size, got sums up to {diagonal.max(initial=0.0):.3g} "
        f"beside l2 = {l2:g}, with too little left of the prior"
    )
