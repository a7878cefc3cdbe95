"""Who stays: survival until silence by arm, its restricted mean, and the test between arms."""

import math
from typing import Any

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.experiment.json_numbers import interval_json, plain
from matinee_platform.analysis.experiment.lifetimes import life_tables
from matinee_platform.analysis.experiment.plan import Plan
from matinee_platform.analysis.experiment.words import ONE_LOOK
from matinee_platform.analysis.inference.effect import no_effect
from matinee_platform.analysis.inference.kaplan_meier import kaplan_meier
from matinee_platform.analysis.inference.life_table import LifeTable
from matinee_platform.analysis.inference.log_rank import log_rank
from matinee_platform.analysis.inference.restricted_mean import (
    restricted_mean,
    restricted_mean_difference,
)


def survival_of(found: Activity, plan: Plan, *, at_end: bool) -> dict[str, Any]:
    """Survival curves of the arms, and each arm against control.

    Args:
        found: what units did.
        plan: what the experiment declared.
        at_end: whether the declared end is reached: intervals and tests are for one look, so that
            before it curves and means stand alone.
    """
    settings = plan.settings
    tables = life_tables(found, silence=settings.silence_days)
    by_arm = {
        name: tables[found.units.arms.index(name)]
        for name in plan.weights
        if name in found.units.arms
    }
    control = by_arm.get(plan.control)
    horizon = _horizon(by_arm, settings.survival_days)
    arms: dict[str, Any] = {}
    for name, table in by_arm.items():
        arms[name] = _curve(table, horizon=horizon, confidence=settings.confidence)
        if not at_end:
            arms[name] |= dict.fromkeys(("low", "high"), [None] * len(arms[name]["survival"]))
        arms[name]["difference"] = None
        if control is not None and name != plan.control and horizon:
            arms[name]["difference"] = _difference(
                table, control, horizon=horizon, confidence=settings.confidence, at_end=at_end
            )
    return {
        "silence_days": settings.silence_days,
        "mean_over_days": horizon or None,
        "explains": "Share of units that have not fallen silent for "
        f"{settings.silence_days} days in a row, by day since exposure; the mean is of the days "
        "before that, out of the first so many. Both are for the end, not for daily looks.",
        "reason": "" if at_end else ONE_LOOK,
        "arms": arms,
    }


def _horizon(tables: dict[str, LifeTable], declared: int) -> int:
    """Days up to which every arm was followed, at most the declared ones; 0 for none."""
    followed = [table.events.size for table in tables.values()]
    return min([declared, *followed]) if followed else 0


def _curve(table: LifeTable, *, horizon: int, confidence: float) -> dict[str, Any]:
    curve = kaplan_meier(table, confidence=confidence)
    mean, variance = restricted_mean(table, horizon=horizon) if horizon else (float("nan"),) * 2
    return {
        "units": table.units,
        "left": int(table.events.sum()),
        "at_risk": curve.at_risk.tolist(),
        "survival": [plain(one) for one in curve.survival],
        "low": [plain(one) for one in curve.low],
        "high": [plain(one) for one in curve.high],
        "mean_days": plain(mean),
        "standard_error": plain(variance**0.5),
    }


def _difference(
    treatment: LifeTable, control: LifeTable, *, horizon: int, confidence: float, at_end: bool
) -> dict[str, Any]:
    mean = restricted_mean_difference(treatment, control, horizon=horizon, confidence=confidence)
    p_value = log_rank(treatment, control).p_value if at_end else math.nan
    if not at_end:
        mean = no_effect(mean.treatment, mean.control, method=mean.method, reason=ONE_LOOK)
    return {
        "mean_days": {
            "difference": plain(mean.difference),
            "relative": plain(mean.relative),
            **interval_json(mean),
        },
        "log_rank_p_value": plain(p_value),
    }
