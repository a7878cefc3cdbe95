"""What an experiment says: one JSON document from what its units did and what it declared.

A pure function: the same units and plan give the same document, whatever log they came from.
"""

from functools import partial
from typing import Any

import numpy as np

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.experiment.compared import Compared, compare_all
from matinee_platform.analysis.experiment.covariates import covariates_of
from matinee_platform.analysis.experiment.days_json import days_json
from matinee_platform.analysis.experiment.effects import Comparison, Estimate
from matinee_platform.analysis.experiment.gates import gates_of
from matinee_platform.analysis.experiment.json_numbers import interval_json, plain
from matinee_platform.analysis.experiment.metric_list import METRIC_LIST, SETTLED
from matinee_platform.analysis.experiment.metric_moments import MetricMoments, metric_moments
from matinee_platform.analysis.experiment.plan import Plan
from matinee_platform.analysis.experiment.quantiles import quantile_of
from matinee_platform.analysis.experiment.retention_table import retention_curves, retention_table
from matinee_platform.analysis.experiment.segments import segments_json
from matinee_platform.analysis.experiment.survival import survival_of
from matinee_platform.analysis.experiment.until_day import until_day
from matinee_platform.analysis.experiment.verdict import verdict_json
from matinee_platform.analysis.experiment.words import ONE_LOOK
from matinee_platform.analysis.inference.gates import Gate
from matinee_platform.analysis.inference.non_inferiority import NonInferiority, Verdict
from matinee_platform.analysis.inference.ratio import linearise
from matinee_platform.analysis.side_by_side import side_by_side
from matinee_platform.analysis.unit_days.records import UnitDays

SCHEMA_VERSION = 1
"""Of the document; it rises when a field changes its meaning or goes."""

GUARDRAIL_WORDS = {Verdict.HELD: "safe", Verdict.BROKEN: "harmed", Verdict.OPEN: "unclear"}
"""How a guardrail's outcome is told."""


def analyse_experiment(units: UnitDays, plan: Plan) -> dict[str, Any]:
    """Analyse an experiment.

    Args:
        units: what its units did.
        plan: what it declared.

    Returns:
        JSON values: the `verdict` in words, `gates`, `arms`, `metrics` (values of the arms, effects
        with their intervals and corrections), `by_day` for primary metrics and guardrails,
        `segments`, `retention` and `survival`. docs/statistics.md explains every method.
    """
    days = units.days
    at_end = plan.ended(days)
    found, covariates = Activity(units), covariates_of(units)
    now = metric_moments(
        plan.metrics,
        found,
        covariates,
        kept=(name for name, role in plan.metrics.items() if role != "other"),
    )
    ending = None
    if plan.horizon_days is not None and at_end:
        ending = now
        if found.looks > plan.horizon_days:
            then = until_day(units, plan.horizon_days)
            ending = metric_moments(
                plan.metrics, Activity(then), covariates_of(then), kept=plan.settings.primary
            )
    compared = compare_all(now, ending, plan)
    gates = gates_of(found, plan)
    arms = tuple(name for name in plan.weights if name in units.arms)
    by_day, segments, retention, survival = side_by_side(
        [
            partial(days_json, now, compared, plan, arms=arms, at_end=at_end),
            partial(segments_json, now, ending, plan, arms=arms),
            partial(_retention_json, found, plan, arms=arms, at_end=at_end),
            partial(survival_of, found, plan, at_end=at_end),
        ],
        units=len(units),
    )
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "experiment": plan.experiment,
        "control": plan.control,
        "running": plan.running,
        "full_days": days,
        "horizon_days": plan.horizon_days,
        "at_declared_end": at_end,
        "interval": "fixed" if at_end else "anytime",
        "confidence": plan.settings.confidence,
        "declared": plan.settings.model_dump(mode="json"),
        "covariates": list(covariates.names),
        "gates": [_gate_json(gate) for gate in gates],
        "arms": _arms_json(found, plan),
        "metrics": {
            name: _metric_json(one, plan, compared, arms=arms) for name, one in now.items()
        },
        "by_day": by_day,
        "segments": segments,
        "retention": retention,
        "survival": survival,
    }
    return {"verdict": verdict_json(document, plan), **document}


def _retention_json(
    found: Activity, plan: Plan, *, arms: tuple[str, ...], at_end: bool
) -> dict[str, Any]:
    return {
        "metrics": retention_table(found, arms),
        "curves": retention_curves(found, arms, confidence=plan.settings.confidence, at_end=at_end),
        "reason": "" if at_end else ONE_LOOK,
    }


def _gate_json(gate: Gate) -> dict[str, Any]:
    return {
        "name": gate.name,
        "outcome": str(gate.outcome),
        "value": plain(gate.value),
        "limit": plain(gate.limit),
        "words": gate.words,
    }


def _arms_json(found: Activity, plan: Plan) -> dict[str, Any]:
    units = found.units
    counts = ("sessions", "pages", "impressions", "clicks", "fallbacks")
    sums = {name: found.arm_totals(name) for name in (*counts, "engagement")}
    exposed = np.bincount(units.arm, minlength=len(units.arms)).tolist()
    told: dict[str, Any] = {}
    for name, weight in plan.weights.items():
        there = name in units.arms
        place = units.arms.index(name) if there else 0
        told[name] = {"weight": weight, "units": exposed[place] if there else 0}
        told[name] |= {one: int(sums[one][place]) if there else 0 for one in counts}
        told[name]["engagement"] = plain(sums["engagement"][place]) if there else 0.0
    return told


def _metric_json(
    metric: MetricMoments, plan: Plan, compared: Compared, *, arms: tuple[str, ...]
) -> dict[str, Any]:
    info = METRIC_LIST[metric.name]
    return {
        "title": info.title,
        "kind": info.kind,
        "unit": info.unit,
        "direction": info.direction,
        "role": plan.metrics[metric.name],
        "settled": metric.name in SETTLED,
        "explains": info.explains,
        "margin": plan.settings.guardrails.get(metric.name),
        "arms": {name: _value_json(metric, name) for name in arms},
        "effects": {
            arm: _comparison_json(one, alpha=1 - plan.settings.confidence)
            for arm, one in compared[metric.name].items()
        },
    }


def _value_json(metric: MetricMoments, arm: str) -> dict[str, Any]:
    units = metric.found.units
    moments = metric.by_arm[units.arms.index(arm)]
    if METRIC_LIST[metric.name].kind == "quantile":
        of_arm = units.arm[metric.metric.rows] == units.arms.index(arm)
        value = quantile_of(metric.name, metric.metric.columns[0][of_arm])
        return {"value": plain(value), "units": moments.n, "standard_error": None}
    mean = linearise(moments.select(0, 1)) if metric.ratio else moments.select(0)
    return {
        "value": plain(mean.value),
        "units": moments.n,
        "standard_error": plain(np.sqrt(mean.error2)),
        **_sums(metric, arm),
    }


def _sums(metric: MetricMoments, arm: str) -> dict[str, Any]:
    """What a value is a quotient of."""
    place = metric.found.units.arms.index(arm)
    *sums, units = (float(column[place]) for column in metric.sums)
    return {
        "numerator": plain(sums[0]),
        "denominator": plain(sums[1]) if metric.ratio else int(units),
    }


def _comparison_json(found: Comparison, *, alpha: float) -> dict[str, Any]:
    shown = found.judged.shown
    return {
        **_estimate_json(found.plain),
        "cuped": None
        if found.cuped is None
        else {**_estimate_json(found.cuped), "variance_reduction": plain(found.reduction)},
        "judged": {
            "method": "plain" if found.cuped is None else "cuped",
            "interval": "anytime" if found.judged.fixed is None else "fixed",
            "difference": plain(shown.difference),
            "relative": plain(shown.relative),
            **interval_json(shown),
            "correction": found.correction,
            "corrected_p_value": plain(found.corrected),
            "significant": found.significant(alpha),
        },
        "guardrail": None if found.guardrail is None else _guardrail_json(found.guardrail),
    }


def _estimate_json(found: Estimate) -> dict[str, Any]:
    return {
        "difference": plain(found.anytime.difference),
        "relative": plain(found.anytime.relative),
        "anytime": interval_json(found.anytime),
        "fixed": None
        if found.fixed is None
        else {
            "difference": plain(found.fixed.difference),
            "relative": plain(found.fixed.relative),
            **interval_json(found.fixed),
        },
    }


def _guardrail_json(found: NonInferiority) -> dict[str, Any]:
    return {
        "outcome": GUARDRAIL_WORDS[found.verdict],
        "loss": plain(found.loss),
        "margin": plain(found.margin),
        "loss_low": plain(found.loss_low),
        "loss_high": plain(found.loss_high),
        "p_value": plain(found.p_value),
        "reason": found.reason,
    }
