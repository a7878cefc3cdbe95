"""Restricted mean survival time: days without an event, out of the first `horizon`."""

import math

import numpy as np
from scipy import special

from matinee_platform.analysis.inference.effect import (
    Effect,
    check_confidence,
    effect_of,
    no_effect,
)
from matinee_platform.analysis.inference.kaplan_meier import greenwood_terms, kaplan_meier
from matinee_platform.analysis.inference.life_table import LifeTable
from matinee_policies.config import check_whole


def restricted_mean(table: LifeTable, *, horizon: int) -> tuple[float, float]:
    """Area under the survival curve up to `horizon`, with the variance of the estimate.

    `sum_i A_i^2 d_i / (n_i (n_i - d_i))` with `A_i` the area right of day i (Irwin 1949; Klein and
    Moeschberger, section 4.5).

    Args:
        table: events and censored units by day.
        horizon: days, at least 1.

    Returns:
        Mean days and their variance; NaN where no unit was followed that far.

    Raises:
        ConfigError: on a horizon below 1.

    Example:
        >>> table = LifeTable(np.array([0, 1, 1]), np.array([0, 0, 0]))
        >>> restricted_mean(table, horizon=2)
        (1.5, 0.125)
    """
    check_whole("horizon of a restricted mean", horizon, low=1)
    whole = table.padded(horizon)
    # The curve after day k holds from k to k + 1; the whole area is that of days 0 to horizon - 1.
    survival = kaplan_meier(whole).survival[:horizon]
    if not np.isfinite(survival).all():
        return math.nan, math.nan
    right = np.cumsum(survival[::-1])[::-1]
    return float(right[0]), float((right**2 * greenwood_terms(whole)[:horizon]).sum())


def restricted_mean_difference(
    treatment: LifeTable, control: LifeTable, *, horizon: int, confidence: float = 0.95
) -> Effect:
    """Difference of two restricted means, normal interval; arguments as `restricted_mean`.

    Returns:
        The effect in days; without an interval, but with the reason, where an arm was not followed
        up to the horizon.

    Raises:
        ConfigError: on a horizon or a confidence out of its range.
    """
    check_confidence(confidence)
    (first, part), (second, other) = (
        restricted_mean(table, horizon=horizon) for table in (treatment, control)
    )
    total = part + other
    if math.isnan(total):
        name = "treatment" if math.isnan(part) else "control"
        reason = f"no unit of {name} was followed for {horizon} days"
        return no_effect(first, second, method="restricted mean", reason=reason)
    z = (first - second) / math.sqrt(total) if total else 0.0
    return effect_of(
        first,
        second,
        error2=total,
        control_error2=other,
        critical=float(special.ndtri(0.5 + confidence / 2)),
        p_value=2 * float(special.ndtr(-abs(z))),
        method="restricted mean",
    )
