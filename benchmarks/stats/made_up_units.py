"""Made-up units whose true means, ratios and shares are known in closed form."""

from dataclasses import dataclass

import numpy as np

from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_policies.arrays import BoolArray, FloatArray, Int64Array

CLASS_SHARE = np.array([0.5, 0.35, 0.15])
"""Units are idle, usual or keen: the busier, the likelier to click and to stay."""

ACTIVITY = np.array([0.2, 1.0, 4.0])
CLICK_RATE = np.array([0.05, 0.10, 0.15])
STAY_RATE = np.array([0.2, 0.5, 0.8])
LEAVE_HAZARD = np.array([0.3, 0.1, 0.03])
"""By day, of leaving for good."""

HORIZON = 14
"""Days of the restricted mean."""

SHOWN_A_VISIT = 10
NEW_SHARE = 0.3
"""Of units of which nothing was known before."""

WATCH_MEDIAN = 20.0


@dataclass(frozen=True, slots=True)
class Units:
    """One arm.

    Attributes:
        sessions: visits, `float64 [n]`.
        impressions: items shown, `float64 [n]`.
        clicks: items clicked, `float64 [n]`.
        stayed: whether the unit came back, 0 or 1, `float64 [n]`.
        watched: minutes, heavy-tailed, `float64 [n]`.
        before: visits before the experiment, NaN for new units, `float64 [n]`.
        lasted: days until the unit left or its data ended, `int64 [n]`.
        left: whether it left, `bool [n]`.
    """

    sessions: FloatArray
    impressions: FloatArray
    clicks: FloatArray
    stayed: FloatArray
    watched: FloatArray
    before: FloatArray
    lasted: Int64Array
    left: BoolArray


@dataclass(frozen=True, slots=True)
class Truth:
    """What an arm of endless many units would show.

    Attributes:
        clicks: mean by unit.
        ctr: of all items together.
        stayed: share of units.
        watched: median.
        lasted: days out of the first `HORIZON` before a unit leaves, mean.
    """

    clicks: float
    ctr: float
    stayed: float
    watched: float
    lasted: float


def made_up(rng: np.random.Generator, n: int, *, lift: float = 0.0) -> Units:
    """Draw an arm of `n` units.

    Args:
        rng: of the draws.
        n: units.
        lift: share that clicks, returns and minutes are up by, and the hazard of leaving down.
    """
    kind = rng.choice(3, size=n, p=CLASS_SHARE)
    sessions = 1 + rng.poisson(4 * ACTIVITY[kind])
    impressions = SHOWN_A_VISIT * sessions
    before = rng.poisson(5 * ACTIVITY[kind]).astype(np.float64)
    before[rng.random(n) < NEW_SHARE] = np.nan
    leaves = rng.geometric(LEAVE_HAZARD[kind] * (1 - lift)) - 1
    ends = rng.integers(HORIZON // 2, 2 * HORIZON, size=n)
    return Units(
        sessions=sessions.astype(np.float64),
        impressions=impressions.astype(np.float64),
        clicks=rng.binomial(impressions, CLICK_RATE[kind] * (1 + lift)).astype(np.float64),
        stayed=(rng.random(n) < STAY_RATE[kind] * (1 + lift)).astype(np.float64),
        watched=WATCH_MEDIAN * (1 + lift) * rng.lognormal(0.0, 1.0, n),
        before=before,
        lasted=np.minimum(leaves, ends).astype(np.int64),
        left=leaves <= ends,
    )


def truth(*, lift: float = 0.0) -> Truth:
    """The expectations of `made_up`."""
    shown = SHOWN_A_VISIT * (1 + 4 * ACTIVITY)
    kept = 1 - LEAVE_HAZARD * (1 - lift)
    clicks = float((CLASS_SHARE * shown * CLICK_RATE).sum()) * (1 + lift)
    return Truth(
        clicks=clicks,
        ctr=clicks / float((CLASS_SHARE * shown).sum()),
        stayed=float((CLASS_SHARE * STAY_RATE).sum()) * (1 + lift),
        watched=WATCH_MEDIAN * (1 + lift),
        lasted=float((CLASS_SHARE[:, None] * kept[:, None] ** np.arange(1, HORIZON + 1)).sum()),
    )


def made_up_log(seed: int, *, units: int, days: int = 35) -> UnitDays:
    """A log of made-up units who arrive within a week and come as often as they like."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, size=units, p=CLASS_SHARE)
    exposed = rng.integers(0, 7, size=units)
    came = rng.random((units, days)) < (0.1 + 0.2 * ACTIVITY[kind] / 4)[:, None]
    came[np.arange(units), exposed] = True
    came &= np.arange(days) >= exposed[:, None]
    row_unit, row_calendar = np.nonzero(came)
    pages = 1 + rng.poisson(1.0, row_unit.size)
    impressions = SHOWN_A_VISIT * pages
    clicks = rng.binomial(impressions, CLICK_RATE[kind[row_unit]])
    before = rng.poisson(5 * ACTIVITY[kind]).astype(np.float64)
    before[rng.random(units) < NEW_SHARE] = np.nan
    return UnitDays(
        arms=("a", "b"),
        unit=np.sort(rng.choice(2**62, size=units, replace=False)).astype(np.uint64),
        arm=rng.integers(0, 2, units).astype(np.int16),
        exposed_at=exposed.astype(np.int64) * 86_400_000,
        exposed_on=exposed.astype(np.int32),
        observed=(days - exposed).astype(np.int32),
        covariates={"history": before},
        segments={},
        segment_labels={},
        row_unit=row_unit.astype(np.int32),
        row_day=(row_calendar - exposed[row_unit]).astype(np.int32),
        row_calendar_day=row_calendar.astype(np.int32),
        sessions=np.ones(row_unit.size, dtype=np.int32),
        pages=pages.astype(np.int32),
        impressions=impressions.astype(np.int64),
        clicks=clicks.astype(np.int64),
        engagement=clicks * rng.random(row_unit.size),
        fallbacks=np.zeros(row_unit.size, dtype=np.int32),
        days=days,
        several_arms=np.zeros(0, dtype=np.uint64),
    )
