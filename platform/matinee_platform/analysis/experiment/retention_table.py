"""The retention family of each arm, with what every rate is a rate of."""

from typing import Any

import numpy as np

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.experiment.json_numbers import plain
from matinee_platform.analysis.experiment.metric_list import METRIC_LIST, RETENTION_FAMILY
from matinee_platform.analysis.experiment.row_sums import row_blocks
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
    found: Activity, arms: tuple[str, ...], *, confidence: float, at_end: bool
) -> dict[str, dict[str, list[float] | list[None]]]:
    """Classic retention by day since exposure, of each arm, while any unit has matured.

    Intervals are for one look: they are None unless `at_end`, the declared end is reached.
    """
    units = found.units
    span = int(units.observed.max(initial=0)) + 1
    in_all = np.zeros(len(units.arms) * span, dtype=np.int64)
    unit, day = found.active_rows()
    for rows in row_blocks(unit.size):
        who, on = unit[rows], day[rows]
        over = on < units.observed[who]
        key = units.arm[who[over]] * np.int64(span) + on[over]
        in_all += np.bincount(key, minlength=in_all.size)
    counts = in_all.reshape(-1, span)
    curves: dict[str, dict[str, list[float] | list[None]]] = {}
    for place, name in _places(units.arms, arms):
        followed = np.bincount(units.observed[units.arm == place], minlength=span)
        # Day k is over for units that were followed for more than k days.
        eligible = np.cumsum(followed[::-1])[::-1][1:]
        eligible = eligible[eligible > 0]
        returned = counts[place, : eligible.size].astype(np.float64)
        low, high = wilson_interval(returned, eligible, confidence=confidence)
        curves[name] = {
            "eligible": eligible.tolist(),
            "rate": (returned / eligible).tolist(),
            "low": low.tolist() if at_end else [None] * low.size,
            "high": high.tolist() if at_end else [None] * high.size,
        }
    return curves


def _places(all_arms: tuple[str, ...], arms: tuple[str, ...]) -> list[tuple[int, str]]:
    return [(all_arms.index(name), name) for name in arms if name in all_arms]
