"""The features of (unit, session, candidate) that policies see: a versioned pure function.

`FEATURES` is the one list. Every feature has a fixed range and is never scaled per page, so a
logged decision can be recomputed from unit state, item features, candidates and scores.
"""

from dataclasses import dataclass, fields

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, IndexArray
from matinee_policies.errors import ContextError
from matinee_policies.feature_kernel import (
    ABSENCE_HALF,
    ACTIVITY_HALF,
    EXPOSURE_HALF,
    fill_features,
)
from matinee_policies.item_features import FEATURE_VERSION, ItemFeatures
from matinee_policies.records import PAD

__all__ = [
    "FEATURES",
    "FEATURE_NAMES",
    "FEATURE_VERSION",
    "SLOT_FEATURE",
    "Feature",
    "ItemFeatures",
    "UnitStateBatch",
    "compute_features",
    "compute_features_reference",
    "rows_of",
    "shown_features",
    "slot_feature",
]


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the feature table.

    Attributes:
        name: how policies, reports and logs call it.
        low: least value it can take.
        high: largest value it can take.
        meaning: one line for people.
    """

    name: str
    low: float
    high: float
    meaning: str


FEATURES = (
    Feature("bias", 1, 1, "always 1"),
    Feature("score", 0, 1, "score of the candidate source"),
    Feature("popularity", 0, 1, "sqrt(n / max n) of the item's n past ratings"),
    Feature("popularity_residual", -1, 1, "popularity that the mean rating does not explain"),
    Feature("novelty", 0, 1, "-log2 of the share of users who rated it, over its largest value"),
    Feature("genre_affinity", 0, 1, "cosine of item genres and recently watched genres, 0 if none"),
    Feature("similarity_to_last", -1, 1, "cosine of the embeddings of item and last watched item"),
    Feature("genre_exposure", 0, 1, "x / (x + 20) of x recent impressions of the item's genres"),
    Feature("activity", 0, 1, "s / (s + 5) of s sessions so far"),
    Feature("days_since_visit", -1, 1, "w / (w + 7) of w days away, -1 on a first visit"),
    Feature("slot", 0, 1, "1 / log2(slot + 2) of the slot counted from 0; 1 before a choice"),
)
"""All features, in the order of their columns."""

FEATURE_NAMES = tuple(feature.name for feature in FEATURES)

SLOT_FEATURE = FEATURE_NAMES.index("slot")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class UnitStateBatch:
    """What the platform has observed of `B` units, as it enters the features.

    Attributes:
        genre_history: decayed sums of the genre vectors of watched items, `float32 [B, G]`, >= 0.
        genre_exposure: decayed sums of the genre vectors of shown items, `float32 [B, G]`, >= 0.
        last_watched: row of the last watched item, -1 if none, `int32 [B]`.
        activity: sessions so far, `float32 [B]`, >= 0.
        days_since_visit: days since the last visit, -1 on a first visit, `float32 [B]`.

    Raises:
        ContextError: arrays do not fit together, or hold numbers out of range.
    """

    genre_history: Float32Array
    genre_exposure: Float32Array
    last_watched: IndexArray
    activity: Float32Array
    days_since_visit: Float32Array

    def __post_init__(self) -> None:
        shape = self.genre_history.shape
        if len(shape) != 2:
            raise ContextError(f"genre_history must be [B, G], got shape {shape}")
        for name in ("genre_history", "genre_exposure"):
            _check(name, getattr(self, name), np.float32, shape)
        _check("last_watched", self.last_watched, np.int32, shape[:1])
        for name in ("activity", "days_since_visit"):
            _check(name, getattr(self, name), np.float32, shape[:1])
        for name in ("genre_history", "genre_exposure", "activity"):
            _check_values(name, getattr(self, name), 0.0)
        if self.days_since_visit.size:
            first = self.days_since_visit == -1.0
            _check_values("days_since_visit", np.where(first, 0.0, self.days_since_visit), 0.0)

    def __len__(self) -> int:
        return int(self.genre_history.shape[0])


def rows_of(state: UnitStateBatch, rows: AnyArray) -> UnitStateBatch:
    """The state of some of the units, by index or mask `[n]`; copies."""
    return UnitStateBatch(
        **{field.name: getattr(state, field.name)[rows] for field in fields(state)}
    )


def compute_features(
    items: ItemFeatures, state: UnitStateBatch, candidates: IndexArray, scores: Float32Array
) -> Float32Array:
    """Features of every candidate, before a slot is chosen.

    A pure function whose rows do not depend on the rest of the batch, bit for bit.

    Args:
        items: item side, `M` items.
        state: unit side, `B` units.
        candidates: rows of items, `PAD` from the right, `int32 [B, K]`.
        scores: score of the candidate source in [0, 1], ignored at padding, `float32 [B, K]`.

    Returns:
        `float32 [B, K, d]`, columns as `FEATURES`, zero at padding.

    Raises:
        ContextError: the arrays do not fit together, or hold a row or score out of range.
    """
    _check_call(items, state, candidates, scores)
    features = np.empty((*candidates.shape, len(FEATURES)), dtype=np.float32)
    broken = fill_features(
        items.popularity,
        items.popularity_residual,
        items.novelty,
        items.genres,
        items.embeddings,
        state.genre_history,
        state.genre_exposure,
        state.last_watched,
        state.activity,
        state.days_since_visit,
        candidates,
        scores,
        features,
    )
    if broken >= 0:
        raise _broken_candidate(items, candidates, scores, broken)
    return features


def compute_features_reference(
    items: ItemFeatures, state: UnitStateBatch, candidates: IndexArray, scores: Float32Array
) -> Float32Array:
    """The plain twin of `compute_features`, in numpy and float64."""
    real = candidates != PAD
    item = np.where(real, candidates, 0)
    shape = candidates.shape
    history = state.genre_history.astype(np.float64)
    length = np.linalg.norm(history, axis=1, keepdims=True)
    genres = items.genres[item].astype(np.float64)
    exposure = np.einsum("bkg,bg->bk", genres, state.genre_exposure.astype(np.float64))
    last = items.embeddings[state.last_watched].astype(np.float64)
    similarity = np.einsum("bkm,bm->bk", items.embeddings[item].astype(np.float64), last)
    away = state.days_since_visit.astype(np.float64)
    absence = np.where(away < 0, -1.0, away / (np.abs(away) + float(ABSENCE_HALF)))
    activity = state.activity / (state.activity + float(ACTIVITY_HALF))
    columns = {
        "bias": np.ones(shape),
        "score": scores,
        "popularity": items.popularity[item],
        "popularity_residual": items.popularity_residual[item],
        "novelty": items.novelty[item],
        "genre_affinity": np.einsum(
            "bkg,bg->bk", genres, history / np.where(length > 0, length, 1.0)
        ),
        "similarity_to_last": np.where((state.last_watched < 0)[:, None], 0.0, similarity),
        "genre_exposure": exposure / (exposure + float(EXPOSURE_HALF)),
        "activity": np.broadcast_to(activity[:, None], shape),
        "days_since_visit": np.broadcast_to(absence[:, None], shape),
        "slot": np.ones(shape),
    }
    table = np.stack([columns[name] for name in FEATURE_NAMES], axis=-1)
    return np.where(real[:, :, None], table, 0.0).astype(np.float32)


def shown_features(features: Float32Array, positions: IndexArray) -> Float32Array:
    """Features of the items on slates, with the slot that each really took.

    Args:
        features: features of the candidates, `float32 [B, K, d]`.
        positions: place among the candidates of the item at each slot, `PAD` at an empty slot,
            `int32 [B, L]`.

    Returns:
        `float32 [B, L, d]`, zero at empty slots.

    Raises:
        ContextError: the arrays do not fit together, or a position does not exist.
    """
    if features.ndim != 3 or features.shape[2] != len(FEATURES) or features.dtype != np.float32:
        raise ContextError(
            f"features must be float32 [B, K, {len(FEATURES)}], got {features.dtype} "
            f"{features.shape}"
        )
    if positions.ndim != 2 or positions.shape[0] != features.shape[0]:
        raise ContextError(
            f"positions must be [B, L] with B = {features.shape[0]}, got {positions.shape}"
        )
    _check("positions", positions, np.int32, positions.shape)
    if positions.size and not (positions.min() >= PAD and positions.max() < features.shape[1]):
        raise ContextError(
            f"positions must be within {PAD} and {features.shape[1] - 1}, "
            f"got {positions.min()} to {positions.max()}"
        )
    shown: Float32Array = features[np.arange(positions.shape[0])[:, None], positions]
    shown[:, :, SLOT_FEATURE] = slot_feature(positions.shape[1])
    shown[positions == PAD] = 0.0
    return shown


def slot_feature(slots: int) -> Float32Array:
    """The slot feature 1 / log2(slot + 2) of slots 0, 1, ..., `float32 [slots]`.

    Example:
        >>> slot_feature(3).tolist()
        [1.0, 0.6309297680854797, 0.5]
    """
    return np.asarray(1.0 / np.log2(np.arange(slots) + 2.0), dtype=np.float32)


def _check_call(
    items: ItemFeatures, state: UnitStateBatch, candidates: IndexArray, scores: Float32Array
) -> None:
    if candidates.ndim != 2 or candidates.shape[0] != len(state):
        raise ContextError(
            f"candidates must be [B, K] with B = {len(state)}, got {candidates.shape}"
        )
    _check("candidates", candidates, np.int32, candidates.shape)
    _check("scores", scores, np.float32, candidates.shape)
    n_genres = items.genres.shape[1]
    if state.genre_history.shape[1] != n_genres:
        raise ContextError(
            f"unit state must have {n_genres} genres, got {state.genre_history.shape[1]}"
        )
    last = state.last_watched
    if last.size and not (last.min() >= -1 and last.max() < len(items)):
        raise ContextError(
            f"last_watched must be within -1 and {len(items) - 1}, got {last.min()} to {last.max()}"
        )


def _broken_candidate(
    items: ItemFeatures, candidates: IndexArray, scores: Float32Array, flat: int
) -> ContextError:
    b, k = divmod(flat, candidates.shape[1])
    item, score = int(candidates[b, k]), float(scores[b, k])
    where = f"in row {b}, place {k}"
    if (candidates[b, :k] == PAD).any():
        return ContextError(f"padding must fill candidates from the right, got {item} {where}")
    if not 0 <= item < len(items):
        return ContextError(
            f"candidates must be rows of {len(items)} items or {PAD}, got {item} {where}"
        )
    return ContextError(f"scores must be within 0 and 1, got {score!r} {where}")


def _check(name: str, array: AnyArray, dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise ContextError(
            f"{name} must be a contiguous {np.dtype(dtype).name} array of shape {shape}, "
            f"got {array.dtype} of shape {array.shape}"
        )


def _check_values(name: str, array: AnyArray, low: float) -> None:
    # NaN fails every comparison.
    if array.size and not (array.min() >= low and array.max() < np.inf):
        raise ContextError(
            f"{name} must be finite and >= {low:g}, got {array.min():g} to {array.max():g}"
        )
