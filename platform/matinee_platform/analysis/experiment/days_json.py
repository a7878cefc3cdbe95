"""The effect by day: of all days so far with its confidence sequence, and of each day alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from matinee_platform.analysis.experiment.by_day import ByDay
from matinee_platform.analysis.experiment.compared import Compared, tuning_of
from matinee_platform.analysis.experiment.effects import effects_by_day, effects_of_each_day
from matinee_platform.analysis.experiment.json_numbers import plain
from matinee_platform.analysis.experiment.metric_list import SETTLED
from matinee_platform.analysis.experiment.metric_moments import MetricMoments
from matinee_platform.analysis.experiment.plan import Plan
from matinee_platform.analysis.experiment.words import ONE_LOOK
from matinee_platform.analysis.inference.effect import Effect

MOST_DAYS = 120
"""Days that are told of a longer experiment, evenly spread."""


def days_json(
    metrics: Mapping[str, MetricMoments],
    compared: Compared,
    plan: Plan,
    *,
    arms: tuple[str, ...],
    at_end: bool,
) -> dict[str, Any]:
    """Effects by day of primary metrics and guardrails, by metric and arm.

    Intervals of each day alone are for one look: there are none unless `at_end`, the declared end
    is reached.
    """
    told: dict[str, Any] = {}
    for name, metric in metrics.items():
        if plan.metrics[name] == "other" or plan.control not in arms:
            continue
        by_day = metric.by_day()
        if by_day is not None:
            told[name] = _metric(metric, by_day, compared, plan, arms=arms, at_end=at_end)
    return told


def _metric(
    metric: MetricMoments,
    by_day: ByDay,
    compared: Compared,
    plan: Plan,
    *,
    arms: tuple[str, ...],
    at_end: bool,
) -> dict[str, Any]:
    units = metric.found.units
    shown = shown_days(metric.found.looks)
    control = units.arms.index(plan.control)
    told: dict[str, Any] = {}
    for arm in arms:
        if arm == plan.control:
            continue
        place = units.arms.index(arm)
        so_far = effects_by_day(
            [by_day.so_far[place][day] for day in shown],
            [by_day.so_far[control][day] for day in shown],
            tuning=tuning_of(plan),
            ratio=metric.ratio,
            adjust=compared[metric.name][arm].cuped is not None,
            fewest=plan.settings.minimum_units,
        )
        each = effects_of_each_day(
            [by_day.each[place][day] for day in shown],
            [by_day.each[control][day] for day in shown],
            confidence=plan.settings.confidence,
            ratio=metric.ratio,
        )
        told[arm] = {"so_far": _columns(so_far), "each_day": _columns(each)}
        if not at_end:
            told[arm]["each_day"] |= dict.fromkeys(("low", "high"), [None] * len(shown))
    return {
        "day": [day + 1 for day in shown],
        "each_day_is": "cohort" if metric.name in SETTLED else "activity",
        "each_day_reason": "" if at_end else ONE_LOOK,
        "arms": told,
    }


def shown_days(days: int) -> list[int]:
    """At most `MOST_DAYS` days, the last one among them.

    Example:
        >>> shown_days(3), len(shown_days(1_000)), shown_days(1_000)[-1]
        ([0, 1, 2], 120, 999)
    """
    spread = np.linspace(0, days - 1, num=min(days, MOST_DAYS))
    return np.unique(np.round(spread).astype(np.int64)).tolist() if days else []


def _columns(effects: Sequence[Effect]) -> dict[str, list[float | None]]:
    return {
        "difference": [plain(one.difference) for one in effects],
        "low": [plain(one.low) for one in effects],
        "high": [plain(one.high) for one in effects],
    }
