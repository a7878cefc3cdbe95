"""Moments of a metric by arm, by segment and by day, with the covariates that are taken out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.experiment.by_day import ByDay, growing_by_day, settled_by_day
from matinee_platform.analysis.experiment.covariates import Covariates
from matinee_platform.analysis.experiment.metric_list import METRIC_LIST, SETTLED
from matinee_platform.analysis.experiment.unit_metrics import (
    GROWING,
    UnitMetric,
    of_units,
    unit_metric,
    window_of,
)
from matinee_platform.analysis.inference.moments import Moments, moments_by_group
from matinee_platform.analysis.side_by_side import side_by_side
from matinee_policies.arrays import AnyArray, FloatArray


@dataclass
class MetricMoments:
    """One metric of all arms.

    Attributes:
        name: of the metric.
        found: what units did.
        covariates: of all units.
        by_arm: moments of values and covariates of each arm.
        sums: of the values of each arm, and how many units they are of: `float64 [arms]` each.
        held: what each unit contributes, where it is kept for further questions; of many metrics
            of many units it would be more than the log's own sums.
    """

    name: str
    found: Activity
    covariates: Covariates
    by_arm: tuple[Moments, ...]
    sums: tuple[FloatArray, ...]
    held: UnitMetric | None = field(default=None, repr=False)

    @property
    def ratio(self) -> bool:
        """Whether it is a ratio of two sums."""
        return METRIC_LIST[self.name].kind == "ratio"

    @property
    def metric(self) -> UnitMetric:
        """What units contribute."""
        return self.held or unit_metric(self.name, self.found)

    def by_segment(self, name: str) -> tuple[tuple[Moments, ...], ...]:
        """Moments by label of a segment and then by arm."""
        units = self.found.units
        arms, labels = len(units.arms), len(units.segment_labels[name])
        metric = self.metric
        label = of_units(units.segments[name], metric.rows).astype(np.int64)
        group = np.where(label < 0, -1, label * arms + of_units(units.arm, metric.rows))
        columns = [*metric.columns, *_known(self.covariates, metric.rows)]
        parts = moments_by_group(columns, group, groups=labels * arms)
        return tuple(parts[one * arms : (one + 1) * arms] for one in range(labels))

    def by_day(self) -> ByDay | None:
        """The same by day; None for a metric whose past cannot be told from its present."""
        columns = self.covariates.columns
        if self.name in SETTLED:
            return settled_by_day(self.metric, self.found, covariates=columns)
        if self.name in GROWING and METRIC_LIST[self.name].kind != "quantile":
            return growing_by_day(GROWING[self.name].names, self.found, covariates=columns)
        return None


def metric_moments(
    names: Iterable[str], found: Activity, covariates: Covariates, *, kept: Iterable[str]
) -> dict[str, MetricMoments]:
    """Moments of metrics; those that count the same units are made in one pass over them.

    Args:
        names: of the metrics.
        found: what units did.
        covariates: of all units.
        kept: metrics of which `held` is kept.

    Returns:
        Moments by name, in the order of `names`.
    """
    names, kept = list(names), frozenset(kept)
    families: dict[object, list[str]] = {}
    for name in names:
        families.setdefault(window_of(name, found), []).append(name)
    largest_first = sorted(families.values(), key=len, reverse=True)
    parts = [partial(_family, one, found, covariates, kept=kept) for one in largest_first]
    made: dict[str, MetricMoments] = {}
    for part in side_by_side(parts, units=len(found.units)):
        made |= part
    return {name: made[name] for name in names}


def _family(
    names: Sequence[str], found: Activity, covariates: Covariates, *, kept: frozenset[str]
) -> dict[str, MetricMoments]:
    """Moments of metrics that count the same units."""
    metrics: Mapping[str, UnitMetric] = {name: unit_metric(name, found) for name in names}
    rows, arms = metrics[names[0]].rows, len(found.units.arms)
    arm = of_units(found.units.arm, rows).astype(np.intp)
    # Metrics share columns, such as the denominator of two ratios.
    distinct = {id(column): column for one in metrics.values() for column in one.columns}
    place = {which: number for number, which in enumerate(distinct)}
    known = _known(covariates, rows)
    together = moments_by_group([*distinct.values(), *known], arm, groups=arms)
    sums = {
        which: np.bincount(arm, weights=column, minlength=arms).astype(np.float64)
        for which, column in distinct.items()
    }
    counted = np.bincount(arm, minlength=arms).astype(np.float64)
    also = range(len(distinct), len(distinct) + len(known))
    return {
        name: MetricMoments(
            name,
            found,
            covariates,
            tuple(
                moments.select(*(place[id(column)] for column in metric.columns), *also)
                for moments in together
            ),
            (*(sums[id(column)] for column in metric.columns), counted),
            held=metric if name in kept else None,
        )
        for name, metric in metrics.items()
    }


def _known(covariates: Covariates, rows: AnyArray) -> list[FloatArray]:
    return [of_units(column, rows) for column in covariates.columns]
