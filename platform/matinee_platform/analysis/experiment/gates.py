"""The gates of an experiment, from its units: what must hold before a metric is believed."""

import math

import numpy as np

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.experiment.plan import Plan
from matinee_platform.analysis.inference.gates import (
    Gate,
    Outcome,
    days_gate,
    several_arms_gate,
    split_gate,
    units_gate,
)
from matinee_platform.analysis.unit_days.records import UnitDays

LARGEST_FALLBACK_SHARE = 0.01
"""Share of pages that the fallback may answer before it is told."""


def gates_of(found: Activity, plan: Plan) -> tuple[Gate, ...]:
    """All gates, in the order in which they are read.

    Args:
        found: what its units did.
        plan: what it declared.
    """
    units = found.units
    names = tuple(plan.weights)
    counts = _exposed_by_day(found, names)
    now = [int(one) for one in counts[-1]] if counts else [0] * len(names)
    several = int(units.several_arms.size)
    return (
        split_gate(
            counts,
            list(plan.weights.values()),
            running=plan.running,
            end=plan.horizon_days if plan.ended(units.days) else None,
        ),
        several_arms_gate(several, sum(now) + several),
        units_gate(now, names, fewest=plan.settings.minimum_units),
        days_gate(units.days, fewest=plan.settings.minimum_days),
        _fallback_gate(found, names),
        _orphan_gate(units),
    )


def _exposed_by_day(found: Activity, names: tuple[str, ...]) -> list[list[int]]:
    """Units of each arm exposed so far, at the end of each day."""
    units = found.units
    place = {name: units.arms.index(name) for name in names if name in units.arms}
    counts = np.zeros((found.looks, len(names)), dtype=np.int64)
    for column, name in enumerate(names):
        if name in place:
            exposed = units.exposed_on[units.arm == place[name]]
            counts[:, column] = np.bincount(exposed, minlength=found.looks)
    so_far: list[list[int]] = np.cumsum(counts, axis=0).tolist()
    return so_far


def _fallback_gate(found: Activity, names: tuple[str, ...]) -> Gate:
    """Whether the policies chose their pages; the arm of a fallback page is kept."""
    worst, arm = 0.0, ""
    pages, fallbacks = found.arm_totals("pages"), found.arm_totals("fallbacks")
    for place, name in enumerate(found.units.arms):
        share = fallbacks[place] / pages[place] if pages[place] and name in names else 0.0
        if share > worst:
            worst, arm = share, name
    warned = worst > LARGEST_FALLBACK_SHARE
    words = f"{worst:.2%} of the pages of {arm} came from the fallback".replace("%", " %")
    if not arm:
        words = "every page was chosen by its arm's policy"
    elif warned:
        words += ", and count for their arm: differences are smaller than those of the policies"
    return Gate(
        "fallback",
        Outcome.WARNED if warned else Outcome.PASSED,
        worst,
        LARGEST_FALLBACK_SHARE,
        words,
    )


def _orphan_gate(units: UnitDays) -> Gate:
    orphans = units.orphan_rewards
    words = (
        f"{orphans:,} rewards name a decision that is not in the log, or a slot that showed "
        "nothing; they count for no arm"
    )
    if not orphans:
        words = "every reward has its decision and its slot"
    return Gate(
        "orphan rewards", Outcome.WARNED if orphans else Outcome.PASSED, orphans, math.nan, words
    )
