"""Moments of a metric by arm, by segment and by day, with the covariates that are taken out."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.experiment.by_day import ByDay, growing_by_day, settled_by_day
from matinee_platform.analysis.experiment.covariates import Covariates
from matinee_platform.analysis.experiment.metric_list import METRIC_LIST, SETTLED
from matinee_platform.analysis.experiment.unit_metrics import GROWING, UnitMetric, unit_metric
from matinee_platform.analysis.inference.moments import Moments, moments_by_group


@dataclass
class MetricMoments:
    """One metric of all arms.

    Attributes:
        name: of the metric.
        found: what units did.
        covariates: of all units.
    """

    name: str
    found: Activity
    covariates: Covariates

    @property
    def ratio(self) -> bool:
        """Whether it is a ratio of two sums."""
        return METRIC_LIST[self.name].kind == "ratio"

    @cached_property
    def metric(self) -> UnitMetric:
        """What units contribute."""
        return unit_metric(self.name, self.found)

    @cached_property
    def by_arm(self) -> tuple[Moments, ...]:
        """Moments of values and covariates of each arm."""
        return self._grouped(self.found.units.arm[self.metric.rows], len(self.found.units.arms))

    def by_segment(self, name: str) -> tuple[tuple[Moments, ...], ...]:
        """The same by label of a segment and then by arm."""
        units = self.found.units
        arms, labels = len(units.arms), len(units.segment_labels[name])
        label = units.segments[name][self.metric.rows].astype(np.int64)
        arm = units.arm[self.metric.rows]
        parts = self._grouped(np.where(label < 0, -1, label * arms + arm), labels * arms)
        return tuple(parts[one * arms : (one + 1) * arms] for one in range(labels))

    def by_day(self) -> ByDay | None:
        """The same by day; None for a metric whose past cannot be told from its present."""
        columns = self.covariates.columns
        if self.name in SETTLED:
            return settled_by_day(self.metric, self.found, covariates=columns)
        if self.name in GROWING and METRIC_LIST[self.name].kind != "quantile":
            return growing_by_day(GROWING[self.name].names, self.found, covariates=columns)
        return None

    def _grouped(self, group: np.ndarray, groups: int) -> tuple[Moments, ...]:
        rows = self.metric.rows
        known = (column[rows] for column in self.covariates.columns)
        return moments_by_group([*self.metric.columns, *known], group, groups=groups)
