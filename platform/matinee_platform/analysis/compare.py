"""Differences between two arms with an interval by unit.

Units were randomised, so units are the sample: pages and impressions of one unit are never taken
as independent. A proportion of units is the mean of 0 and 1; a ratio such as clicks per impression
enters as its linearised value per unit (delta method), whose mean is the ratio itself.

The intervals hold at the declared end of an experiment. Looking earlier, again and again, needs
always-valid ones, which are not here.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from matinee_policies.arrays import FloatArray
from matinee_policies.config import check_range
from matinee_policies.errors import ContextError


@dataclass(frozen=True, slots=True)
class Difference:
    """Treatment minus control, in the metric's own unit.

    Attributes:
        treatment: value in the treatment arm.
        control: value in the control arm.
        low: lower end of the interval, NaN where an arm has too few units for one.
        high: its upper end.
        p_value: two-sided, of no difference; NaN as `low`.
    """

    treatment: float
    control: float
    low: float
    high: float
    p_value: float

    @property
    def difference(self) -> float:
        """Treatment minus control."""
        return self.treatment - self.control

    @property
    def relative(self) -> float:
        """The difference as a share of the control's value, NaN where that is 0."""
        return self.difference / self.control if self.control else math.nan


def difference_of_means(
    treatment: FloatArray, control: FloatArray, *, confidence: float = 0.95
) -> Difference:
    """Difference of the means of two independent samples of units (Welch 1947).

    Args:
        treatment: one value per unit, `float64 [n]`.
        control: one value per unit, `float64 [m]`.
        confidence: of the interval, within (0, 1).

    Raises:
        ConfigError: on a confidence outside its range.

    Example:
        >>> found = difference_of_means(np.array([3.0, 4, 5]), np.array([1.0, 2, 3]))
        >>> found.difference, round(found.low, 2), round(found.high, 2)
        (2.0, -0.27, 4.27)
    """
    n, m = treatment.size, control.size
    centre = _mean(treatment), _mean(control)
    if min(n, m) < 2:
        return _interval(*centre, error=math.nan, freedom=math.nan, confidence=confidence)
    part, other = treatment.var(ddof=1) / n, control.var(ddof=1) / m
    total = part + other
    freedom = total**2 / (part**2 / (n - 1) + other**2 / (m - 1)) if total else math.inf
    return _interval(*centre, error=math.sqrt(total), freedom=freedom, confidence=confidence)


def paired_difference(
    treatment: FloatArray, control: FloatArray, *, confidence: float = 0.95
) -> Difference:
    """Difference of the means of the same units under both arms, `float64 [n]` each.

    Only a simulation can show every unit to every arm. Other arguments as `difference_of_means`.

    Raises:
        ConfigError: on a confidence outside its range.
        ContextError: on samples of different length.
    """
    if treatment.shape != control.shape:
        raise ContextError(
            f"paired values must come in pairs, got {treatment.size} and {control.size}"
        )
    n = treatment.size
    error = math.sqrt((treatment - control).var(ddof=1) / n) if n >= 2 else math.nan
    centre = _mean(treatment), _mean(control)
    return _interval(*centre, error=error, freedom=n - 1, confidence=confidence)


def linearised(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Per-unit values whose mean is the ratio of sums, and whose variance is the delta method's.

    `z_i = R + (numerator_i - R denominator_i) / mean(denominator)` with
    `R = sum(numerator) / sum(denominator)` (Deng, Knoblich and Lu 2018, section 3).

    Args:
        numerator: sum per unit, e.g. clicks, `float64 [n]`.
        denominator: sum per unit, e.g. impressions, `float64 [n]`.

    Returns:
        `float64 [n]`; NaN throughout where the denominators sum to 0.

    Example:
        >>> linearised(np.array([1.0, 3.0]), np.array([10.0, 30.0])).tolist()
        [0.1, 0.1]
    """
    total = denominator.sum()
    if not total:
        return np.full(denominator.size, math.nan)
    ratio = numerator.sum() / total
    values: FloatArray = ratio + (numerator - ratio * denominator) / denominator.mean()
    return values


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else math.nan


def _interval(
    treatment: float, control: float, *, error: float, freedom: float, confidence: float
) -> Difference:
    check_range("confidence", confidence, low=0, high=1, low_open=True, high_open=True)
    difference = treatment - control
    if error == 0.0:
        # All units of an arm agree: nothing is left to doubt.
        return Difference(treatment, control, difference, difference, float(difference == 0.0))
    half = float(special.stdtrit(freedom, 0.5 + confidence / 2)) * error
    p_value = 2 * float(special.stdtr(freedom, -abs(difference / error)))
    return Difference(treatment, control, difference - half, difference + half, p_value)
