"""Whether a user leaves after a page.

    P(leave after page n) = sigmoid(l0 + f_u - l1 clip(sum of y) + l2 1[no click] - l3 log n)

The sum is over the clicks of the page. The frailty f_u makes the hazard of the whole population
fall with depth, as in observed sessions.
"""

import math
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.compiled import lean_kernel
from matinee_simulator.logistic import logistic
from matinee_simulator.parameters import Parameters


class LeaveWeights(NamedTuple):
    """The parameters of leaving, as kernels take them."""

    base: float
    satisfaction: float
    clip_low: float
    clip_high: float
    no_click: float
    depth: float


def leave_weights(parameters: Parameters) -> LeaveWeights:
    """The part of `parameters` that speaks of leaving a session."""
    return LeaveWeights(
        base=float(parameters.leave_base),
        satisfaction=float(parameters.leave_satisfaction),
        clip_low=float(parameters.leave_clip_low),
        clip_high=float(parameters.leave_clip_high),
        no_click=float(parameters.leave_no_click),
        depth=float(parameters.leave_depth),
    )


@lean_kernel
def leave_probability(
    weights: LeaveWeights, frailty: float, satisfaction: float, clicks: int, pages: int
) -> float:
    """Probability of leaving after a page, in [0, 1].

    Args:
        weights: of leaving.
        frailty: the user's f_u.
        satisfaction: sum of y over the page's clicks, clipped here.
        clicks: clicks on the page.
        pages: pages of the session so far, this one included, >= 1.
    """
    clipped = min(max(satisfaction, weights.clip_low), weights.clip_high)
    nothing = weights.no_click if clicks == 0 else 0.0
    return logistic(
        weights.base
        + frailty
        - weights.satisfaction * clipped
        + nothing
        - weights.depth * math.log(pages)
    )


def leave_probability_reference(
    weights: LeaveWeights,
    frailty: AnyArray | float,
    satisfaction: AnyArray | float,
    clicks: AnyArray | float,
    pages: AnyArray | float,
) -> FloatArray:
    """Plain twin of `leave_probability`, over arrays."""
    clipped = np.clip(satisfaction, weights.clip_low, weights.clip_high)
    logit = weights.base + frailty - weights.satisfaction * clipped
    logit = logit + weights.no_click * (clicks == 0) - weights.depth * np.log(pages)
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))
