"""Moments of a metric by arm, by segment and by day, with the covariates that are taken out."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.experiment.by_day import ByDay, growing_by_day, settled_by_day
from matinee_platform.analysis.experiment.covariates import Covariates
from matinee_platform.analysis.experiment.metric_list import METRIC_LIST, SETTLED
from matinee_platform.analysis.experiment.unit_metrics import GROWING, UnitMetric, unit_metric
from matinee_platform.analysis.inference.moments import Moments, moments_by_group
from matinee_policies.arrays import AnyArray, FloatArray


@dataclass
class MetricMoments:
    """One metric of all arms.

    Attributes:
        name: of the metric.
        found: what units did.
        covariates: of all units.
        kept: whether what each unit contributes stays in memory for further questions; of many
            metrics of many units it would be more than the log's own sums.
    """

    name: str
    found: Activity
    covariates: Covariates
    kept: bool = True
    _held: UnitMetric | None = field(default=None, init=False, repr=False)

    @property
    def ratio(self) -> bool:
        """Whether it is a ratio of two sums."""
        return METRIC_LIST[self.name].kind == "ratio"

    @property
    def metric(self) -> UnitMetric:
        """What units contribute."""
        found = self._held or unit_metric(self.name, self.found)
        if self.kept:
            self._held = found
        return found

    @property
    def by_arm(self) -> tuple[Moments, ...]:
        """Moments of values and covariates of each arm."""
        return self._by_arm[0]

    @property
    def sums(self) -> tuple[FloatArray, ...]:
        """Sums of the values of each arm, and how many units they are of: `float64 [arms]` each."""
        return self._by_arm[1]

    @cached_property
    def _by_arm(self) -> tuple[tuple[Moments, ...], tuple[FloatArray, ...]]:
        metric, arms = self.metric, len(self.found.units.arms)
        arm = self.found.units.arm[metric.rows].astype(np.intp)
        counts = [np.bincount(arm, weights=one, minlength=arms) for one in metric.columns]
        units = np.bincount(arm, minlength=arms)
        sums = (*(one.astype(np.float64) for one in counts), units.astype(np.float64))
        return self._grouped(metric, arm, arms), sums

    def by_segment(self, name: str) -> tuple[tuple[Moments, ...], ...]:
        """The same by label of a segment and then by arm."""
        units = self.found.units
        arms, labels = len(units.arms), len(units.segment_labels[name])
        metric = self.metric
        label = units.segments[name][metric.rows].astype(np.int64)
        group = np.where(label < 0, -1, label * arms + units.arm[metric.rows])
        parts = self._grouped(metric, group, labels * arms)
        return tuple(parts[one * arms : (one + 1) * arms] for one in range(labels))

    def by_day(self) -> ByDay | None:
        """The same by day; None for a metric whose past cannot be told from its present."""
        columns = self.covariates.columns
        if self.name in SETTLED:
            return settled_by_day(self.metric, self.found, covariates=columns)
        if self.name in GROWING and METRIC_LIST[self.name].kind != "quantile":
            return growing_by_day(GROWING[self.name].names, self.found, covariates=columns)
        return None

    def _grouped(self, metric: UnitMetric, group: AnyArray, groups: int) -> tuple[Moments, ...]:
        known = (column[metric.rows] for column in self.covariates.columns)
        return moments_by_group([*metric.columns, *known], group, groups=groups)
