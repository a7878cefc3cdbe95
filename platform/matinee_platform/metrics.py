"""Every Prometheus metric of the platform, declared once: name, kind, unit, meaning, labels.

Names start with `matinee_` and are in base units; counters end in `_total`, shares within 0 and 1
in `_ratio`. Labels have few values: never an id of a user, an item or a decision. Ratios of two
counts are left to queries, so that they add up over arms and time. Values come from elsewhere.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

_ARM = ("experiment", "arm")
_POLICY = (*_ARM, "policy")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: as scraped.
        kind: of Prometheus.
        unit: what one counts or measures.
        help: meaning, one sentence.
        labels: names, in order.
        buckets: upper bounds of a histogram, rising, without infinity.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


ASSIGNMENTS = Metric(
    "matinee_assignments_total", "counter", "users", "Users assigned to the arm.", _ARM
)
EXPECTED_ASSIGNMENTS = Metric(
    "matinee_expected_assignments_total",
    "counter",
    "users",
    "Sum of the probability of this arm over all users assigned in the experiment.",
    _ARM,
)
ASSIGNMENT_VARIANCE = Metric(
    "matinee_assignment_variance_total",
    "counter",
    "users squared",
    "Sum of p (1 - p) over all users assigned in the experiment, p the probability of this arm; "
    "0 where every user goes through every arm.",
    _ARM,
)
ARM_SHARE = Metric(
    "matinee_arm_share_ratio", "gauge", "ratio", "Declared share of the users of this arm.", _ARM
)
EXPOSED_USERS = Metric(
    "matinee_exposed_users", "gauge", "users", "Users with at least one decision.", _ARM
)
DECISIONS = Metric("matinee_decisions_total", "counter", "slates", "Decisions logged.", _ARM)
IMPRESSIONS = Metric("matinee_impressions_total", "counter", "items", "Items shown.", _ARM)
EXPLORATORY_IMPRESSIONS = Metric(
    "matinee_exploratory_impressions_total",
    "counter",
    "items",
    "Items shown whose logged propensity was below 0.5: chance chose as much as the policy did; "
    "every item that was not the likeliest of its slot is among them, ties at 0.5 aside.",
    _ARM,
)
EXPLORATION_COST = Metric(
    "matinee_exploration_cost_per_page",
    "gauge",
    "value units",
    "Expected value given up per page by exploration, in the policy's own estimates, over about "
    "1 % of decisions; absent for a policy that cannot tell, and for one whose values are upper "
    "bounds (`values_are_bounds`): what optimism costs is not a draw.",
    _ARM,
)
REWARDS = Metric(
    "matinee_rewards_total",
    "counter",
    "events",
    "Reward events by component (click, watch, rating, return_visit) and outcome: joined to a "
    "decision, or late, after the component's window, and then not logged.",
    (*_ARM, "component", "outcome"),
)
SESSIONS = Metric(
    "matinee_sessions_total", "counter", "sessions", "Sessions, at most one a user and day.", _ARM
)
ENGAGEMENT = Metric(
    "matinee_engagement_total",
    "counter",
    "watched items",
    "Sum of the watched fractions of clicked items.",
    _ARM,
)
RETENTION_ELIGIBLE = Metric(
    "matinee_retention_eligible_users",
    "gauge",
    "users",
    "Exposed users whose day 1, 7 or 28 after first exposure is over, whatever they did since.",
    (*_ARM, "day"),
)
RETENTION_RETURNED = Metric(
    "matinee_retention_returned_users",
    "gauge",
    "users",
    "Of the eligible users, those active exactly on that day after first exposure.",
    (*_ARM, "day"),
)
RETURNED_WITHIN = Metric(
    "matinee_retention_returned_within_users",
    "gauge",
    "users",
    "Of the eligible users of that day, those active on any day from day 1 up to it.",
    (*_ARM, "day"),
)
ACTIVE_USERS = Metric(
    "matinee_active_users",
    "gauge",
    "users",
    "Distinct users active in the last 1, 7 or 28 completed days.",
    (*_ARM, "window"),
)
WINDOW_SESSIONS = Metric(
    "matinee_active_user_sessions",
    "gauge",
    "sessions",
    "Sessions in the last 1, 7 or 28 completed days, at most one a user and day; stickiness is "
    "that of 28 days divided by 28 times the active users of 28 days.",
    (*_ARM, "window"),
)
DIVERSITY = Metric(
    "matinee_intra_list_diversity_total",
    "counter",
    "slates",
    "Sum over slates of the mean over pairs of items of 1 - cosine of their embeddings.",
    _ARM,
)
DIVERSITY_SLATES = Metric(
    "matinee_intra_list_diversity_slates_total",
    "counter",
    "slates",
    "Slates of at least two items, over which intra-list diversity is summed.",
    _ARM,
)
COVERAGE = Metric(
    "matinee_catalogue_coverage_ratio",
    "gauge",
    "ratio",
    "Share of the catalogue shown at least once.",
    _ARM,
)
LEARNER_UPDATES = Metric(
    "matinee_learner_update_seconds",
    "histogram",
    "seconds",
    "Wall time of the updates that gave a new snapshot of the policy.",
    _POLICY,
    (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
)
SNAPSHOT = Metric(
    "matinee_snapshot_version", "gauge", "version", "Version of the policy that decides.", _POLICY
)
RESIDUAL = Metric(
    "matinee_reward_residual_mean",
    "gauge",
    "value units",
    "Mean over slots of engagement beyond what slots with the same features earned before, on the "
    "last day with pages. Told when the run is complete.",
    _ARM,
)
RESIDUAL_DEPARTURE = Metric(
    "matinee_reward_residual_departure",
    "gauge",
    "standard errors",
    "That mean in its standard errors: how far it departs from its level since the last alarm.",
    _ARM,
)
DRIFT_ALARMS = Metric(
    "matinee_drift_alarms_total",
    "counter",
    "alarms",
    "Alarms of drift (Page-Hinkley) in the residuals of the arm over all items.",
    _ARM,
)
GENRE_DRIFT_ALARMS = Metric(
    "matinee_genre_drift_alarms_total",
    "counter",
    "alarms",
    "The same in the residuals of one genre, over all genres.",
    _ARM,
)
COMPLETED_DAY = Metric(
    "matinee_run_completed_day", "gauge", "day", "Completed days of the arm's offline run.", _ARM
)
LAST_DAY = Metric(
    "matinee_run_last_day", "gauge", "day", "Days that the arm's offline run will have.", _ARM
)
KPI_SUCCESS = Metric(
    "matinee_kpi_last_success_timestamp_seconds",
    "gauge",
    "seconds",
    "When the figures of the arm were last brought up to date, as unix time.",
    _ARM,
)
RUN_SUCCESS = Metric(
    "matinee_run_last_success_timestamp_seconds",
    "gauge",
    "seconds",
    "When the run was complete with its analysis, as unix time; absent before.",
    ("experiment",),
)

METRICS = (
    ASSIGNMENTS,
    EXPECTED_ASSIGNMENTS,
    ASSIGNMENT_VARIANCE,
    ARM_SHARE,
    EXPOSED_USERS,
    DECISIONS,
    IMPRESSIONS,
    EXPLORATORY_IMPRESSIONS,
    EXPLORATION_COST,
    REWARDS,
    SESSIONS,
    ENGAGEMENT,
    RETENTION_ELIGIBLE,
    RETENTION_RETURNED,
    RETURNED_WITHIN,
    ACTIVE_USERS,
    WINDOW_SESSIONS,
    DIVERSITY,
    DIVERSITY_SLATES,
    COVERAGE,
    LEARNER_UPDATES,
    SNAPSHOT,
    RESIDUAL,
    RESIDUAL_DEPARTURE,
    DRIFT_ALARMS,
    GENRE_DRIFT_ALARMS,
    COMPLETED_DAY,
    LAST_DAY,
    KPI_SUCCESS,
    RUN_SUCCESS,
)
"""All metrics, in the order in which they are exposed."""


def markdown_table() -> str:
    """The table of docs/metrics.md."""
    head = "| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{metric.name}` | {metric.kind} | {metric.unit} | {', '.join(metric.labels)} "
        f"| {metric.help} |\n"
        for metric in METRICS
    )
