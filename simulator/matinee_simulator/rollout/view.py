"""What a rollout's kernels read of the platform's models, and what the platform learns of users."""

import math
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray, Int64Array, UInt64Array
from matinee_policies.compiled import kernel
from matinee_policies.walk_arrays import table
from matinee_simulator.rollout.rankers import POPULARITY, Ranker
from matinee_simulator.rollout.sight import Audience, Sight

_SD_PER_LOGIT = 0.5
_EDGE = 1e-3


class View(NamedTuple):
    """A `Sight` as kernels take it.

    Attributes:
        offset: of the model that candidates come from, padded, `float32 [P]`.
        factors: of that model, factor-major, `float32 [f, P]`.
        is_folded: whether users' own vectors rank, else `prior` alone.
        prior: vector of that model for a user without history, `float32 [f]`.
        taste_factors: q of the taste model, `float32 [M, d]`.
        taste_offset: its offsets, `float32 [M]`.
        taste_prior: its prior, `float32 [d]`.
        base: of the fold-in rule, `float64 [d, d]`.
        ridge: likewise, `float64 [d]`.
        ridge_per_observation: likewise, `float64 [d]`.
        weights: gram constant and slope, pull constant and slope, `float64 [4]`.
        embeddings: by which similarity is measured, `float32 [M, m]`.
        score_mean: mean of raw scores over the known ratings.
        score_scale: their sd.
        star_mean: mean of the known ratings.
        star_sd: their sd.
        star_low: least rating.
        star_high: largest rating.
    """

    offset: Float32Array
    factors: Float32Array
    is_folded: bool
    prior: Float32Array
    taste_factors: Float32Array
    taste_offset: Float32Array
    taste_prior: Float32Array
    base: FloatArray
    ridge: FloatArray
    ridge_per_observation: FloatArray
    weights: FloatArray
    embeddings: Float32Array
    score_mean: float
    score_scale: float
    star_mean: float
    star_sd: float
    star_low: float
    star_high: float


class Known(NamedTuple):
    """What the platform knows of `n` users; changes as they play. See `Audience`.

    Attributes:
        gram: `float64 [n, d (d + 1) / 2]`.
        pull: `float64 [n, d]`.
        counts: `int64 [n]`.
        vectors: `float32 [n, d]`.
        seen: items rated or watched, `uint64 [n, W]`.
        resting: ring of the latest impressions, -1 for none, `int32 [n, R]`.
        shown: impressions so far, `int64 [n]`.
    """

    gram: FloatArray
    pull: FloatArray
    counts: Int64Array
    vectors: Float32Array
    seen: UInt64Array
    resting: IndexArray
    shown: Int64Array


def view_of(sight: Sight, ranker: Ranker) -> View:
    """The part of `sight` that a rollout under `ranker` reads."""
    taste = sight.taste
    is_folded = ranker.code != POPULARITY
    source = taste if is_folded else sight.popularity
    rule = taste.rule
    weights = rule.weights
    return View(
        offset=source.padded_offset,
        factors=source.factor_major,
        is_folded=is_folded,
        prior=source.prior,
        taste_factors=np.ascontiguousarray(taste.item_factors),
        taste_offset=taste.item_offset,
        taste_prior=taste.prior,
        base=np.ascontiguousarray(rule.base),
        ridge=rule.ridge,
        ridge_per_observation=rule.ridge_per_observation,
        weights=np.array(
            [
                weights.gram_constant,
                weights.gram_slope,
                weights.pull_constant,
                weights.pull_slope,
            ],
            dtype=np.float64,
        ),
        embeddings=table(sight.embeddings),
        score_mean=float(taste.score_mean),
        score_scale=float(taste.score_scale),
        star_mean=float(sight.star_mean),
        star_sd=float(sight.star_sd),
        star_low=float(sight.star_range[0]),
        star_high=float(sight.star_range[1]),
    )


def known_of(audience: Audience, rows: slice, *, rest: int) -> Known:
    """A copy of what is known of some users of an audience, nothing shown yet."""
    counts = audience.counts[rows].copy()
    return Known(
        gram=audience.gram[rows].copy(),
        pull=audience.pull[rows].copy(),
        counts=counts,
        vectors=audience.vectors[rows].copy(),
        seen=audience.seen[rows].copy(),
        resting=np.full((counts.size, rest), -1, dtype=np.int32),
        shown=np.zeros(counts.size, dtype=np.int64),
    )


@kernel
def stars_of(view: View, watch: float) -> np.float32:
    """Stars that a watched fraction stands for: half an sd of the ratings per unit of log odds."""
    share = min(max(float(watch), _EDGE), 1.0 - _EDGE)
    stars = view.star_mean + _SD_PER_LOGIT * view.star_sd * math.log(share / (1.0 - share))
    return np.float32(min(max(stars, view.star_low), view.star_high))


def stars_of_reference(view: View, watch: Float32Array) -> Float32Array:
    """Plain twin of `stars_of`, over an array."""
    share = np.clip(watch.astype(np.float64), _EDGE, 1.0 - _EDGE)
    stars = view.star_mean + _SD_PER_LOGIT * view.star_sd * np.log(share / (1.0 - share))
    return np.clip(stars, view.star_low, view.star_high).astype(np.float32)
