"""How well a source predicts ratings, or ranks items that were held out."""

import numpy as np

from matinee_policies.arrays import AnyArray, IndexArray
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.seen import empty_seen, mark_seen
from matinee_policies.candidates.top_k import Candidates, rank
from matinee_policies.candidates.training_users import fold_in_training_users
from matinee_policies.errors import ContextError
from matinee_policies.interactions import Ratings


def rmse(predicted: AnyArray, actual: AnyArray) -> float:
    """Root mean squared error of predictions.

    Args:
        predicted: `[n]`, n >= 1.
        actual: `[n]`.

    Raises:
        ContextError: the arrays are empty or of different shapes.

    Example:
        >>> rmse(np.array([3.0, 4.0]), np.array([3.0, 2.0]))
        1.4142135623730951
    """
    if predicted.shape != actual.shape or predicted.size == 0:
        raise ContextError(
            f"predicted and actual must be of one length above 0, got {predicted.shape} "
            f"and {actual.shape}"
        )
    error = predicted.astype(np.float64) - actual.astype(np.float64)
    return float(np.sqrt(np.mean(error * error)))


def recall_at_k(items: IndexArray, held_out: Ratings) -> float:
    """Share of a user's held-out items among the user's candidates, mean over users.

    Args:
        items: candidates of every user, `PAD` where there are none, `int32 [N, k]`.
        held_out: a rating of each held-out pair, `[N, M]`; users without any do not count.

    Raises:
        ContextError: the rows are not those of `held_out`, or nothing was held out.
    """
    counts = np.diff(held_out.indptr)
    if len(items) != counts.size or held_out.nnz == 0:
        raise ContextError(
            f"items must have one row for each of {counts.size} users, of whom one at least has "
            f"held-out items, got {len(items)} rows and {held_out.nnz} held-out pairs"
        )
    hits = np.zeros(counts.size)
    for user in np.flatnonzero(counts):
        wanted = held_out.indices[held_out.indptr[user] : held_out.indptr[user + 1]]
        hits[user] = np.isin(wanted, items[user]).sum()
    counted = counts > 0
    return float(np.mean(hits[counted] / counts[counted]))


def rank_training_users(model: FactorModel, train: Ratings, k: int) -> Candidates:
    """Candidates of all training users, folded in from their ratings, which are left out.

    Args:
        model: the item side.
        train: ratings or strengths, `[N, M]`.
        k: how many candidates, at least 1.
    """
    users = np.repeat(np.arange(train.shape[0], dtype=np.int32), np.diff(train.indptr))
    seen = empty_seen(train.shape[0], train.shape[1])
    mark_seen(seen, users, train.indices)
    return rank(model, fold_in_training_users(model, train), seen, k)
