"""The data of an experiment as they were at the end of one of its days."""

from dataclasses import replace

import numpy as np

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.unit_days.records import UnitDays


def until_day(units: UnitDays, days: int) -> UnitDays:
    """The first days of an experiment alone; all of it if it has no more.

    Args:
        units: of the experiment.
        days: to keep, at least 1.
    """
    if days >= Activity(units).looks:
        return units
    kept = units.exposed_on < days
    place = np.cumsum(kept) - 1
    rows = (units.row_calendar_day < days) & kept[units.row_unit]
    # Day k of a unit is over by then if it ends within the days kept.
    shorter = Activity(units).matures_on(0)[kept]
    observed = np.minimum(units.observed[kept], np.maximum(days - shorter, 0))
    rewarded = units.rewarded
    if rewarded is not None:
        wait = int((units.observed - rewarded).max(initial=0))
        rewarded = np.minimum(rewarded[kept], observed - wait).astype(np.int32)
    by_unit = ("unit", "arm", "exposed_at", "exposed_on")
    by_row = (
        "row_day",
        "row_calendar_day",
        "sessions",
        "pages",
        "impressions",
        "clicks",
        "engagement",
        "fallbacks",
    )
    return replace(
        units,
        **{name: getattr(units, name)[kept] for name in by_unit},
        **{name: getattr(units, name)[rows] for name in by_row},
        observed=observed.astype(np.int32),
        rewarded=rewarded,
        row_unit=place[units.row_unit[rows]].astype(np.int32),
        covariates={name: one[kept] for name, one in units.covariates.items()},
        segments={name: one[kept] for name, one in units.segments.items()},
        days=days,
    )
