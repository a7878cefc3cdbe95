"""What a factorization asks of a matrix of ratings before it starts."""

import numpy as np

from matinee_policies.errors import ContextError
from matinee_policies.interactions import Ratings


def check_ratings(matrix: Ratings, *, positive: bool = False) -> None:
    """Refuse a matrix without ratings or with ratings that are no finite numbers.

    Args:
        matrix: ratings or strengths, `[N, M]`.
        positive: whether ratings must also be above 0, as strengths must.

    Raises:
        ContextError: with the value and the rule.
    """
    if matrix.nnz == 0:
        raise ContextError(f"a factorization needs at least one rating, got none in {matrix.shape}")
    if not np.isfinite(matrix.data).all():
        bad = matrix.data[~np.isfinite(matrix.data)][0]
        raise ContextError(f"ratings must be finite, got {bad}")
    if positive and float(matrix.data.min()) <= 0.0:
        raise ContextError(f"strengths must be > 0, got {float(matrix.data.min())}")


def transposed(matrix: Ratings) -> Ratings:
    """The same ratings with one row per item, int32 indices."""
    flipped = matrix.T.tocsr()
    flipped.indices = flipped.indices.astype(np.int32, copy=False)
    flipped.indptr = flipped.indptr.astype(np.int32, copy=False)
    return flipped
