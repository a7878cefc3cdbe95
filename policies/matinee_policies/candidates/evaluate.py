"""Evaluate candidate sources on ratings held out by time.

Every user's last ratings are held out; a source is fitted to the others, units are folded in from
them, and all items that a user did not rate before are ranked. Held-out items count as relevant
whatever the rating. Users without held-out ratings are ranked for coverage and novelty only.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.candidates import popularity
from matinee_policies.candidates.candidate_source import CandidateSource
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.metrics import (
    Estimate,
    catalogue_coverage,
    hits,
    mean_estimate,
    ndcg,
    novelty,
    ratio_estimate,
    recall,
    root_estimate,
)
from matinee_policies.candidates.seen import empty_seen, mark_seen
from matinee_policies.candidates.source_data import SourceData
from matinee_policies.candidates.top_k import Candidates, rank
from matinee_policies.candidates.training_users import fold_in_training_users
from matinee_policies.candidates.unit_ranker import UnitRanker
from matinee_policies.candidates.unit_vectors import UnitVectors
from matinee_policies.interactions import Interactions, Ratings

_USERS_AT_ONCE = 4_096


@dataclass(frozen=True, slots=True)
class RankingScores:
    """How good the first k candidates are.

    Attributes:
        k: candidates per user.
        recall: share of a user's held-out items, mean over users with any.
        ndcg: see `metrics.ndcg`, mean over the same users.
        novelty: mean over users, in bits.
        coverage: share of the catalogue; it has no interval, since a resample of users would
            always cover less than the users themselves.
    """

    k: int
    recall: Estimate
    ndcg: Estimate
    novelty: Estimate
    coverage: float


@dataclass(frozen=True, slots=True)
class SourceScores:
    """How good one source is.

    Attributes:
        kind: of the source's model.
        seconds: wall time of the fit.
        rmse: of predicted held-out ratings, None where a source predicts no ratings.
        mae: mean absolute error of the same.
        at: rankings by rising k.
        note: the source's own line.
    """

    kind: str
    seconds: float
    rmse: Estimate | None
    mae: Estimate | None
    at: tuple[RankingScores, ...]
    note: str


def evaluate_source(
    fit: Callable[[], CandidateSource], train: SourceData, test: Interactions, ks: Sequence[int]
) -> SourceScores:
    """Fit a source and score it.

    Args:
        fit: fits the source to `train`.
        train: ratings that may be learned from; its units are its users, in the same order.
        test: held-out ratings of the same users and items.
        ks: candidates per user, each at least 1, rising.
    """
    start = time.perf_counter()
    source = fit()
    seconds = time.perf_counter() - start
    items = _ranked(source, train, max(ks))
    found = hits(items, test.matrix)
    counts, known = test.user_counts(), train.interactions.item_counts()
    n_users = train.interactions.n_users
    at = tuple(
        RankingScores(
            k=k,
            recall=mean_estimate(recall(found[:, :k], counts)),
            ndcg=mean_estimate(ndcg(found[:, :k], counts)),
            novelty=mean_estimate(novelty(items[:, :k], known, users=n_users)),
            coverage=catalogue_coverage(items[:, :k], test.n_items),
        )
        for k in ks
    )
    rmse, mae = _rating_errors(source, train, test) if predicts_ratings(source) else (None, None)
    return SourceScores(source.model.kind, seconds, rmse, mae, at, source.note)


def predicts_ratings(source: CandidateSource) -> bool:
    """Whether the raw scores of a source are expected ratings in stars."""
    impersonal = not source.model.item_factors.any() or source.model.kind == popularity.KIND
    only_vectors = source.own is None or isinstance(source.own, UnitVectors)
    return source.model.feedback == "explicit" and only_vectors and not impersonal


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


def _ranked(source: CandidateSource, train: SourceData, k: int) -> IndexArray:
    """The best k items of every training user, without what the user rated, `int32 [N, k]`."""
    ranker = UnitRanker(source.model, source.own, keys=train.units.keys)
    parts = []
    for first in range(0, train.interactions.n_users, _USERS_AT_ONCE):
        last = min(first + _USERS_AT_ONCE, train.interactions.n_users)
        matrix = train.interactions.slice_users(first, last).matrix
        seen = empty_seen(*matrix.shape)
        rows = np.repeat(np.arange(last - first, dtype=np.int32), np.diff(matrix.indptr))
        mark_seen(seen, rows, matrix.indices)
        vectors = fold_in_training_users(source.model, matrix)
        units = np.arange(first, last, dtype=np.int32)
        parts.append(ranker.rank(units, vectors, seen, k).items)
    return np.concatenate(parts)


def _rating_errors(
    source: CandidateSource, train: SourceData, test: Interactions
) -> tuple[Estimate, Estimate]:
    """RMSE and MAE over held-out ratings, predictions kept within the rating scale."""
    vectors = fold_in_training_users(source.model, train.interactions.matrix)
    if isinstance(source.own, UnitVectors):
        rows = source.own.rows_of(train.units.keys)
        vectors[rows >= 0] = source.own.vectors[rows[rows >= 0]]
    users, items = test.user_rows(), test.matrix.indices
    raw = source.model.item_offset[items].astype(np.float64)
    for a in range(source.model.n_factors):
        raw += vectors[users, a].astype(np.float64) * source.model.item_factors[items, a]
    low, high = test.rating_range
    error: FloatArray = np.clip(raw, low, high) - test.matrix.data
    counts = test.user_counts().astype(np.float64)
    squares, sizes = (
        np.bincount(users, weights=weights, minlength=test.n_users).astype(np.float64)
        for weights in (error * error, np.abs(error))
    )
    return root_estimate(ratio_estimate(squares, counts)), ratio_estimate(sizes, counts)
