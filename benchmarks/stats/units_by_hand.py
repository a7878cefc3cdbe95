"""Units of an experiment written by hand, or drawn, and a plan for them: what tests analyse."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from matinee_platform.analysis.experiment.plan import Plan
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis_settings import AnalysisSettings

DAY_MS = 86_400_000


def by_hand(
    visits: Sequence[tuple[str, int, Sequence[int]]],
    *,
    days: int,
    arms: tuple[str, ...] = ("old", "new"),
    **changes: Any,
) -> UnitDays:
    """Units given as (arm, day of exposure, active days since exposure)."""
    rows = [(u, day, first + day) for u, (_, first, on) in enumerate(visits) for day in on]
    unit, day, calendar = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    exposed_on = np.array([first for _, first, _ in visits], dtype=np.int32)
    ones = np.ones(unit.size, dtype=np.int32)
    made = UnitDays(
        arms=arms,
        unit=np.arange(len(visits), dtype=np.uint64),
        arm=np.array([arms.index(arm) for arm, _, _ in visits], dtype=np.int16),
        exposed_at=exposed_on.astype(np.int64) * DAY_MS,
        exposed_on=exposed_on,
        observed=(days - exposed_on).astype(np.int32),
        covariates={},
        segments={},
        segment_labels={},
        row_unit=unit,
        row_day=day,
        row_calendar_day=calendar,
        sessions=ones,
        pages=2 * ones,
        impressions=20 * ones.astype(np.int64),
        clicks=ones.astype(np.int64),
        engagement=0.5 * ones.astype(np.float64),
        fallbacks=0 * ones,
        days=days,
        several_arms=np.zeros(0, dtype=np.uint64),
    )
    return replace(made, **changes)


def drawn(n: int = 3_000, *, days: int = 21, lift: float = 0.08, seed: int = 4) -> UnitDays:
    """Units that come by chance, more of them in arm `new`, with what was known of most before."""
    rng = np.random.default_rng(seed)
    liking = rng.beta(2.0, 4.0, n)
    arm = rng.integers(0, 2, n)
    visits = [
        (
            ("old", "new")[arm[unit]],
            int(first),
            [
                0,
                *(
                    1
                    + np.flatnonzero(rng.random(days - 1 - first) < liking[unit] + lift * arm[unit])
                ),
            ],
        )
        for unit, first in enumerate(rng.integers(0, 5, n))
    ]
    units = by_hand(visits, days=days)
    rows = units.row_unit.size
    clicks = rng.binomial(20, 0.1 + 0.1 * liking[units.row_unit]).astype(np.int64)
    history = 10 * liking + rng.normal(0, 0.5, n)
    history[rng.random(n) < 0.25] = np.nan
    return replace(
        units,
        clicks=clicks,
        engagement=clicks * rng.random(rows),
        covariates={"history": history},
        segments={"new": np.isnan(history).astype(np.int16)},
        segment_labels={"new": ("known", "new")},
    )


def plan_of(**settings: Any) -> Plan:
    """Two even arms, with settings of the analysis, `horizon_days` and `running`."""
    horizon = settings.pop("horizon_days", 21)
    running = settings.pop("running", False)
    return Plan(
        experiment="trial",
        control="old",
        weights={"old": 0.5, "new": 0.5},
        settings=AnalysisSettings.model_validate(settings),
        running=running,
        horizon_days=horizon,
    )
