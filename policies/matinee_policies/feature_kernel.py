"""The arithmetic of the feature table, for one batch of decisions.

What each column means is documented in `features.py`. Sums run in a fixed order over genres and
dimensions, one candidate after the other, so that a row's bits do not depend on its batch.
"""

import math

import numpy as np

from matinee_policies.arrays import Float32Array, IndexArray
from matinee_policies.compiled import lean_kernel
from matinee_policies.records import PAD

EXPOSURE_HALF = np.float32(20.0)
"""Decayed impressions of a genre at which `genre_exposure` is 1/2: two slates of ten."""

ACTIVITY_HALF = np.float32(5.0)
"""Sessions at which `activity` is 1/2."""

ABSENCE_HALF = np.float32(7.0)
"""Days away at which `days_since_visit` is 1/2."""

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


@lean_kernel
def fill_features(
    popularity: Float32Array,
    popularity_residual: Float32Array,
    novelty: Float32Array,
    genres: Float32Array,
    embeddings: Float32Array,
    genre_history: Float32Array,
    genre_exposure: Float32Array,
    last_watched: IndexArray,
    activity: Float32Array,
    days_since_visit: Float32Array,
    candidates: IndexArray,
    scores: Float32Array,
    features: Float32Array,
) -> int:
    """Fill `features`, `[B, K, d]`; arguments are the fields of the records in `features.py`.

    Returns:
        -1, or the flat index `b * K + k` of the first candidate that breaks a rule: no row of the
        catalogue, a score outside [0, 1] or after padding. The table is then unfinished.
    """
    n_items, n_genres = genres.shape
    n_dimensions = embeddings.shape[1]
    for b in range(candidates.shape[0]):
        squares = _ZERO
        for g in range(n_genres):
            squares += genre_history[b, g] * genre_history[b, g]
        per_length = _ONE / math.sqrt(squares) if squares > _ZERO else _ZERO
        sessions = activity[b] / (activity[b] + ACTIVITY_HALF)
        away = days_since_visit[b]
        absence = away / (away + ABSENCE_HALF) if away >= _ZERO else -_ONE
        last = last_watched[b]
        padding = False
        for k in range(candidates.shape[1]):
            item = candidates[b, k]
            row = features[b, k]
            if item == PAD:
                padding = True
                for column in range(row.size):
                    row[column] = _ZERO
                continue
            score = scores[b, k]
            if padding or item < 0 or item >= n_items or not (_ZERO <= score <= _ONE):
                return int(b * candidates.shape[1] + k)
            watched = _ZERO
            shown = _ZERO
            for g in range(n_genres):
                watched += genre_history[b, g] * genres[item, g]
                shown += genre_exposure[b, g] * genres[item, g]
            similarity = _ZERO
            if last >= 0:
                for j in range(n_dimensions):
                    similarity += embeddings[last, j] * embeddings[item, j]
            row[0] = _ONE
            row[1] = score
            row[2] = popularity[item]
            row[3] = popularity_residual[item]
            row[4] = novelty[item]
            row[5] = min(watched * per_length, _ONE)
            row[6] = max(min(similarity, _ONE), -_ONE)
            row[7] = shown / (shown + EXPOSURE_HALF)
            row[8] = sessions
            row[9] = absence
            row[10] = _ONE
    return -1
