"""Ratios of sums whose units are users: clicks per impression, watched per shown, stickiness.

Numerator and denominator vary together from unit to unit. The delta method turns the ratio into a
mean of one number per unit, after which every method for means holds. `compare.linearised` is the
same for vectors.
"""

import numpy as np

from matinee_platform.analysis.inference.effect import Effect
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.welch import welch
from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.config import check_whole
from matinee_policies.errors import ContextError


def linearise(moments: Moments, *, ratios: int = 1) -> Moments:
    """Moments of ratios, each made a mean over units by the delta method.

    `z_i = R + (a_i - R b_i) / mean(b)` with `R = mean(a) / mean(b)` (Deng, Knoblich and Lu 2018,
    section 3): its mean is `R`, its variance over n that of `R`.

    Args:
        moments: of pairs of columns (numerator, denominator), then of any others.
        ratios: how many pairs to take; the columns after them are kept.

    Returns:
        Moments of `ratios` columns and the others; NaN where a mean denominator is 0.

    Raises:
        ContextError: with fewer columns than two for each ratio.
    """
    k = moments.mean.size
    if k < 2 * ratios:
        raise ContextError(f"{ratios} ratios need {2 * ratios} columns, got {k}")
    matrix = np.zeros((k - ratios, k))
    offset = np.zeros(k - ratios)
    for row in range(ratios):
        top, bottom = moments.mean[2 * row], moments.mean[2 * row + 1]
        ratio = top / bottom if bottom else np.nan
        matrix[row, 2 * row] = 1 / bottom if bottom else np.nan
        matrix[row, 2 * row + 1] = -ratio / bottom if bottom else np.nan
        offset[row] = ratio
    for row in range(ratios, k - ratios):
        matrix[row, row + ratios] = 1.0
    found = moments.mapped(matrix, offset)
    # The mean of a_i - R b_i is 0 but for rounding.
    found.mean[:ratios] = offset[:ratios]
    return found


def ratio(treatment: Moments, control: Moments, *, confidence: float = 0.95) -> Effect:
    """Difference of two ratios of sums, by the delta method and Welch's test.

    Args:
        treatment: moments of (numerator, denominator) by unit.
        control: likewise.
        confidence: of the interval, within (0, 1).

    Returns:
        The effect; without an interval, but with the reason, where an arm has less than two units
        or its denominators sum to 0.

    Raises:
        ConfigError: on a confidence outside its range.
        ContextError: on moments of one column.
    """
    return welch(linearise(treatment), linearise(control), confidence=confidence, method="ratio")


def stickiness(active_days: AnyArray, *, window: int = 28) -> tuple[FloatArray, FloatArray]:
    """Columns whose ratio is active user-days over `window` times the users active in it.

    Args:
        active_days: days of the window on which each matured unit was active, `int [n]`.
        window: its days, at least 1.

    Returns:
        Numerator and denominator per unit, `float64 [n]` each.

    Raises:
        ConfigError: on a window below 1.
        ContextError: on days outside of the window.

    Example:
        >>> top, bottom = stickiness(np.array([0, 7, 21]))
        >>> float(top.sum() / bottom.sum())
        0.5
    """
    check_whole("window of stickiness", window, low=1)
    if active_days.size and (active_days.min() < 0 or active_days.max() > window):
        raise ContextError(
            f"active days must be within 0 and {window}, got {active_days.min()} to "
            f"{active_days.max()}"
        )
    days = active_days.astype(np.float64)
    return days, window * (days > 0).astype(np.float64)
