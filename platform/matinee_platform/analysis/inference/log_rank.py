"""Log-rank test: do two arms lose units at the same rate, day by day?"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from matinee_platform.analysis.inference.life_table import LifeTable


@dataclass(frozen=True, slots=True)
class LogRank:
    """The test of two survival curves.

    Attributes:
        observed: events in treatment.
        expected: events that it would have if both arms were alike.
        variance: of `observed` if both were.
        statistic: `(observed - expected)^2 / variance`, chi-square of one degree; NaN without a
            day on which both arms are at risk and something happens.
        p_value: two-sided, NaN as `statistic`.
    """

    observed: float
    expected: float
    variance: float
    statistic: float
    p_value: float


def log_rank(treatment: LifeTable, control: LifeTable) -> LogRank:
    """Compare the events of two arms with those of a common hazard (Mantel 1966).

    On each day treatment's events are hypergeometric: expected `d n_t / n`, variance
    `d (n_t / n) (1 - n_t / n) (n - d) / (n - 1)`.

    Example:
        >>> lost = LifeTable(np.array([0, 30]), np.array([0, 70]))
        >>> kept = LifeTable(np.array([0, 10]), np.array([0, 90]))
        >>> round(log_rank(lost, kept).statistic, 3)
        12.438
    """
    days = max(treatment.events.size, control.events.size)
    first, second = treatment.padded(days), control.padded(days)
    mine = first.at_risk.astype(np.float64)
    n = mine + second.at_risk
    d = (first.events + second.events).astype(np.float64)
    share = mine / np.maximum(n, 1)
    expected = float((d * share).sum())
    observed = float(first.events.sum())
    variance = float((d * share * (1 - share) * (n - d) / np.maximum(n - 1, 1)).sum())
    if not variance > 0:
        return LogRank(observed, expected, variance, math.nan, math.nan)
    statistic = (observed - expected) ** 2 / variance
    p_value = float(special.chdtrc(1, statistic))
    return LogRank(observed, expected, variance, statistic, p_value)
