"""The part of the world that kernels read, as one tuple of arrays."""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray
from matinee_policies.compiled import lean_kernel
from matinee_simulator.world import World


class ItemTruth(NamedTuple):
    """Arrays and numbers of a `World`, under the same names where they are the same.

    `boost`, `float32 [M]`, is what the day adds to the logit of attractiveness of each item:
    freshness and shocks (`item_boost`), zero where neither is on.
    """

    quality: Float32Array
    factors: Float32Array
    appeal: Float32Array
    topics: Float32Array
    similarity: Float32Array
    levels: Float32Array
    cuts: FloatArray
    mean: float
    sd: float
    rating_noise: float
    boost: Float32Array


def item_truth(world: World) -> ItemTruth:
    """What kernels read of `world`, on a day that adds nothing; `boost` may be written to."""
    return ItemTruth(
        quality=world.quality,
        factors=world.item_factors,
        appeal=world.appeal,
        topics=world.topics,
        similarity=world.similarity,
        levels=world.rating_levels,
        cuts=world.rating_cuts,
        mean=world.relevance_mean,
        sd=world.relevance_sd,
        rating_noise=world.rating_noise,
        boost=np.zeros(world.n_items, dtype=np.float32),
    )


@lean_kernel
def relevance_of(truth: ItemTruth, taste: Float32Array, item: int) -> float:
    """Relevance x of one item for a user's taste `float32 [d]`, in sd."""
    total = 0.0
    for f in range(taste.shape[0]):
        total += float(taste[f]) * float(truth.factors[item, f])
    return total + float(truth.quality[item])
