"""The key figures of a live experiment at a moment, from what was folded of its log.

Units that were seen in several arms or buckets count for none, as in the analysis. A day of a unit
are 24 hours from its exposure; it is over when all of it lies before the moment. Days of active
users are those of the experiment.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee_platform.analysis.inference.sequential_srm import sequential_srm
from matinee_platform.analysis.slate_metrics import coverage
from matinee_platform.experiments.definition import HOLDOUT_ARM
from matinee_platform.kpis.experiment_fold import ExperimentFold
from matinee_platform.kpis.figures import (
    COHORT_WINDOWS,
    RETENTION_DAYS,
    WINDOWS,
    WITHIN_DAY,
    Activity,
    Drawn,
    KpiFigures,
    Returns,
)
from matinee_platform.kpis.week_by_week import WeekByWeek, newest_week, week_by_week
from matinee_platform.serving.unit_fold import DAY_MS
from matinee_policies.arrays import BoolArray


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """Key figures of an experiment.

    Attributes:
        arms: by name; the holdout if it has units.
        weeks: of the same arms.
        several: units that count for no arm.
        e_value: evidence against the split, infinite for proof; NaN for one arm.
    """

    arms: dict[str, KpiFigures]
    weeks: dict[str, WeekByWeek]
    several: int
    e_value: float


def live_figures(fold: ExperimentFold, *, now_ms: int) -> LiveFigures:
    """The figures as of a moment, or of the experiment's declared end if that was before.

    Args:
        fold: what was folded.
        now_ms: UTC milliseconds, not before the start.
    """
    units = fold.units
    upto = min(max(now_ms, fold.since_ms), fold.until_ms)
    observed = (upto - units["exposed"]) // DAY_MS
    several: BoolArray = units["several"]
    days = (upto - fold.since_ms) // DAY_MS
    week = newest_week(units, days=int(days))
    figures, weeks = {}, {}
    for place, name in enumerate(fold.arms):
        own = (units["arm"] == place) & ~several
        if name != HOLDOUT_ARM or own.any():
            figures[name] = _of_arm(fold, name, own, observed=observed, days=days)
            weeks[name] = week_by_week(units, own, week=week)
    weights = [arm.weight for arm in fold.experiment.arms]
    e_value = math.nan
    if len(weights) > 1:
        counts = [figures[arm.name].exposed for arm in fold.experiment.arms]
        e_value = float(sequential_srm(counts, weights).e_value[-1])
    return LiveFigures(figures, weeks, int(several.sum()), e_value)


def _of_arm(
    fold: ExperimentFold, name: str, own: BoolArray, *, observed: Any, days: int
) -> KpiFigures:
    units = fold.units
    came, over = units["came"][own], observed[own]

    def total(column: str) -> float:
        return float(units[column][own].sum(dtype=np.float64))

    def returns(day: int) -> Returns:
        matured = over > day
        back = (came >> np.uint64(day)) & np.uint64(1)
        return Returns(int(matured.sum()), int(back[matured].sum()))

    def cohort(window: int) -> Activity:
        matured = over >= window
        within = came[matured] & np.uint64((1 << window) - 1)
        return Activity(int(matured.sum()), int(np.bitwise_count(within).sum()))

    def activity(window: int) -> Activity:
        bits = units.active(first=days - window, last=days - 1)[own]
        return Activity(int((bits != 0).sum()), int(np.bitwise_count(bits).sum()))

    early = np.uint64(((1 << (WITHIN_DAY + 1)) - 1) & ~1)
    shown = fold.items.of_arm.get(name)
    return KpiFigures(
        exposed=int(own.sum()),
        activity={window: activity(window) for window in WINDOWS},
        cohorts={window: cohort(window) for window in COHORT_WINDOWS},
        retention={day: returns(day) for day in RETENTION_DAYS},
        returned_within=int(((came & early) != 0)[over > WITHIN_DAY].sum()),
        sessions=int(total("sessions")),
        pages=int(total("pages")),
        fallback_pages=int(total("fallback_pages")),
        impressions=int(total("impressions")),
        exploratory=int(total("exploratory")),
        clicks=int(total("clicks")),
        engagement=total("engagement"),
        diversity=total("diversity"),
        diversity_pages=int(total("diversity_pages")),
        coverage=math.nan if shown is None else coverage(shown),
        novelty=total("novelty"),
        novelty_impressions=int(total("novelty_impressions")),
        drawn=Drawn(int(total("drawn")), total("weights"), total("squared_weights")),
    )
