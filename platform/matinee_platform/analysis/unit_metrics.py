"""Metrics of an experiment as planning and A/A take them: columns, and which units they speak of.

The columns are those of the analysis itself (`experiment.unit_metrics`).
"""

from dataclasses import dataclass

import numpy as np

from matinee_platform.analysis.experiment import unit_metrics
from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_policies.arrays import BoolArray, FloatArray
from matinee_policies.errors import ConfigError

METRICS = (
    "ctr",
    "watched_per_impression",
    "engagement_per_user",
    "sessions_per_user",
    "engagement_7",
    "sessions_7",
    "returned_within_7",
    "d1",
    "d7",
    "d28",
    "sessions_28",
    "stickiness",
)
"""Metrics that are planned with. The first four and the returns are those of the scorecard."""

_PROPORTIONS = frozenset(("returned_within_7", "d1", "d7", "d28"))


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
    found = unit_metrics.unit_metric(name, Activity(days))
    units = np.zeros(len(days), dtype=np.bool_)
    units[found.rows] = True
    return UnitMetric(
        name,
        units,
        found.columns[0],
        found.columns[1] if len(found.columns) > 1 else None,
        window_days=unit_metrics.MATURES_AFTER.get(name, -1) + 1,
        proportion=name in _PROPORTIONS,
    )
