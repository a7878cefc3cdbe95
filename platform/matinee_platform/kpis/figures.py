"""An arm's key figures as counts and sums, and the metrics that show them.

Rates are left to queries, so that figures add up over arms.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from matinee_platform import metrics
from matinee_platform.metrics import Metric

RETENTION_DAYS = (1, 7, 28)
"""Days after first exposure whose retention is counted."""

WITHIN_DAY = 7
"""Last day of the early retention figure: back on any day from 1 to this."""

WINDOWS = (1, 7, 28)
"""Lengths in days over which active users are counted."""

COHORT_WINDOWS = (7, 28)
"""First days from exposure whose active days are counted."""

Row = tuple[Metric, tuple[str, ...], float]
"""A metric, its label values, its value."""


@dataclass(frozen=True, slots=True)
class Returns:
    """Users who came back, of those who had the time to.

    Attributes:
        eligible: exposed units whose day is over.
        returned: of these, active on that day.
    """

    eligible: int
    returned: int


@dataclass(frozen=True, slots=True)
class Activity:
    """Users and their active days within some days.

    Attributes:
        users: distinct units.
        days: on which they were active, one a unit and day.
    """

    users: int
    days: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """Slots filled by chance, weighed for a choice that picks evenly among the candidates left.

    Attributes:
        slots: with a propensity below 1.
        weights: sum of 1 / (propensity x candidates left).
        squared_weights: sum of their squares.
    """

    slots: int
    weights: float
    squared_weights: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiFigures:
    """An arm's key figures up to a time.

    Attributes:
        exposed: units with at least one decision.
        activity: by window of `WINDOWS`, of the last completed days.
        cohorts: by window of `COHORT_WINDOWS`: units whose first days of that number are over.
        retention: by day after exposure.
        returned_within: of the units eligible on `WITHIN_DAY`, those back on any day up to it.
        sessions: visits.
        pages: slates.
        fallback_pages: of these, those that the fallback chose.
        impressions: items shown.
        exploratory: items shown with a propensity below `slate_metrics.EXPLORED_BELOW`.
        clicks: slots clicked.
        engagement: sum of watched fractions.
        diversity: sum of intra-list diversities.
        diversity_pages: slates of at least two items with embeddings.
        coverage: share of the catalogue shown, NaN without a catalogue.
        novelty: sum over `novelty_impressions` of the novelty of the item.
        novelty_impressions: items of the catalogue shown.
        drawn: slots filled by chance.
    """

    exposed: int
    activity: Mapping[int, Activity]
    cohorts: Mapping[int, Activity]
    retention: Mapping[int, Returns]
    returned_within: int
    sessions: int
    pages: int
    fallback_pages: int
    impressions: int
    exploratory: int
    clicks: int
    engagement: float
    diversity: float
    diversity_pages: int
    coverage: float
    novelty: float
    novelty_impressions: int
    drawn: Drawn

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        told = asdict(self)
        for name in ("activity", "cohorts", "retention"):
            told[name] = {str(days): one for days, one in told[name].items()}
        told["coverage"] = None if math.isnan(self.coverage) else self.coverage
        return told

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        told = dict(value)
        for name, kind in (("activity", Activity), ("cohorts", Activity), ("retention", Returns)):
            told[name] = {int(days): kind(**one) for days, one in told[name].items()}
        told["coverage"] = math.nan if told["coverage"] is None else told["coverage"]
        return cls(**{**told, "drawn": Drawn(**told["drawn"])})


def kpi_rows(figures: KpiFigures, labels: tuple[str, str]) -> Iterator[Row]:
    """Every metric of an arm's figures.

    Args:
        figures: of the arm.
        labels: experiment and arm.
    """
    for metric, value in (
        (metrics.EXPOSED_USERS, figures.exposed),
        (metrics.SESSIONS, figures.sessions),
        (metrics.PAGES, figures.pages),
        (metrics.FALLBACK_PAGES, figures.fallback_pages),
        (metrics.IMPRESSIONS, figures.impressions),
        (metrics.EXPLORATORY_IMPRESSIONS, figures.exploratory),
        (metrics.CLICKS, figures.clicks),
        (metrics.ENGAGEMENT, figures.engagement),
        (metrics.DIVERSITY, figures.diversity),
        (metrics.DIVERSITY_PAGES, figures.diversity_pages),
        (metrics.NOVELTY, figures.novelty),
        (metrics.NOVELTY_IMPRESSIONS, figures.novelty_impressions),
        (metrics.DRAWN_SLOTS, figures.drawn.slots),
        (metrics.UNIFORM_WEIGHTS, figures.drawn.weights),
        (metrics.SQUARED_UNIFORM_WEIGHTS, figures.drawn.squared_weights),
    ):
        yield metric, labels, value
    if not math.isnan(figures.coverage):
        yield metrics.COVERAGE, labels, figures.coverage
    for window, active in figures.activity.items():
        yield metrics.ACTIVE_USERS, (*labels, str(window)), active.users
        yield metrics.DAILY_VISITS, (*labels, str(window)), active.days
    for window, cohort in figures.cohorts.items():
        yield metrics.COHORT_USERS, (*labels, str(window)), cohort.users
        yield metrics.COHORT_VISITS, (*labels, str(window)), cohort.days
    for day, returns in figures.retention.items():
        yield metrics.RETENTION_ELIGIBLE, (*labels, str(day)), returns.eligible
        yield metrics.RETENTION_RETURNED, (*labels, str(day)), returns.returned
    yield metrics.RETURNED_WITHIN, (*labels, str(WITHIN_DAY)), figures.returned_within
