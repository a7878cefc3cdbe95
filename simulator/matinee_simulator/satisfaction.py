"""How satisfied a user is with a clicked item, and what the platform may see of it.

    y      = s0 + s1 x - s2 c - s3 <h, g> + N(0, sy^2)       satisfaction, latent
    watch  = sigmoid(y + b_u' + N(0, 1))                     watched fraction, observed at once
    rating = cut(b_u + b_i + p_u . q_i + noise)              explicit rating, without the appeal c

Appealing items that hold little are abandoned early; explicit ratings do not show it, as real
ratings given an item's mean do not. The rating score is in stars above the global mean, its noise
and the cut points are those of the ratings that the world was fitted on.
"""

import math
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, FloatArray
from matinee_policies.compiled import lean_kernel
from matinee_simulator.logistic import logistic
from matinee_simulator.parameters import Parameters


class SatisfactionWeights(NamedTuple):
    """The parameters of satisfaction and of its traces, as kernels take them."""

    base: float
    relevance: float
    appeal: float
    satiation: float
    noise: float
    watch_noise: float
    rating_share: float
    rating_delay: float


def satisfaction_weights(parameters: Parameters) -> SatisfactionWeights:
    """The part of `parameters` that speaks of clicked items."""
    return SatisfactionWeights(
        base=float(parameters.satisfaction_base),
        relevance=float(parameters.satisfaction_relevance),
        appeal=float(parameters.satisfaction_appeal),
        satiation=float(parameters.satisfaction_satiation),
        noise=float(parameters.satisfaction_noise),
        watch_noise=float(parameters.watch_noise),
        rating_share=float(parameters.rating_share),
        rating_delay=float(parameters.rating_delay),
    )


@lean_kernel
def expected_satisfaction(
    weights: SatisfactionWeights, relevance: float, appeal: float, satiation: float
) -> float:
    """E[y] of a clicked item in z units; arguments as `response.click_probability`."""
    return (
        weights.base
        + weights.relevance * relevance
        - weights.appeal * appeal
        - weights.satiation * satiation
    )


@lean_kernel
def watched_fraction(
    weights: SatisfactionWeights, satisfaction: float, bias: float, draw: float
) -> float:
    """Fraction of a clicked item that is watched, in (0, 1).

    Args:
        weights: of satisfaction.
        satisfaction: y.
        bias: the user's b_u'.
        draw: standard normal.
    """
    return logistic(satisfaction + bias + weights.watch_noise * draw)


@lean_kernel
def cut_rating(cuts: FloatArray, levels: Float32Array, score: float) -> np.float32:
    """The rating whose interval holds `score`.

    Args:
        cuts: ascending cut points, `float64 [R - 1]`; a score at a cut belongs below it.
        levels: ascending ratings, `float32 [R]`.
        score: in stars above the global mean.
    """
    level = 0
    while level < cuts.shape[0] and score > cuts[level]:
        level += 1
    return np.float32(levels[level])


@lean_kernel
def exponential_delay(mean: float, draw: float) -> float:
    """Exponential delay of mean `mean` from a uniform draw in [0, 1)."""
    return -mean * math.log1p(-draw)


def watched_fraction_reference(
    weights: SatisfactionWeights,
    satisfaction: AnyArray | float,
    bias: float,
    draws: AnyArray | float,
) -> FloatArray:
    """Plain twin of `watched_fraction`, over arrays."""
    logit = satisfaction + bias + weights.watch_noise * draws
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def cut_rating_reference(cuts: AnyArray, levels: Float32Array, scores: AnyArray) -> Float32Array:
    """Plain twin of `cut_rating`, over arrays."""
    return np.asarray(levels[np.searchsorted(cuts, scores, side="left")])
