"""Metrics of an experiment as columns: a number per unit, or two whose sums are divided.

Every metric names the units that it speaks of. One of a window speaks of those whose window lies
within the data ("matured"), whatever they did since; one without a window counts whatever the data
hold of each unit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from matinee_platform.analysis.inference.ratio import stickiness
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray
from matinee_policies.errors import ConfigError


@dataclass(frozen=True, slots=True)
class UnitMetric:
    """One metric of some of the `n` units of a log.

    Attributes:
        name: of the metric.
        units: which units it speaks of, `bool [n]`.
        values: of each of these `m`, `float64 [m]`.
        denominators: of a ratio of sums, `float64 [m]`; None for a mean.
        window_days: whole days after exposure that it waits for; 0 if it does not wait.
        proportion: whether values are 0 or 1.
    """

    name: str
    units: BoolArray
    values: FloatArray
    denominators: FloatArray | None = None
    window_days: int = 0
    proportion: bool = False

    @property
    def columns(self) -> tuple[FloatArray, ...]:
        """What its moments are made of: one column for a mean, two for a ratio."""
        return (self.values,) if self.denominators is None else (self.values, self.denominators)


def unit_metric(days: UnitDays, name: str) -> UnitMetric:
    """One metric of a log, by its name in `METRICS`.

    Raises:
        ConfigError: on a name that is not there.
    """
    if name not in METRICS:
        raise ConfigError(f"metric must be one of {', '.join(METRICS)}, got {name!r}")
    return METRICS[name](days, name)


def _ratio(days: UnitDays, name: str, *, top: AnyArray, bottom: AnyArray) -> UnitMetric:
    everyone = np.ones(len(days), dtype=np.bool_)
    return UnitMetric(name, everyone, by_unit(days, top), by_unit(days, bottom))


def _total(days: UnitDays, name: str, *, of: AnyArray) -> UnitMetric:
    return UnitMetric(name, np.ones(len(days), dtype=np.bool_), by_unit(days, of))


def _first_days(days: UnitDays, name: str, *, of: AnyArray, window: int) -> UnitMetric:
    matured = days.observed >= window
    total = by_unit(days, of, rows=days.row_day < window)
    return UnitMetric(name, matured, total[matured], window_days=window)


def _active(days: UnitDays, name: str, *, first: int, last: int) -> UnitMetric:
    """Whether a unit came on any of some days after its exposure."""
    matured = days.observed > last
    here = (days.row_day >= first) & (days.row_day <= last)
    came = by_unit(days, np.ones(days.row_unit.size), rows=here) > 0
    return UnitMetric(
        name, matured, came[matured].astype(np.float64), window_days=last + 1, proportion=True
    )


def _stickiness(days: UnitDays, name: str) -> UnitMetric:
    matured = days.observed >= 28
    active = by_unit(days, np.ones(days.row_unit.size), rows=days.row_day < 28)
    top, bottom = stickiness(active[matured])
    return UnitMetric(name, matured, top, bottom, window_days=28)


def by_unit(days: UnitDays, column: AnyArray, *, rows: BoolArray | None = None) -> FloatArray:
    """Sum of a column of rows over each unit, `float64 [n]`.

    Args:
        days: of a log.
        column: one number a row, `[m]`.
        rows: which rows count; all by default.
    """
    unit, weights = days.row_unit, np.asarray(column, dtype=np.float64)
    if rows is not None:
        unit, weights = unit[rows], weights[rows]
    return np.bincount(unit, weights=weights, minlength=len(days)).astype(np.float64)


METRICS: Mapping[str, Callable[[UnitDays, str], UnitMetric]] = {
    "ctr": lambda days, name: _ratio(days, name, top=days.clicks, bottom=days.impressions),
    "watched_per_impression": lambda days, name: _ratio(
        days, name, top=days.engagement, bottom=days.impressions
    ),
    "engagement_per_user": lambda days, name: _total(days, name, of=days.engagement),
    "sessions_per_user": lambda days, name: _total(days, name, of=days.sessions),
    "engagement_7": lambda days, name: _first_days(days, name, of=days.engagement, window=7),
    "sessions_7": lambda days, name: _first_days(days, name, of=days.sessions, window=7),
    "returned_within_7": lambda days, name: _active(days, name, first=1, last=7),
    "d1": lambda days, name: _active(days, name, first=1, last=1),
    "d7": lambda days, name: _active(days, name, first=7, last=7),
    "d28": lambda days, name: _active(days, name, first=28, last=28),
    "sessions_28": lambda days, name: _first_days(days, name, of=days.sessions, window=28),
    "stickiness": _stickiness,
}
"""Metrics by name. The first four and the returns are those of the scorecard of a run."""
