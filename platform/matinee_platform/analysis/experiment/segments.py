"""Primary metrics within groups of units that were declared before, corrected together."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from matinee_platform.analysis.experiment.compared import tuning_of
from matinee_platform.analysis.experiment.effects import Comparison, compare_arms
from matinee_platform.analysis.experiment.json_numbers import interval_json, plain
from matinee_platform.analysis.experiment.metric_list import METRIC_LIST
from matinee_platform.analysis.experiment.metric_moments import MetricMoments
from matinee_platform.analysis.experiment.plan import Plan
from matinee_platform.analysis.inference.corrections import benjamini_hochberg
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.unit_days.records import UnitDays

_Key = tuple[str, str, str, str]
"""Segment, label, metric, arm."""


def segments_json(
    now: Mapping[str, MetricMoments],
    ending: Mapping[str, MetricMoments] | None,
    plan: Plan,
    *,
    arms: tuple[str, ...],
) -> dict[str, Any]:
    """Effects of primary metrics in each group, by segment, label, metric and arm.

    Groups without `minimum_units` units in both arms are told without an interval. A declared
    segment that the log does not know is told as missing.
    """
    units = next(iter(now.values())).found.units
    told: dict[str, Any] = {}
    compared: dict[_Key, Comparison] = {}
    for segment in plan.settings.segments:
        if segment not in units.segments:
            told[segment] = {"missing": True, "labels": {}}
            continue
        labels = units.segment_labels[segment]
        told[segment] = {"missing": False, "labels": {}}
        counts = _units_of(units, segment, arms)
        for number, label in enumerate(labels):
            if any(counts[number].values()):
                told[segment]["labels"][label] = {"units": counts[number], "metrics": {}}
        for name in plan.settings.primary:
            before = now[name].by_segment(segment)
            after = None if ending is None else ending[name].by_segment(segment)
            for number, label in enumerate(labels):
                if label in told[segment]["labels"]:
                    then = None if after is None else after[number]
                    found = _compare(now[name], before[number], then, plan, arms=arms)
                    compared |= {(segment, label, name, arm): one for arm, one in found.items()}
    groups = sum(len(units.segment_labels[one]) for one in told if not told[one]["missing"])
    family = groups * len(plan.settings.primary) * len(plan.treatments)
    for key, one in _corrected(compared, family=family).items():
        segment, label, name, arm = key
        by_metric = told[segment]["labels"][label]["metrics"]
        by_metric.setdefault(name, {})[arm] = _json(one, alpha=1 - plan.settings.confidence)
    return told


def _units_of(units: UnitDays, segment: str, arms: tuple[str, ...]) -> list[dict[str, int]]:
    """Units of each label by arm."""
    labels, every = len(units.segment_labels[segment]), len(units.arms)
    label = units.segments[segment]
    key = np.where(label < 0, labels, label).astype(np.intp) * every + units.arm
    counts = np.bincount(key, minlength=(labels + 1) * every).reshape(-1, every)[:labels]
    return [{arm: int(row[units.arms.index(arm)]) for arm in arms} for row in counts]


def _compare(
    metric: MetricMoments,
    now: tuple[Moments, ...],
    ending: tuple[Moments, ...] | None,
    plan: Plan,
    *,
    arms: tuple[str, ...],
) -> dict[str, Comparison]:
    """Each arm against control within one group, where both have enough units."""
    every = metric.found.units.arms
    if plan.control not in arms:
        return {}
    control = every.index(plan.control)
    found = {}
    for arm in arms:
        place = every.index(arm)
        enough = min(now[place].n, now[control].n) >= plan.settings.minimum_units
        if arm != plan.control and enough:
            found[arm] = compare_arms(
                (now[place], now[control]),
                at_end=None if ending is None else (ending[place], ending[control]),
                tuning=tuning_of(plan),
                ratio=metric.ratio,
                fewest=plan.settings.minimum_units,
                higher_is_better=METRIC_LIST[metric.name].direction > 0,
            )
    return found


def _corrected(compared: Mapping[_Key, Comparison], *, family: int) -> dict[_Key, Comparison]:
    if not compared:
        return {}
    p_values = np.array([one.p_value for one in compared.values()])
    corrected = benjamini_hochberg(p_values, family=family).tolist()
    return {
        key: one.with_correction(value, "benjamini_hochberg")
        for (key, one), value in zip(compared.items(), corrected, strict=True)
    }


def _json(found: Comparison, *, alpha: float) -> dict[str, Any]:
    shown = found.judged.shown
    return {
        "treatment": plain(shown.treatment),
        "control": plain(shown.control),
        "difference": plain(shown.difference),
        "relative": plain(shown.relative),
        **interval_json(shown),
        "corrected_p_value": plain(found.corrected),
        "significant": found.significant(alpha),
    }
