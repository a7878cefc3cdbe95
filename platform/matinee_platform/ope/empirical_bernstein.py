"""An interval that is valid at every size, and wide for it: empirical Bernstein.

Maurer and Pontil 2009, theorem 4, once for each end. It assumes independent rows, exact
propensities and a known largest weight, and nothing else: no limit theorem, so no number of
positives that it would need.
"""

import math

import numpy as np

from matinee_platform.analysis.inference.effect import check_confidence
from matinee_platform.ope.interval import Interval, RewardRange
from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.arrays import FloatArray
from matinee_policies.config import check_range
from matinee_policies.errors import ContextError


def empirical_bernstein(
    sums: WeightedSums,
    *,
    largest: float,
    rewards: RewardRange | None = None,
    confidence: float = 0.95,
    design_effect: float = 1.0,
) -> Interval:
    """Interval of the expected reward under the target policy, from sums without further axes.

    Args:
        sums: of the log's weights and rewards, two rows or more.
        largest: weight that is possible, finite, >= 1 and never below one in the log.
        rewards: range that is possible, 0 to 1 by default.
        confidence: of both ends together; a lower bound alone holds at `1 - (1 - confidence) / 2`.
        design_effect: variance of the value by clusters over that by rows, >= 1: rows of one unit
            count as so many times fewer. With more than 1 the interval is an approximation.

    Raises:
        ContextError: on less than two rows, a weight above the largest or a reward out of range.
        ConfigError: on a setting out of its range.

    Example:
        >>> weights, clicks = np.tile([0.0, 2.0], 500), np.tile([0.0, 0.0, 0.0, 1.0], 250)
        >>> found = empirical_bernstein(WeightedSums.of(weights, clicks), largest=2)
        >>> round(found.low, 3), round(found.high, 3)
        (0.398, 0.602)
    """
    low, high = empirical_bernstein_bounds(
        sums,
        largest=largest,
        rewards=rewards or RewardRange(),
        confidence=confidence,
        design_effect=design_effect,
    )
    return Interval(float(low), float(high), confidence, "empirical Bernstein")


def empirical_bernstein_bounds(
    sums: WeightedSums,
    *,
    largest: float,
    rewards: RewardRange,
    confidence: float,
    design_effect: float = 1.0,
) -> tuple[FloatArray, FloatArray]:
    """Both ends, elementwise over the axes of the sums; arguments as `empirical_bernstein`.

    With `V` the sample variance of `w r`, `b` the width of its range and `d` half of
    `1 - confidence`, to each side `sqrt(2 V log(2 / d) / n) + 7 b log(2 / d) / (3 (n - 1))`. The
    value itself lies within the rewards' range, so the ends do.
    """
    check_confidence(confidence)
    check_range("largest weight", largest, low=1)
    check_range("design effect", design_effect, low=1)
    sums.check(rewards, largest)
    n = sums.rows
    if not (n >= 2).all():
        raise ContextError(f"empirical Bernstein needs two rows, got {float(n.min()):g}")
    value = sums.gain / n
    variance = np.maximum(sums.gain2 - n * value * value, 0.0) / (n - 1)
    width = largest * (max(rewards.high, 0.0) - min(rewards.low, 0.0))
    log = math.log(4 / (1 - confidence))
    half = np.sqrt(2 * variance * log / n * design_effect)
    half = half + 7 * width * log / (3 * (n - 1)) * design_effect
    return (
        np.clip(value - half, rewards.low, rewards.high),
        np.clip(value + half, rewards.low, rewards.high),
    )
