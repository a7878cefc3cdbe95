"""The metrics that experiments are judged by: names, kinds and what each means.

Plain data, so that settings can check names without loading numerics; `unit_metrics.py` computes
them.
"""

from dataclasses import dataclass
from typing import Literal

MetricKind = Literal["mean", "ratio", "retention", "quantile"]


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One metric.

    Attributes:
        name: as settings and documents name it.
        kind: `mean` of a value per unit; `ratio` of two sums, by the delta method; `retention`, a
            share or a mean over units whose window has fully elapsed; `quantile` over units.
        title: for people.
        unit: what one counts or measures.
        direction: whether more is better (1) or worse (-1).
        explains: one sentence.
    """

    name: str
    kind: MetricKind
    title: str
    unit: str
    explains: str
    direction: Literal[1, -1] = 1


_ALL = (
    MetricInfo(
        "returned_within_7",
        "retention",
        "return within 7 days",
        "share of units",
        "Share of units that came back on any of days 1 to 7 after exposure, over units whose day "
        "7 is over.",
    ),
    MetricInfo(
        "d1",
        "retention",
        "D1",
        "share of units",
        "Share of units that came exactly on day 1 after exposure, over units whose day 1 is over.",
    ),
    MetricInfo(
        "d7",
        "retention",
        "D7",
        "share of units",
        "Share of units that came exactly on day 7 after exposure, over units whose day 7 is over.",
    ),
    MetricInfo(
        "d28",
        "retention",
        "D28",
        "share of units",
        "Share of units that came exactly on day 28 after exposure, over units whose day 28 is "
        "over.",
    ),
    MetricInfo(
        "d28_smoothed",
        "retention",
        "D27 to D29",
        "share of units",
        "Mean share of days 27 to 29 on which units came, over units whose day 29 is over; less "
        "noisy than D28.",
    ),
    MetricInfo(
        "rolling_d7",
        "retention",
        "rolling D7",
        "share of units",
        "Share of units that came on day 7 after exposure or on any later day so far, over units "
        "whose day 7 is over.",
    ),
    MetricInfo(
        "active_days_7",
        "retention",
        "L7",
        "days",
        "Days, of the first 7 from exposure, on which a unit came, over units whose first 7 days "
        "are over.",
    ),
    MetricInfo(
        "active_days_28",
        "retention",
        "L28",
        "days",
        "Days, of the first 28 from exposure, on which a unit came, over units whose first 28 days "
        "are over.",
    ),
    MetricInfo(
        "sessions_7",
        "retention",
        "sessions in 7 days",
        "sessions",
        "Sessions in the first 7 days from exposure, over units whose first 7 days are over.",
    ),
    MetricInfo(
        "sessions_28",
        "retention",
        "sessions in 28 days",
        "sessions",
        "Sessions in the first 28 days from exposure, over units whose first 28 days are over.",
    ),
    MetricInfo(
        "engagement_7",
        "retention",
        "engagement in 7 days",
        "watched items",
        "Watched fractions summed over the first 7 days from exposure, over units whose first 7 "
        "days are over, and the time that rewards may take after them.",
    ),
    MetricInfo(
        "ctr_7",
        "ratio",
        "CTR in 7 days",
        "clicks per item shown",
        "Clicks over items shown in the first 7 days from exposure, by unit, over units whose "
        "first 7 days are over, and the time that rewards may take after them.",
    ),
    MetricInfo(
        "stickiness",
        "ratio",
        "stickiness",
        "share of days",
        "Active user-days of the first 28 days from exposure over 28 times the users active in "
        "them, over units whose first 28 days are over.",
    ),
    MetricInfo(
        "engagement_per_user",
        "mean",
        "engagement per user",
        "watched items",
        "Watched fractions summed per exposed unit, from exposure to the end of the data.",
    ),
    MetricInfo(
        "sessions_per_user",
        "mean",
        "sessions per user",
        "sessions",
        "Visits per exposed unit, from exposure to the end of the data.",
    ),
    MetricInfo(
        "pages_per_user",
        "mean",
        "pages per user",
        "pages",
        "Slates shown per exposed unit, from exposure to the end of the data.",
    ),
    MetricInfo(
        "ctr",
        "ratio",
        "CTR",
        "clicks per item shown",
        "Clicks over items shown, by unit: impressions of one unit are not taken as independent.",
    ),
    MetricInfo(
        "watched_per_impression",
        "ratio",
        "watched per item shown",
        "watched items per item shown",
        "Watched fractions over items shown, by unit.",
    ),
    MetricInfo(
        "clicks_per_session",
        "ratio",
        "clicks per session",
        "clicks",
        "Clicks over sessions, by unit.",
    ),
    MetricInfo(
        "engagement_per_session",
        "ratio",
        "engagement per session",
        "watched items",
        "Watched fractions over sessions, by unit.",
    ),
    MetricInfo(
        "engagement_median",
        "quantile",
        "median engagement",
        "watched items",
        "Watched fractions per exposed unit that half of the units exceed.",
    ),
    MetricInfo(
        "engagement_p90",
        "quantile",
        "90th percentile of engagement",
        "watched items",
        "Watched fractions per exposed unit that one unit in ten exceeds.",
    ),
)

SETTLED = frozenset(
    (
        "returned_within_7",
        "d1",
        "d7",
        "d28",
        "d28_smoothed",
        "active_days_7",
        "active_days_28",
        "sessions_7",
        "sessions_28",
        "stickiness",
        "engagement_7",
        "ctr_7",
    )
)
"""Metrics whose value of a unit no longer changes once the unit counts: what confidence sequences
ask for. With the others a unit's value grows while one looks, and the sequence is approximate."""

METRIC_LIST: dict[str, MetricInfo] = {one.name: one for one in _ALL}
"""All metrics by name."""

QUANTILES = {"engagement_median": 0.5, "engagement_p90": 0.9}
"""Which quantile each metric of that kind is."""

RETENTION_FAMILY = (
    "d1",
    "d7",
    "d28",
    "d28_smoothed",
    "rolling_d7",
    "returned_within_7",
    "active_days_7",
    "active_days_28",
)
"""Metrics whose denominators are units whose window has elapsed, as reports list them."""

DEFAULT_OTHERS = tuple(
    one.name for one in _ALL if one.kind != "quantile" and one.name != "returned_within_7"
)
"""What is looked at beside primary metrics and guardrails unless settings say otherwise."""
