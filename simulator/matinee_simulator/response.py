"""How attractive an item is to a user, in its place on a page.

    logit a = a0 + a1 x + a2 c - a3 <h, g> - a4 red - a6 min(cap, impressions)

with relevance x, appeal c, satiation h with topics g, redundancy within the slate and earlier
impressions that were not clicked. How clicks follow from it is the matter of `click_models`.
"""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, FloatArray, IndexArray
from matinee_policies.compiled import lean_kernel
from matinee_simulator.logistic import logistic
from matinee_simulator.parameters import Parameters


class ResponseWeights(NamedTuple):
    """The parameters of attractiveness, as kernels take them."""

    base: float
    relevance: float
    appeal: float
    satiation: float
    redundancy: float
    fatigue: float
    fatigue_cap: int


def response_weights(parameters: Parameters) -> ResponseWeights:
    """The part of `parameters` that speaks of attractiveness."""
    return ResponseWeights(
        base=float(parameters.click_base),
        relevance=float(parameters.click_relevance),
        appeal=float(parameters.click_appeal),
        satiation=float(parameters.click_satiation),
        redundancy=float(parameters.click_redundancy),
        fatigue=float(parameters.click_fatigue),
        fatigue_cap=parameters.fatigue_cap,
    )


@lean_kernel
def attraction(
    weights: ResponseWeights,
    relevance: float,
    appeal: float,
    satiation: float,
    redundancy: float,
    impressions: int,
) -> float:
    """Logit of the attractiveness of an item.

    Args:
        weights: of the response.
        relevance: x, in sd.
        appeal: c, in sd.
        satiation: <h, g> of the item's topics, in clicks, >= 0.
        redundancy: mean similarity to the items above, in [0, 1].
        impressions: earlier impressions that were not clicked.
    """
    counted = impressions if impressions < weights.fatigue_cap else weights.fatigue_cap
    return (
        weights.base
        + weights.relevance * relevance
        + weights.appeal * appeal
        - weights.satiation * satiation
        - weights.redundancy * redundancy
        - weights.fatigue * counted
    )


@lean_kernel
def click_probability(
    weights: ResponseWeights,
    relevance: float,
    appeal: float,
    satiation: float,
    redundancy: float,
    impressions: int,
) -> float:
    """Probability that an item is clicked if it alone is examined, in [0, 1].

    The same in every click model; arguments as `attraction`.
    """
    return logistic(attraction(weights, relevance, appeal, satiation, redundancy, impressions))


@lean_kernel
def redundancy(similarity: Float32Array, slate: IndexArray, rank: int) -> float:
    """Mean over the items above `rank` of the positive part of their similarity to its item.

    Args:
        similarity: unit vectors, `float32 [M, m]`.
        slate: item rows, `int32 [L]`, -1 for empty slots, which do not count.
        rank: a filled slot, from 0.

    Returns:
        In [0, 1]; 0 where nothing stands above.
    """
    item = slate[rank]
    total = 0.0
    above = 0
    for j in range(rank):
        other = slate[j]
        if other >= 0:
            product = np.float32(0.0)
            for f in range(similarity.shape[1]):
                product += similarity[item, f] * similarity[other, f]
            total += max(0.0, float(product))
            above += 1
    return total / above if above else 0.0


def attraction_reference(
    weights: ResponseWeights,
    relevance: AnyArray | float,
    appeal: AnyArray | float,
    satiation: AnyArray | float,
    redundancy: AnyArray | float,
    impressions: AnyArray | float,
) -> FloatArray:
    """Plain twin of `attraction`, over arrays."""
    logit = weights.base + weights.relevance * relevance + weights.appeal * appeal
    logit = logit - weights.satiation * satiation - weights.redundancy * redundancy
    return np.asarray(logit - weights.fatigue * np.minimum(impressions, weights.fatigue_cap))


def click_probability_reference(
    weights: ResponseWeights,
    relevance: AnyArray | float,
    appeal: AnyArray | float,
    satiation: AnyArray | float,
    redundancy: AnyArray | float,
    impressions: AnyArray | float,
) -> FloatArray:
    """Plain twin of `click_probability`, over arrays."""
    logit = attraction_reference(weights, relevance, appeal, satiation, redundancy, impressions)
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def redundancy_reference(similarity: Float32Array, slate: IndexArray, rank: int) -> float:
    """Plain twin of `redundancy`."""
    above = [item for item in slate[:rank] if item >= 0]
    if not above:
        return 0.0
    products = similarity[above].astype(np.float64) @ similarity[slate[rank]].astype(np.float64)
    return float(np.maximum(products, 0.0).mean())
