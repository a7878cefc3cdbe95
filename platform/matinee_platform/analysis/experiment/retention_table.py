"""The retention family of each arm, with what every rate is a rate of."""

from typing import Any

import numpy as np

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.experiment.json_numbers import plain
from matinee_platform.analysis.experiment.metric_list import METRIC_LIST, RETENTION_FAMILY
from matinee_platform.analysis.experiment.unit_metrics import unit_metric
from matinee_platform.analysis.retention import wilson_interval


def retention_table(found: Activity, arms: tuple[str, ...]) -> dict[str, Any]:
    """Matured, exposed and returned units of each metric of the family, by metric and arm.

    `eligible` are exposed units whose window is over, whatever they did since; `returned` is the
    sum of their values: units that came back, or days for L7 and L28.
    """
    units = found.units
    exposed = np.bincount(units.arm, minlength=len(units.arms))
    table: dict[str, Any] = {}
    for name in RETENTION_FAMILY:
        metric = unit_metric(name, found)
        arm = units.arm[metric.rows]
        eligible = np.bincount(arm, minlength=len(units.arms))
        returned = np.bincount(arm, weights=metric.columns[0], minlength=len(units.arms))
        table[name] = {
            "title": METRIC_LIST[name].title,
            "unit": METRIC_LIST[name].unit,
            "arms": {
                one: {
                    "exposed": int(exposed[place]),
                    "eligible": int(eligible[place]),
                    "returned": plain(returned[place]),
                    "rate": plain(returned[place] / eligible[place]) if eligible[place] else None,
                    "matured": plain(eligible[place] / exposed[place]) if exposed[place] else None,
                }
                for place, one in _places(units.arms, arms)
            },
        }
    return table


def retention_curves(
    found: Activity, arms: tuple[str, ...], *, confidence: float
) -> dict[str, dict[str, list[float]]]:
    """Classic retention by day since exposure, of each arm, while any unit has matured."""
    units = found.units
    rows = found.active_rows
    curves = {}
    for place, name in _places(units.arms, arms):
        observed = units.observed[units.arm == place]
        last = int(observed.max(initial=0))
        eligible = np.cumsum(np.bincount(observed, minlength=last + 1)[::-1])[::-1][1:]
        unit, day = units.row_unit[rows], units.row_day[rows]
        counted = (units.arm[unit] == place) & (day < units.observed[unit])
        returned = np.bincount(day[counted], minlength=last)[:last].astype(np.float64)
        low, high = wilson_interval(returned, eligible, confidence=confidence)
        curves[name] = {
            "eligible": eligible.tolist(),
            "rate": (returned / eligible).tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
        }
    return curves


def _places(all_arms: tuple[str, ...], arms: tuple[str, ...]) -> list[tuple[int, str]]:
    return [(all_arms.index(name), name) for name in arms if name in all_arms]
