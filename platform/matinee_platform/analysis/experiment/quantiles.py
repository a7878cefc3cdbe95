"""Differences of quantiles over units; they have an interval at the declared end alone."""

import math

import numpy as np

from matinee_platform.analysis.experiment.effects import Comparison, Estimate
from matinee_platform.analysis.experiment.metric_list import QUANTILES
from matinee_platform.analysis.experiment.unit_metrics import UnitMetric
from matinee_platform.analysis.inference.effect import Effect, no_effect, too_few
from matinee_platform.analysis.inference.quantile import quantile_difference
from matinee_policies.arrays import AnyArray, FloatArray

_SEED = 8
_NONE = "a quantile has no interval that holds at every look; it is shown at the declared end"


def quantile_of(name: str, values: FloatArray) -> float:
    """The quantile of a metric; NaN without units."""
    return float(np.quantile(values, QUANTILES[name])) if values.size else math.nan


def compare_quantiles(
    name: str,
    now: UnitMetric,
    at_end: UnitMetric | None,
    *,
    arms: tuple[AnyArray, AnyArray],
    end_arms: tuple[AnyArray, AnyArray] | None,
    confidence: float,
    fewest: int = 2,
) -> Comparison:
    """Compare a quantile of an arm with that of control.

    Args:
        name: of the metric.
        now: values of all units.
        at_end: values at the declared end, None before it.
        arms: which of the values of `now` are of treatment and of control, `bool` each.
        end_arms: the same of `at_end`.
        confidence: of the interval, within (0, 1).
        fewest: units that each arm must have for an interval.
    """
    parts = tuple(now.columns[0][arm] for arm in arms)
    values = tuple(quantile_of(name, part) for part in parts)
    fixed: Effect | None = None
    if at_end is not None and end_arms is not None:
        first, second = (at_end.columns[0][arm] for arm in end_arms)
        reason = too_few(first.size, second.size, fewest=fewest)
        fixed = (
            no_effect(
                quantile_of(name, first), quantile_of(name, second), method="none", reason=reason
            )
            if reason
            else quantile_difference(
                first, second, quantile=QUANTILES[name], seed=_SEED, confidence=confidence
            )
        )
    anytime = no_effect(values[0], values[1], method="bootstrap", reason=_NONE)
    return Comparison(Estimate(anytime, fixed), None, math.nan)
