"""The scorecard of an experiment: per arm what happened, and the difference to control.

Pure assembly of the other modules into JSON values; numbers that do not exist are null.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from matinee_platform.analysis import retention
from matinee_platform.analysis.compare import (
    difference_of_means,
    linearised,
    paired_difference,
)
from matinee_platform.analysis.inference.effect import Effect
from matinee_platform.analysis.retention import UnitValues
from matinee_platform.analysis.slate_metrics import SlateMetrics
from matinee_platform.analysis.srm import srm_p_value
from matinee_platform.analysis.unit_table import UnitTable
from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.errors import ContextError

RETENTION: dict[str, Callable[[UnitTable], UnitValues]] = {
    "d1": lambda table: retention.classic(table, 1),
    "d7": lambda table: retention.classic(table, 7),
    "d28": lambda table: retention.classic(table, 28),
    "d28_smoothed": retention.smoothed,
    "returned_within_7": lambda table: retention.within(table, 7),
}
"""Retention metrics by name: the return of each matured unit."""

METRICS: dict[str, Callable[[UnitTable], UnitValues]] = {
    "ctr": lambda table: _per_unit(
        table, linearised(table.clicks.astype(np.float64), table.impressions.astype(np.float64))
    ),
    "engagement_per_user": lambda table: _per_unit(table, table.engagement),
    "sessions_per_user": lambda table: _per_unit(table, table.sessions),
    **RETENTION,
}
"""Metrics that arms are compared by: a value per unit whose mean is the arm's value."""


def scorecard(
    arms: Mapping[str, UnitTable],
    *,
    slates: Mapping[str, SlateMetrics],
    weights: Mapping[str, float],
    control: str,
    paired: bool = False,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Sum up an experiment.

    Args:
        arms: units of each arm, by the arm's name.
        slates: slate metrics of each arm.
        weights: declared share of each arm, summing to one.
        control: name of the arm to compare with.
        paired: whether every unit went through every arm (simulation only): then differences are
            between the same units, and the sample ratio says nothing.
        confidence: of the intervals, within (0, 1).

    Returns:
        JSON values: `control`, `confidence`, `paired`, `srm_p_value`, `units_in_several_arms`, and
        `arms` with, per name, the values, their `standard_errors` by unit, retention with numerator
        and denominator, slate metrics and `difference` (by metric: difference, low, high, relative,
        p_value; null for control).

    Raises:
        ContextError: when the names of arms do not agree.
        ConfigError: on weights or a confidence that break their rule.
    """
    names = list(arms)
    if control not in arms or set(slates) != set(names) or set(weights) != set(names):
        raise ContextError(
            f"arms, slates and weights must name the same arms and the control {control!r}, "
            f"got {', '.join(names)}; {', '.join(slates)}; {', '.join(weights)}"
        )
    values = {name: _metric_values(table) for name, table in arms.items()}
    counts = [len(arms[name]) for name in names]
    srm = math.nan if paired else srm_p_value(counts, [weights[name] for name in names])
    return {
        "control": control,
        "confidence": confidence,
        "paired": paired,
        "srm_p_value": _json(srm),
        "units_in_several_arms": units_in_several_arms(list(arms.values())),
        "arms": {
            name: {
                **_arm_values(table, values[name], slates[name]),
                "difference": None
                if name == control
                else {
                    metric: _difference_json(
                        compare(values[name][metric], values[control][metric], paired, confidence)
                    )
                    for metric in METRICS
                },
            }
            for name, table in arms.items()
        },
    }


def compare(treatment: UnitValues, control: UnitValues, paired: bool, confidence: float) -> Effect:
    """Difference of one metric between two arms; `paired` keeps the units that are in both."""
    if not paired:
        return difference_of_means(treatment.values, control.values, confidence=confidence)
    _, left, right = np.intersect1d(
        treatment.unit, control.unit, assume_unique=True, return_indices=True
    )
    return paired_difference(treatment.values[left], control.values[right], confidence=confidence)


def units_in_several_arms(tables: list[UnitTable]) -> int:
    """How many units were exposed to more than one arm."""
    units = np.concatenate([table.unit for table in tables])
    return int((np.unique(units, return_counts=True)[1] > 1).sum())


def _metric_values(table: UnitTable) -> dict[str, UnitValues]:
    return {name: metric(table) for name, metric in METRICS.items()}


def _arm_values(
    table: UnitTable, values: Mapping[str, UnitValues], slates: SlateMetrics
) -> dict[str, Any]:
    users = len(table)
    rates = {name: retention.rate_of(values[name], exposed=users) for name in RETENTION}
    return {
        "users": users,
        "sessions": int(table.sessions.sum()),
        "pages": int(table.pages.sum()),
        "impressions": int(table.impressions.sum()),
        "clicks": int(table.clicks.sum()),
        "orphan_rewards": table.orphan_rewards,
        "ctr": _ratio(table.clicks.sum(), table.impressions.sum()),
        "engagement_per_user": _ratio(table.engagement.sum(), users),
        "sessions_per_user": _ratio(table.sessions.sum(), users),
        **{
            name: {
                "returned": _json(rate.returned),
                "eligible": rate.eligible,
                "rate": _json(rate.rate),
                "matured": _json(rate.matured),
            }
            for name, rate in rates.items()
        },
        "standard_errors": {name: _json(_error(found.values)) for name, found in values.items()},
        "ild": _json(slates.intra_list_diversity),
        "coverage": _json(slates.coverage),
        "gini": _json(slates.gini),
        "novelty": _json(slates.novelty),
    }


def _difference_json(found: Effect) -> dict[str, float | None]:
    return {
        "difference": _json(found.difference),
        "low": _json(found.low),
        "high": _json(found.high),
        "relative": _json(found.relative),
        "p_value": _json(found.p_value),
    }


def _error(values: FloatArray) -> float:
    """Standard error of the mean of the units, NaN for less than two."""
    return float(values.std(ddof=1) / math.sqrt(values.size)) if values.size > 1 else math.nan


def _per_unit(table: UnitTable, values: AnyArray) -> UnitValues:
    return UnitValues(table.unit, values.astype(np.float64))


def _ratio(numerator: float, denominator: float) -> float | None:
    return float(numerator / denominator) if denominator else None


def _json(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
