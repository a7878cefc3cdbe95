"""Satiation with topics: it grows with what is consumed and halves every H days.

    h_g <- min(h_max, 2^(-dt / H) h_g + sum over clicks of g_ig + e_imp sum over examined of g_ig)

Linear dynamics per topic after Leqi et al. 2021, "Rebounding bandits for modeling satiation
effects".
"""

import math
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import Float32Array
from matinee_policies.compiled import lean_kernel
from matinee_simulator.parameters import Parameters


class SatiationWeights(NamedTuple):
    """The parameters of satiation, as kernels take them."""

    half_life: float
    impression: float
    cap: float


def satiation_weights(parameters: Parameters) -> SatiationWeights:
    """The part of `parameters` that speaks of satiation."""
    return SatiationWeights(
        half_life=float(parameters.satiation_half_life),
        impression=float(parameters.satiation_impression),
        cap=float(parameters.satiation_cap),
    )


@lean_kernel
def remaining_share(weights: SatiationWeights, days: int) -> float:
    """Share of satiation left after `days` days, in (0, 1]."""
    return math.exp2(-days / weights.half_life)


@lean_kernel
def decay_satiation(levels: Float32Array, share: float) -> None:
    """Multiply a user's satiation `float32 [G]` by `share`, in place."""
    for g in range(levels.shape[0]):
        levels[g] *= np.float32(share)


@lean_kernel
def add_satiation(
    weights: SatiationWeights, levels: Float32Array, topics: Float32Array, clicked: bool
) -> None:
    """Add one examined item to a user's satiation, in place.

    Args:
        weights: of satiation.
        levels: satiation by topic, `float32 [G]`.
        topics: the item's topics, `float32 [G]`, of length 1 or 0.
        clicked: whether it was clicked as well.
    """
    amount = np.float32(weights.impression + (1.0 if clicked else 0.0))
    for g in range(levels.shape[0]):
        levels[g] = min(np.float32(weights.cap), levels[g] + amount * topics[g])


@lean_kernel
def satiation_with(levels: Float32Array, topics: Float32Array) -> float:
    """<h, g>: satiation with an item of these topics, in clicks, >= 0."""
    total = np.float32(0.0)
    for g in range(levels.shape[0]):
        total += levels[g] * topics[g]
    return float(total)
