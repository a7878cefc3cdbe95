"""Intervals of a ratio of two estimates: the lift of an arm as a share of the control."""

import math

from scipy import special

from matinee_platform.analysis.inference.moments import Moments


def fieller(
    top: float,
    bottom: float,
    *,
    error2: tuple[float, float],
    critical: float,
    covariance: float = 0.0,
) -> tuple[float, float]:
    """Interval of `top / bottom` (Fieller 1954): ratios `r` that `top - r bottom = 0` allows.

    The test of each `r` is linear, so the interval needs no `bottom` far from 0, unlike the delta
    method. With a `critical` of a confidence sequence it holds at any time.

    Args:
        top: an estimate.
        bottom: the estimate that it is divided by.
        error2: squared standard errors of the two.
        critical: how many standard errors are allowed, >= 0.
        covariance: of the two estimates.

    Returns:
        Both ends; NaN where the set is no interval: `bottom` cannot be told from 0.

    Example:
        >>> low, high = fieller(11.0, 10.0, error2=(0.04, 0.04), critical=1.96)
        >>> round(low, 4), round(high, 4)
        (1.0433, 1.16)
    """
    q2 = critical * critical
    square = bottom * bottom - q2 * error2[1]
    if not bottom or not square > 0:
        return math.nan, math.nan
    middle = top * bottom - q2 * covariance
    # middle^2 - square * (top^2 - q2 error2[0]), with the large terms cancelled by hand.
    spread = q2 * (
        bottom * bottom * error2[0]
        + top * top * error2[1]
        - 2 * top * bottom * covariance
        - q2 * (error2[0] * error2[1] - covariance * covariance)
    )
    half = math.sqrt(max(spread, 0.0))
    return (middle - half) / square, (middle + half) / square


def log_delta_lift(
    treatment: Moments, control: Moments, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the lift by the delta method on the scale of logarithms (Deng et al. 2018).

    `(t / c) exp(+-q s) - 1` with `s^2 = var(t) / t^2 + var(c) / c^2` and Welch's quantile `q`.

    Returns:
        Both ends; NaN below two units in an arm, or with a mean of 0 or of the other sign.
    """
    if min(treatment.n, control.n) < 2 or not treatment.value * control.value > 0:
        return math.nan, math.nan
    part, other = treatment.error2 / treatment.value**2, control.error2 / control.value**2
    ratio = treatment.value / control.value
    if part + other == 0.0:
        return ratio - 1, ratio - 1
    freedom = welch_freedom((part, other), (treatment.n, control.n))
    half = float(special.stdtrit(freedom, 0.5 + confidence / 2)) * math.sqrt(part + other)
    return ratio * math.exp(-half) - 1, ratio * math.exp(half) - 1


def welch_freedom(error2: tuple[float, float], units: tuple[int, int]) -> float:
    """Degrees of freedom of a sum of two estimates of variance (Welch 1947), inf for no variance.

    Args:
        error2: squared standard errors of two means.
        units: that each was taken over, at least 2.
    """
    total = error2[0] + error2[1]
    if not total:
        return math.inf
    # Shares, so that squares of small variances do not vanish.
    first, second = error2[0] / total, error2[1] / total
    return 1 / (first**2 / (units[0] - 1) + second**2 / (units[1] - 1))
