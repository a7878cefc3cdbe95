"""What a factor model takes from its training users: the prior and the constants of the score."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.fold_in import FoldInStatistics
from matinee_policies.interactions import Ratings

_USERS_AT_ONCE = 1024


def fold_in_training_users(model: FactorModel, matrix: Ratings) -> Float32Array:
    """Vectors of all users of a matrix of ratings, `float32 [N, f]`.

    Args:
        model: the item side.
        matrix: stars or strengths, `[N, M]`; a user's entries are folded in by ascending item.

    Raises:
        ContextError: a value is not finite, or not above 0 for a model of strengths.
    """
    vectors = [users for _, users in _folded(model, matrix)]
    return np.concatenate(vectors)


def with_population_prior(model: FactorModel, matrix: Ratings) -> FactorModel:
    """The same model with the mean vector of the users with ratings as prior.

    Args:
        model: a model whose prior is zero.
        matrix: as `fold_in_training_users`.
    """
    total: FloatArray = np.zeros(model.n_factors)
    for _, vectors in _folded(model, matrix):
        # Users without ratings have the prior, which is zero.
        total += vectors.sum(axis=0, dtype=np.float64)
    rated = int(np.count_nonzero(np.diff(matrix.indptr)))
    return replace(model, prior=(total / max(rated, 1)).astype(np.float32))


def with_score_constants(model: FactorModel, matrix: Ratings) -> FactorModel:
    """The same model with mean and standard deviation of raw over the training pairs.

    Pairs that were rated, rather than all, spread the scores of those items that become candidates
    over (0, 1): raw has a long upper tail over all pairs, and candidates are that tail.

    Args:
        model: a model with its final prior.
        matrix: as `fold_in_training_users`, with at least one rating.
    """
    total, squares = 0.0, 0.0
    for first, vectors in _folded(model, matrix):
        entries = slice(int(matrix.indptr[first]), int(matrix.indptr[first + len(vectors)]))
        users = np.repeat(
            np.arange(len(vectors)), np.diff(matrix.indptr[first : first + len(vectors) + 1])
        )
        items = matrix.indices[entries]
        raw = model.item_offset[items].astype(np.float64)
        raw += np.einsum("nf,nf->n", vectors[users], model.item_factors[items], dtype=np.float64)
        total += float(raw.sum())
        squares += float((raw * raw).sum())
    mean = total / matrix.nnz
    variance = squares / matrix.nnz - mean * mean
    # Equal raws (one item, or one rating throughout) leave only rounding errors to divide by.
    spread = variance > 1e-10 * max(mean * mean, 1e-20)
    return model.calibrated(score_mean=mean, score_scale=variance**0.5 if spread else 1.0)


def _folded(model: FactorModel, matrix: Ratings) -> Iterator[tuple[int, Float32Array]]:
    """First row and vectors of block after block of users, so that memory stays bounded."""
    for first in range(0, matrix.shape[0], _USERS_AT_ONCE):
        n = min(_USERS_AT_ONCE, matrix.shape[0] - first)
        starts = matrix.indptr[first : first + n + 1]
        entries = slice(int(starts[0]), int(starts[-1]))
        statistics = FoldInStatistics(model, n)
        statistics.add(
            np.repeat(np.arange(n, dtype=np.int32), np.diff(starts)),
            matrix.indices[entries],
            matrix.data[entries],
        )
        yield first, statistics.solve(np.arange(n, dtype=np.int32))
