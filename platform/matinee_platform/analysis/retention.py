"""Retention by unit, with matured denominators.

Day 0 of a unit is the day of its first exposure. A rate for day k counts every exposed unit whose
day k lies within the run ("matured"), whatever it did since: a unit that has not yet had the time
to return is left out of both sides, one that never came back stays in.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from matinee_platform.analysis.unit_table import UnitTable
from matinee_policies.arrays import FloatArray, Int64Array, UInt64Array
from matinee_policies.config import check_range, check_whole


@dataclass(frozen=True, slots=True)
class UnitValues:
    """One number for each unit that a metric speaks of.

    Attributes:
        unit: pseudonyms, ascending, `uint64 [n]`.
        values: the metric, `float64 [n]`.
    """

    unit: UInt64Array
    values: FloatArray


@dataclass(frozen=True, slots=True)
class RetentionRate:
    """A retention rate with its parts.

    Attributes:
        returned: matured units that came back; a fraction of one for a unit that came on some of
            the days of a smoothed rate.
        eligible: matured units.
        exposed: all units of the arm.
    """

    returned: float
    eligible: int
    exposed: int

    @property
    def rate(self) -> float:
        """Share of matured units that came back, NaN while none has matured."""
        return self.returned / self.eligible if self.eligible else math.nan

    @property
    def matured(self) -> float:
        """Share of exposed units that have matured, NaN without units."""
        return self.eligible / self.exposed if self.exposed else math.nan


@dataclass(frozen=True, slots=True)
class RetentionCurve:
    """Classic retention of one arm for each day after exposure on which a unit has matured.

    Attributes:
        day: 0, 1, ..., `int64 [k]`; day 0 is the exposure, its rate is 1.
        eligible: matured units, `int64 [k]`.
        rate: share that was active on that day, `float64 [k]`.
        low: lower end of the pointwise 95 % interval (Wilson), `float64 [k]`.
        high: its upper end, `float64 [k]`.
    """

    day: Int64Array
    eligible: Int64Array
    rate: FloatArray
    low: FloatArray
    high: FloatArray


def classic(table: UnitTable, day: int) -> UnitValues:
    """Whether each matured unit was active exactly `day` days after its exposure: 1 or 0."""
    return smoothed(table, first=day, last=day)


def smoothed(table: UnitTable, *, first: int = 27, last: int = 29) -> UnitValues:
    """Share of days `first` to `last` after exposure on which each matured unit was active.

    A unit has matured when `last` lies within the run. The default is the three-day mean around
    day 28, whose variance is lower than that of day 28 alone.
    """
    check_whole("first day of a retention rate", first, low=0)
    check_whole("last day of a retention rate", last, low=first)
    start = table.exposure_day
    rows = np.flatnonzero(start + last <= table.days - 1)
    days = start[rows, None] + np.arange(first, last + 1)
    return UnitValues(table.unit[rows], table.active[rows[:, None], days].mean(axis=1))


def within(table: UnitTable, day: int) -> UnitValues:
    """Whether each matured unit came back on any of the days 1 to `day` after exposure: 1 or 0."""
    check_whole("last day of a return", day, low=1)
    start = table.exposure_day
    rows = np.flatnonzero(start + day <= table.days - 1)
    days = start[rows, None] + np.arange(1, day + 1)
    return UnitValues(table.unit[rows], table.active[rows[:, None], days].any(axis=1).astype(float))


def rate_of(returns: UnitValues, *, exposed: int) -> RetentionRate:
    """Sum up the returns of an arm of `exposed` units."""
    return RetentionRate(
        returned=float(returns.values.sum()), eligible=int(returns.unit.size), exposed=exposed
    )


def retention_curve(table: UnitTable) -> RetentionCurve:
    """Classic retention by day after exposure, up to the last day for which a unit has matured."""
    start = table.exposure_day
    span = table.days - int(start.min()) if len(table) else 0
    day = np.arange(span)
    parts = [classic(table, int(k)).values for k in day]
    eligible = np.array([part.size for part in parts], dtype=np.int64)
    returned = np.array([part.sum() for part in parts])
    low, high = wilson_interval(returned, eligible)
    return RetentionCurve(day=day, eligible=eligible, rate=returned / eligible, low=low, high=high)


def wilson_interval(
    successes: FloatArray, trials: Int64Array, *, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Score interval of a proportion (Wilson 1927), elementwise.

    Args:
        successes: `float64 [n]`, within 0 and `trials`.
        trials: `int64 [n]`, at least 1.
        confidence: within (0, 1).

    Returns:
        Lower and upper ends, each `float64 [n]`, within 0 and 1.

    Example:
        >>> low, high = wilson_interval(np.array([0.0]), np.array([10]))
        >>> round(float(low[0]), 3), round(float(high[0]), 3)
        (0.0, 0.278)
    """
    check_range("confidence", confidence, low=0, high=1, low_open=True, high_open=True)
    z2 = float(special.ndtri(0.5 + confidence / 2)) ** 2
    centre = (successes + z2 / 2) / (trials + z2)
    spread = successes * (trials - successes) / trials + z2 / 4
    half = np.sqrt(z2 * spread) / (trials + z2)
    return np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)
