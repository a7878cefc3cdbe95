"""Survival curves: the share of units without an event, by day, with units still under way."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from matinee_platform.analysis.inference.effect import check_confidence
from matinee_platform.analysis.inference.life_table import LifeTable
from matinee_policies.arrays import FloatArray, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class SurvivalCurve:
    """A survival curve; the value of a day holds from its end to the next event.

    Attributes:
        at_risk: when each day begins, `int64 [days]`.
        survival: share without an event after each day, `float64 [days]`; NaN from the first day
            on that no unit is at risk, unless the share is already 0.
        variance: of `survival` (Greenwood 1926), `float64 [days]`.
        low: lower end of the pointwise interval, `float64 [days]`.
        high: its upper end, `float64 [days]`.
    """

    at_risk: Int64Array
    survival: FloatArray
    variance: FloatArray
    low: FloatArray
    high: FloatArray


def kaplan_meier(table: LifeTable, *, confidence: float = 0.95) -> SurvivalCurve:
    """Product-limit estimate (Kaplan and Meier 1958) with intervals on log(-log S).

    `S(t) = prod_{i <= t} (1 - d_i / n_i)`, variance `S^2 sum d_i / (n_i (n_i - d_i))`, interval
    `S^exp(+-z sd / (S log S))` (Kalbfleisch and Prentice 1980), which stays within 0 and 1.

    Args:
        table: events and censored units by day.
        confidence: pointwise, within (0, 1).

    Raises:
        ConfigError: on a confidence outside its range.

    Example:
        >>> curve = kaplan_meier(LifeTable(np.array([0, 1, 1]), np.array([0, 1, 1])))
        >>> curve.survival.tolist()
        [1.0, 0.75, 0.375]
    """
    check_confidence(confidence)
    at_risk = table.at_risk
    survival = _survival(table)
    sums = np.cumsum(greenwood_terms(table))
    # Once no unit is left without an event the share is 0 for good.
    variance = np.where(survival > 0, survival**2 * sums, np.where(survival == 0, 0.0, np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        logged = np.log(survival)
        reach = float(special.ndtri(0.5 + confidence / 2)) * np.sqrt(sums) / logged
        low, high = survival ** np.exp(-reach), survival ** np.exp(reach)
    certain = (survival == 1) | (survival == 0)
    low, high = np.where(certain, survival, low), np.where(certain, survival, high)
    return SurvivalCurve(at_risk, survival, variance, low, high)


def greenwood_terms(table: LifeTable) -> FloatArray:
    """`d_i / (n_i (n_i - d_i))` by day, 0 where no unit survives it or none is at risk."""
    n, d = table.at_risk.astype(np.float64), table.events.astype(np.float64)
    room = n * (n - d)
    return np.where(room > 0, d / np.where(room > 0, room, 1.0), 0.0)


def _survival(table: LifeTable) -> FloatArray:
    at_risk = table.at_risk
    kept = 1 - table.events / np.maximum(at_risk, 1)
    survival = np.cumprod(kept)
    return np.where((at_risk > 0) | (survival == 0), survival, np.nan)
