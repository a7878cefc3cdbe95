"""All metrics of all arms against control, with their p-values corrected together."""

from collections.abc import Mapping, Sequence

import numpy as np

from matinee_platform.analysis.experiment.effects import Comparison, Pair, compare_arms
from matinee_platform.analysis.experiment.metric_list import METRIC_LIST
from matinee_platform.analysis.experiment.metric_moments import MetricMoments
from matinee_platform.analysis.experiment.plan import Plan
from matinee_platform.analysis.experiment.quantiles import compare_quantiles
from matinee_platform.analysis.inference.confidence_sequence import Tuning
from matinee_platform.analysis.inference.corrections import benjamini_hochberg, holm

Compared = dict[str, dict[str, Comparison]]
"""Comparisons by metric and arm."""


def compare_all(
    now: Mapping[str, MetricMoments], ending: Mapping[str, MetricMoments] | None, plan: Plan
) -> Compared:
    """Compare every arm with control by every metric.

    p-values of primary metrics are corrected over metrics and arms by Holm, those of all others
    together by Benjamini and Hochberg; over all that were declared, tested yet or not.

    Args:
        now: moments of each metric, by name.
        ending: the same at the declared end, None before it.
        plan: what the experiment declared.
    """
    found: Compared = {
        name: {
            arm: _compare(one, None if ending is None else ending[name], arm, plan)
            for arm in plan.treatments
            if arm in one.found.units.arms and plan.control in one.found.units.arms
        }
        for name, one in now.items()
    }
    primary = [name for name in found if plan.metrics[name] == "primary"]
    rest = [name for name in found if plan.metrics[name] != "primary"]
    _correct(found, primary, plan, by="holm")
    _correct(found, rest, plan, by="benjamini_hochberg")
    return found


def tuning_of(plan: Plan) -> Tuning:
    """The tuning of every confidence sequence of an experiment."""
    return Tuning(float(plan.settings.tuned_for_units), confidence=plan.settings.confidence)


def _compare(
    metric: MetricMoments, ending: MetricMoments | None, arm: str, plan: Plan
) -> Comparison:
    info = METRIC_LIST[metric.name]
    if info.kind == "quantile":
        return compare_quantiles(
            metric.name,
            metric.metric,
            None if ending is None else ending.metric,
            arms=_members(metric, arm, plan),
            end_arms=None if ending is None else _members(ending, arm, plan),
            confidence=plan.settings.confidence,
            fewest=plan.settings.minimum_units,
        )
    return compare_arms(
        _pair(metric, arm, plan),
        at_end=None if ending is None else _pair(ending, arm, plan),
        tuning=tuning_of(plan),
        ratio=metric.ratio,
        fewest=plan.settings.minimum_units,
        margin=plan.settings.guardrails.get(metric.name),
        higher_is_better=info.direction > 0,
    )


def _pair(metric: MetricMoments, arm: str, plan: Plan) -> Pair:
    arms = metric.found.units.arms
    return metric.by_arm[arms.index(arm)], metric.by_arm[arms.index(plan.control)]


def _members(metric: MetricMoments, arm: str, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    units = metric.found.units
    of = units.arm[metric.metric.rows]
    return of == units.arms.index(arm), of == units.arms.index(plan.control)


def _correct(found: Compared, names: Sequence[str], plan: Plan, *, by: str) -> None:
    chosen = [(name, arm) for name in names for arm in found[name]]
    if not chosen:
        return
    p_values = np.array([found[name][arm].p_value for name, arm in chosen])
    correct = holm if by == "holm" else benjamini_hochberg
    corrected = correct(p_values, family=len(names) * len(plan.treatments))
    for (name, arm), one in zip(chosen, corrected.tolist(), strict=True):
        found[name][arm] = found[name][arm].with_correction(one, by)
