"""What each unit contributes to a metric: the columns whose moments are compared.

Growing metrics (totals and their ratios) take every exposed unit as it stands; retention takes
units whose window is over, once and for all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.inference.ratio import stickiness
from matinee_policies.arrays import AnyArray, FloatArray, IndexArray


@dataclass(frozen=True, slots=True)
class UnitMetric:
    """One number per unit that counts, or the two of a ratio.

    Attributes:
        rows: units that count, ascending, `int64 [k]`.
        columns: value, or numerator and denominator, `float64 [k]` each.
        since: day of the experiment at whose end a unit counts, `int32 [k]`.
    """

    rows: AnyArray
    columns: tuple[FloatArray, ...]
    since: IndexArray


@dataclass(frozen=True, slots=True)
class Growing:
    """A metric of totals: the names of the columns of `UnitDays` that are summed.

    Attributes:
        names: value, or numerator and denominator.
    """

    names: tuple[str, ...]


GROWING: dict[str, Growing] = {
    "engagement_per_user": Growing(("engagement",)),
    "sessions_per_user": Growing(("sessions",)),
    "pages_per_user": Growing(("pages",)),
    "ctr": Growing(("clicks", "impressions")),
    "watched_per_impression": Growing(("engagement", "impressions")),
    "clicks_per_session": Growing(("clicks", "sessions")),
    "engagement_per_session": Growing(("engagement", "sessions")),
    "engagement_median": Growing(("engagement",)),
    "engagement_p90": Growing(("engagement",)),
}
"""Metrics whose values of a unit grow with the data."""

_Columns = tuple[FloatArray, ...]


def _days(first: int, last: int, *, share: bool = False) -> Callable[[Activity], _Columns]:
    """Active days of a window, or their share of it."""
    over = last - first + 1 if share else 1
    return lambda found: (found.active_days(first, last) / over,)


def _any_day(first: int, last: int | None) -> Callable[[Activity], _Columns]:
    """1 for units that came on any day of a window."""
    return lambda found: ((found.active_days(first, last) > 0).astype(np.float64),)


def _sums(*names: str, last: int) -> Callable[[Activity], _Columns]:
    """Sums over the first days from exposure."""
    return lambda found: tuple(found.summed(name, last=last) for name in names)


_MATURED: dict[str, tuple[int, Callable[[Activity], _Columns]]] = {
    "returned_within_7": (7, _any_day(1, 7)),
    "d1": (1, _days(1, 1)),
    "d7": (7, _days(7, 7)),
    "d28": (28, _days(28, 28)),
    "d28_smoothed": (29, _days(27, 29, share=True)),
    "rolling_d7": (7, _any_day(7, None)),
    "active_days_7": (6, _days(0, 6)),
    "active_days_28": (27, _days(0, 27)),
    "sessions_7": (6, _sums("sessions", last=6)),
    "sessions_28": (27, _sums("sessions", last=27)),
    "stickiness": (27, lambda found: stickiness(found.active_days(0, 27))),
    "engagement_7": (6, _sums("engagement", last=6)),
    "ctr_7": (6, _sums("clicks", "impressions", last=6)),
}

OF_REWARDS = frozenset(("engagement_7", "ctr_7"))
"""Metrics of windows that wait for rewards of their last day too."""

MATURES_AFTER: dict[str, int] = {name: day for name, (day, _) in _MATURED.items()}
"""Last day since exposure that must be over for a unit to count, by metric."""


def unit_metric(name: str, found: Activity) -> UnitMetric:
    """What units contribute to a metric.

    Args:
        name: of `metric_list.METRIC_LIST`.
        found: what units did.

    Returns:
        The units that count; none of them where the data are too short for the metric.
    """
    units = found.units
    if name in GROWING:
        columns = tuple(found.total(one) for one in GROWING[name].names)
        return UnitMetric(found.every, columns, units.exposed_on)
    last, columns_of = _MATURED[name]
    rows, since = found.matured_units(last, rewards=name in OF_REWARDS)
    columns = tuple(of_units(column, rows) for column in columns_of(found))
    return UnitMetric(rows, columns, since)


def window_of(name: str, found: Activity) -> tuple[int, bool] | None:
    """What decides which units count to a metric: its last day, and whether rewards of it may wait.

    Returns:
        None for a metric to which all units count.
    """
    if name in GROWING:
        return None
    return MATURES_AFTER[name], name in OF_REWARDS and found.units.rewarded is not None


def of_units(column: AnyArray, rows: AnyArray) -> AnyArray:
    """A column of all units for some of them, distinct and ascending; itself for all of them."""
    return column if rows.size == column.size else column[rows]
