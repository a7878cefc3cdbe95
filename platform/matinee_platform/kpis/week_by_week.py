"""Whether what an arm's pages earn drifts: the week that runs against the one before.

Both weeks have users in common, and a user's pages are no independent draws, so the difference is
judged by user: by the delta method for a difference of two ratios of sums over the same users.
It tells of everything that changes what a page earns, what the policy learned among it; what all
arms have in common, one that learns nothing too, comes from outside.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from matinee_platform.kpis.unit_sums import UnitSums
from matinee_policies.arrays import BoolArray, FloatArray

LEAST_USERS = 30
"""Users of each week from which on the difference is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekByWeek:
    """Two weeks of an arm, which are of 7 days from the start of the experiment.

    Attributes:
        pages: slates of the week that runs.
        engagement: sum of watched fractions of these slates.
        pages_before: slates of the week before.
        engagement_before: sum of watched fractions of these.
        departure: engagement per page of this week less that of the one before, in standard errors
            by user; None with fewer than `LEAST_USERS` in either, or nothing that varies.
    """

    pages: int
    engagement: float
    pages_before: int
    engagement_before: float
    departure: float | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**value)


def newest_week(units: UnitSums, *, days: int) -> int:
    """The week that runs: of this day of the experiment, or of the newest page if that is later."""
    return max(days // 7, int(units["week"].max(initial=0)))


def week_by_week(units: UnitSums, own: BoolArray, *, week: int) -> WeekByWeek:
    """The week that runs and the one before, over some units.

    Args:
        units: what was folded.
        own: the units that count, `bool [n]`.
        week: that runs, as `newest_week` says.
    """
    newest = units["week"][own]

    def sums(name: str) -> tuple[FloatArray, FloatArray]:
        latest = units[f"week_{name}"][own].astype(np.float64)
        earlier = units[f"before_{name}"][own].astype(np.float64)
        this = np.where(newest == week, latest, 0.0)
        return this, np.where(newest == week, earlier, np.where(newest == week - 1, latest, 0.0))

    (pages, pages_before), (engagement, engagement_before) = sums("pages"), sums("engagement")
    return WeekByWeek(
        pages=int(pages.sum()),
        engagement=float(engagement.sum()),
        pages_before=int(pages_before.sum()),
        engagement_before=float(engagement_before.sum()),
        departure=_departure(engagement, pages, engagement_before, pages_before),
    )


def _departure(
    engagement: FloatArray,
    pages: FloatArray,
    engagement_before: FloatArray,
    pages_before: FloatArray,
) -> float | None:
    """Difference of the ratios in standard errors: Deng, Knoblich and Lu (2018), section 3."""
    if min(np.count_nonzero(pages), np.count_nonzero(pages_before)) < LEAST_USERS:
        return None
    mean = engagement.sum() / pages.sum()
    mean_before = engagement_before.sum() / pages_before.sum()
    influence = (engagement - mean * pages) / pages.sum()
    influence -= (engagement_before - mean_before * pages_before) / pages_before.sum()
    users = np.count_nonzero(pages + pages_before)
    variance = float((influence * influence).sum()) * users / (users - 1)
    return float(mean - mean_before) / math.sqrt(variance) if variance > 0.0 else None
