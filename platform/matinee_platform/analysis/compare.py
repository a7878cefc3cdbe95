"""Differences between two arms with an interval by unit.

Units were randomised, so units are the sample: pages and impressions of one unit are never taken
as independent. A proportion of units is the mean of 0 and 1; a ratio such as clicks per impression
enters as its linearised value per unit (delta method), whose mean is the ratio itself.

The intervals hold at the declared end of an experiment. Looking earlier, again and again, needs
always-valid ones (inference/confidence_sequence.py). This is the form for vectors of units; the
formulas are those of `analysis.inference`, on sums.
"""

import math

import numpy as np

from matinee_platform.analysis.inference.effect import Effect, check_confidence, no_effect
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.welch import student_effect, welch
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ContextError


def difference_of_means(
    treatment: FloatArray, control: FloatArray, *, confidence: float = 0.95
) -> Effect:
    """Difference of the means of two independent samples of units (`inference.welch`).

    Args:
        treatment: one value per unit, `float64 [n]`; NaN throughout for an arm without a value.
        control: one value per unit, `float64 [m]`; likewise.
        confidence: of the interval, within (0, 1).

    Raises:
        ConfigError: on a confidence outside its range.

    Example:
        >>> found = difference_of_means(np.array([3.0, 4, 5]), np.array([1.0, 2, 3]))
        >>> found.difference, round(found.low, 2), round(found.high, 2)
        (2.0, -0.27, 4.27)
    """
    return welch(_moments(treatment), _moments(control), confidence=confidence)


def paired_difference(
    treatment: FloatArray, control: FloatArray, *, confidence: float = 0.95
) -> Effect:
    """Difference of the means of the same units under both arms, `float64 [n]` each.

    Only a simulation can show every unit to every arm. Other arguments as `difference_of_means`.

    Raises:
        ConfigError: on a confidence outside its range.
        ContextError: on samples of different length.
    """
    check_confidence(confidence)
    if treatment.shape != control.shape:
        raise ContextError(
            f"paired values must come in pairs, got {treatment.size} and {control.size}"
        )
    n = treatment.size
    both = _moments(treatment - control, control)
    value = _moments(treatment).value, float(both.mean[1])
    covariance = both.covariance / n if n else both.covariance
    if not math.isfinite(covariance[0, 0]):
        reason = f"there are {n} pairs with a value in both arms, an interval needs 2"
        return no_effect(*value, method="paired", reason=reason)
    return student_effect(
        *value,
        error2=float(covariance[0, 0]),
        control_error2=float(covariance[1, 1]),
        covariance=float(covariance[0, 1]),
        freedom=n - 1,
        confidence=confidence,
        method="paired",
    )


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


def _moments(*columns: FloatArray) -> Moments:
    """Moments, NaN for an arm without a value (a ratio of nothing)."""
    if all(np.isfinite(column).all() for column in columns):
        return Moments.of(*columns)
    k = len(columns)
    return Moments(columns[0].size, np.full(k, np.nan), np.full((k, k), np.nan))
