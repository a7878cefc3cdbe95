"""The default interval: empirical likelihood that knows the range of weights and rewards.

Of all laws on the observed pairs and one more that might have been missed, which have mean weight
1, and are not too far from the sample in the Cressie-Read divergence of power -2? The largest and
the smallest value among those laws are the ends (Karampatziakis, Langford and Mineiro 2020,
"Empirical likelihood for contextual bandits"). That divergence has a closed form in six sums.

It assumes rows that are independent and alike, exact propensities, and bounds of weights and
rewards that are *known*, not read off the log: a rare large weight that was never drawn is what
ordinary intervals miss. It is asymptotic, and errs on the safe side where positives are few.
"""

import math

import numpy as np
from scipy import special

from matinee_platform.analysis.inference.effect import check_confidence
from matinee_platform.ope.interval import Interval, RewardRange
from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.arrays import FloatArray
from matinee_policies.config import check_range

LEAST_LARGEST = 1.01
"""A largest weight below it is taken as it: nearer to 1 digits are lost, and it is no narrower."""


def cressie_read(
    sums: WeightedSums,
    *,
    largest: float = math.inf,
    rewards: RewardRange | None = None,
    confidence: float = 0.95,
    design_effect: float = 1.0,
) -> Interval:
    """Interval of the expected reward under the target policy, from sums without further axes.

    Args:
        sums: of the log's weights and rewards.
        largest: weight that is possible, >= 1 and never below one in the log: such as one over
            the smallest propensity that the logging policy's floor allows. Infinity if unknown.
        rewards: range that is possible, 0 to 1 by default.
        confidence: of both ends together; a lower bound alone holds at `1 - (1 - confidence) / 2`.
        design_effect: variance of the value by clusters over that by rows, >= 1: rows of one unit
            resemble each other. It scales the critical value (Rao and Scott 1981).

    Raises:
        ContextError: on no rows, a weight above the largest or a reward out of its range.
        ConfigError: on a setting out of its range.

    Example:
        >>> rng = np.random.default_rng(3)
        >>> weights = rng.choice([0.2, 20.0], p=[95 / 99, 4 / 99], size=5_000)
        >>> clicks = rng.random(5_000) < 0.003
        >>> found = cressie_read(WeightedSums.of(weights, clicks), largest=20)
        >>> 0.003 in found, 0.02 in found
        (True, False)
    """
    low, high = cressie_read_bounds(
        sums,
        largest=largest,
        rewards=rewards or RewardRange(),
        confidence=confidence,
        design_effect=design_effect,
    )
    return Interval(float(low), float(high), confidence, "Cressie-Read")


def cressie_read_bounds(
    sums: WeightedSums,
    *,
    largest: float,
    rewards: RewardRange,
    confidence: float,
    design_effect: float = 1.0,
) -> tuple[FloatArray, FloatArray]:
    """Both ends, elementwise over the axes of the sums; arguments as `cressie_read`."""
    check_confidence(confidence)
    check_range("design effect", design_effect, low=1)
    if not math.isinf(largest):
        check_range("largest weight", largest, low=1)
    sums.check(rewards, largest)
    # Rounding may have put one a hair above what is known.
    greatest = np.maximum(max(largest, LEAST_LARGEST), sums.largest)
    critical = design_effect * special.fdtri(1.0, sums.rows, confidence)
    slack = -(_least_divergence(sums, greatest) + critical) / (2 * (1 + sums.rows))
    low, high = (
        # Adding zero makes no difference, but to the sign of a zero.
        np.clip(_bound(sums, greatest, slack, missed=end, sign=sign), rewards.low, rewards.high)
        + 0.0
        for end, sign in ((rewards.low, 1.0), (rewards.high, -1.0))
    )
    return low, high


def _least_divergence(sums: WeightedSums, greatest: FloatArray) -> FloatArray:
    """How far from the sample the nearest law with mean weight 1 is."""
    n = sums.rows
    missed = np.where(sums.weight < n, greatest, 0.0)
    finite = np.isfinite(missed)
    w = np.where(finite, missed, 0.0)
    mean, variance = _spread(sums, w)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (1 + n) * (mean - 1) ** 2 / variance
    return np.where(finite, found, 1 + 1 / n)


def _bound(
    sums: WeightedSums, greatest: FloatArray, slack: FloatArray, *, missed: float, sign: float
) -> FloatArray:
    """The smallest `sign` times value; the missed pair has the least or the greatest weight."""
    nothing = np.zeros_like(greatest)
    ends = [_least(sums, nothing, slack, missed=missed, sign=sign)]
    finite = np.isfinite(greatest)
    some = _least(sums, np.where(finite, greatest, 1.0), slack, missed=missed, sign=sign)
    ends.append(np.where(finite, some, _least_unbounded(sums, slack, missed=missed, sign=sign)))
    found = np.minimum(*ends)
    # No law is near enough: nothing is known of this end.
    return np.where(np.isinf(found), missed, sign * found)


def _least(
    sums: WeightedSums, w: FloatArray, slack: FloatArray, *, missed: float, sign: float
) -> FloatArray:
    """Smallest value when the missed pair is `(w, missed)`; infinity if no law is near enough."""
    n = 1 + sums.rows
    mean, variance = _spread(sums, w)
    gain = sign * (w * missed + sums.gain) / n
    weight_gain = sign * (w * w * missed + sums.weight_gain) / n
    gain2 = (w * w * missed * missed + sums.gain2) / n
    cross = weight_gain - mean * gain
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = gain + (1 - mean) * cross / variance
        # What weights do not explain of the gains' variance: below 0 by rounding alone.
        rest = np.maximum(gain2 - gain * gain - cross * cross / variance, 0.0)
        room = slack + (1 - mean) ** 2 / (2 * variance)
        found = centre - np.sqrt(-2 * rest * room)
    return np.where((variance > 0) & (room <= 0), found, np.inf)


def _least_unbounded(
    sums: WeightedSums, slack: FloatArray, *, missed: float, sign: float
) -> FloatArray:
    """The limit of `_least` for ever larger weights."""
    n = sums.rows
    gap = sums.gain - missed * sums.weight
    square = missed**2 * sums.weight2 - 2 * missed * sums.weight_gain + sums.gain2
    rest = np.maximum(square / (1 + n) - gap * gap / (n * (1 + n)), 0.0)
    room = slack + 1 / (2 * n)
    with np.errstate(invalid="ignore"):
        found = sign * (missed + gap / n) - np.sqrt(-2 * rest * room)
    return np.where(room <= 0, found, np.inf)


def _spread(sums: WeightedSums, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of the weights with one more of `w`."""
    mean = (w + sums.weight) / (1 + sums.rows)
    return mean, (w * w + sums.weight2) / (1 + sums.rows) - mean * mean
