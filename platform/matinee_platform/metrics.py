"""Every Prometheus metric of the platform, declared once: name, kind, unit, meaning, labels.

Names start with `matinee_` and are in base units; counters end in `_total`, shares within 0 and 1
in `_ratio`. Labels have few values: never an id of a user, an item or a decision. Ratios of two
counts are left to queries, so that they add up over arms and time. Values come from elsewhere.
"""

from collections.abc import Sequence
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


_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

HTTP_REQUESTS = Metric(
    "matinee_http_requests_total",
    "counter",
    "requests",
    "Requests answered, by template of the route (`unmatched` without one), method and status.",
    ("route", "method", "status"),
)
HTTP_SECONDS = Metric(
    "matinee_http_request_seconds",
    "histogram",
    "seconds",
    "Time from a request's head to the end of its answer.",
    ("route",),
    _REQUEST_SECONDS,
)
HTTP_IN_FLIGHT = Metric(
    "matinee_http_requests_in_flight", "gauge", "requests", "Requests being answered.", ()
)
PROBLEMS = Metric(
    "matinee_http_problems_total",
    "counter",
    "requests",
    "Requests answered with a problem, by its code (docs/service.md lists them).",
    ("code",),
)
SERVED = Metric(
    "matinee_served_decisions_total",
    "counter",
    "slates",
    "Slates of new decisions, logged and answered, by who chose: policy, fallback, default.",
    (*_ARM, "served_by"),
)
OUTSIDE = Metric(
    "matinee_outside_decisions_total",
    "counter",
    "slates",
    "Slates for units outside the experiment: the default ranking, not logged.",
    ("experiment",),
)
REPEATED_DECISIONS = Metric(
    "matinee_repeated_decisions_total",
    "counter",
    "requests",
    "Requests that repeated a decision and got its first answer.",
    ("experiment",),
)
FALLBACKS = Metric(
    "matinee_fallbacks_total",
    "counter",
    "slates",
    "Slates that the policy did not choose although it should have, by reason.",
    (*_ARM, "reason"),
)
REWARD_EVENTS = Metric(
    "matinee_reward_events_total",
    "counter",
    "events",
    "Reward events taken in by component and outcome: joined, early, late, duplicate or orphan as "
    "known when they came; unjudged if the spool holds them; repeated, conflict or refused.",
    ("component", "outcome"),
)
LOG_QUEUED = Metric(
    "matinee_log_queued_rows", "gauge", "rows", "Rows that wait for a commit of the log.", ()
)
LOG_SPOOLED = Metric(
    "matinee_log_spooled_rows",
    "gauge",
    "rows",
    "Rows in the local spool, waiting for the database to come back.",
    (),
)
REMOVED_IN_FILES = Metric(
    "matinee_removed_content_age_seconds",
    "gauge",
    "seconds",
    "Age of the oldest removal (forgotten unit, retention) whose content is still in files of the "
    "database, as a reader stands in the way; 0 if there is none.",
    (),
)
SERVICE_STATE = Metric(
    "matinee_service_state",
    "gauge",
    "1 or 0",
    "1 for the state that readiness tells: starting, ready, degraded or down.",
    ("state",),
)

DECISION_SECONDS = Metric(
    "matinee_decision_seconds",
    "histogram",
    "seconds",
    "Time in which the policy decided one batch of asks of the same moment.",
    _ARM,
    (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
)
UNIT_READS = Metric(
    "matinee_unit_state_total",
    "counter",
    "decisions",
    "Decisions whose unit's state was in `memory`, or had to be folded from the `log`.",
    (*_ARM, "where"),
)
SNAPSHOTS_SWAPPED = Metric(
    "matinee_snapshots_swapped_total", "counter", "snapshots", "Snapshots taken up.", _ARM
)
SNAPSHOTS_REFUSED = Metric(
    "matinee_snapshots_refused_total",
    "counter",
    "snapshots",
    "Snapshots refused as damaged, forged or foreign; the one before serves on.",
    _ARM,
)
SERVING_SNAPSHOT = Metric(
    "matinee_serving_snapshot_version",
    "gauge",
    "version",
    "Version of the policy that this process serves.",
    _ARM,
)

SERVICE_METRICS = (
    HTTP_REQUESTS,
    HTTP_SECONDS,
    HTTP_IN_FLIGHT,
    PROBLEMS,
    SERVED,
    OUTSIDE,
    REPEATED_DECISIONS,
    FALLBACKS,
    REWARD_EVENTS,
    DECISION_SECONDS,
    UNIT_READS,
    SNAPSHOTS_SWAPPED,
    SNAPSHOTS_REFUSED,
    SERVING_SNAPSHOT,
    LOG_QUEUED,
    LOG_SPOOLED,
    REMOVED_IN_FILES,
    SERVICE_STATE,
)
"""Metrics of the processes that answer requests."""


LEARNER_BEAT = Metric(
    "matinee_learner_beat_age_seconds",
    "gauge",
    "seconds",
    "Time since the learner last did something.",
    (),
)
LEARNER_LAG = Metric(
    "matinee_learner_lag_seconds",
    "gauge",
    "seconds",
    "Age of the moment up to which every window that ended has been learned; it rises while no "
    "learner runs, and does not when there is nothing to learn.",
    _ARM,
)
LEARNER_FAILED = Metric(
    "matinee_learner_failed",
    "gauge",
    "1 or 0",
    "1 while the arm cannot be learned; the learner's log says why.",
    _ARM,
)
SNAPSHOT_VERSION = Metric(
    "matinee_learner_snapshot_version",
    "gauge",
    "version",
    "Newest snapshot that the learner made; what decides is a moment behind.",
    _ARM,
)
BARRIER_SECONDS = Metric(
    "matinee_learner_barrier_seconds",
    "gauge",
    "seconds",
    "Time that the newest barrier took.",
    _ARM,
)
BARRIER_DELAY = Metric(
    "matinee_learner_delay_seconds",
    "gauge",
    "seconds",
    "From the earliest end of a window that the newest barrier learned to that barrier.",
    _ARM,
)
LEARNED_DECISIONS = Metric(
    "matinee_learned_decisions_total",
    "counter",
    "decisions",
    "Decisions learned since the learner started, by lesson: components learned together.",
    (*_ARM, "lesson"),
)
REFUSED_DECISIONS = Metric(
    "matinee_refused_decisions_total",
    "counter",
    "decisions",
    "Decisions that a policy refused to learn since the learner started, by lesson: their features "
    "would have spoiled its state; the others of their barrier are learned.",
    (*_ARM, "lesson"),
)
LEARNED_EVENTS = Metric(
    "matinee_learned_events_total",
    "counter",
    "events",
    "Reward events of the decisions learned, by component and outcome: joined, late, duplicate or "
    "orphan, which add up; early ones are counted a second time as such. Besides, unlearned: "
    "joined to a decision after its lesson was over.",
    (*_ARM, "component", "outcome"),
)

LEARNER_METRICS = (
    LEARNER_BEAT,
    LEARNER_LAG,
    LEARNER_FAILED,
    SNAPSHOT_VERSION,
    BARRIER_SECONDS,
    BARRIER_DELAY,
    LEARNED_DECISIONS,
    REFUSED_DECISIONS,
    LEARNED_EVENTS,
)
"""Metrics of the live service that its learner fills."""


_JUDGED = (*_ARM, "metric")

ANALYSIS_UNTIL = Metric(
    "matinee_analysis_until_timestamp_seconds",
    "gauge",
    "seconds",
    "End of the data of the newest analysis of the experiment, as unix time.",
    ("experiment",),
)
ANALYSIS_GATE_FAILED = Metric(
    "matinee_analysis_gate_failed",
    "gauge",
    "1 or 0",
    "1 while the gate forbids a conclusion: split, several_arms, units, days, fallback or "
    "orphan_rewards.",
    ("experiment", "gate"),
)
ANALYSIS_UNITS = Metric(
    "matinee_analysis_exposed_units",
    "gauge",
    "units",
    "Units with at least one decision since the experiment started, in this arm alone.",
    _ARM,
)
ANALYSIS_ELIGIBLE = Metric(
    "matinee_analysis_retention_eligible_units",
    "gauge",
    "units",
    "Exposed units whose day 1, 7 or 28 after first exposure is over, whatever they did since.",
    (*_ARM, "day"),
)
ANALYSIS_RETURNED = Metric(
    "matinee_analysis_retention_returned_units",
    "gauge",
    "units",
    "Of the eligible units, those active exactly on that day after first exposure.",
    (*_ARM, "day"),
)
ANALYSIS_RETURNED_WITHIN = Metric(
    "matinee_analysis_retention_returned_within_units",
    "gauge",
    "units",
    "Of the eligible units of that day, those active on any day from day 1 up to it.",
    (*_ARM, "day"),
)
ANALYSIS_VALUE = Metric(
    "matinee_analysis_metric_value",
    "gauge",
    "the metric's",
    "Value of a primary metric or guardrail in the arm.",
    _JUDGED,
)
ANALYSIS_DIFFERENCE = Metric(
    "matinee_analysis_difference",
    "gauge",
    "the metric's",
    "Difference to the control by which the arm is judged.",
    _JUDGED,
)
ANALYSIS_LOW = Metric(
    "matinee_analysis_difference_low",
    "gauge",
    "the metric's",
    "Lower end of its interval: it holds at every look, or at the declared end once that is "
    "reached.",
    _JUDGED,
)
ANALYSIS_HIGH = Metric(
    "matinee_analysis_difference_high",
    "gauge",
    "the metric's",
    "Upper end of its interval.",
    _JUDGED,
)
ANALYSIS_P_VALUE = Metric(
    "matinee_analysis_corrected_p_value",
    "gauge",
    "probability",
    "Its p-value, corrected for the comparisons made with it.",
    _JUDGED,
)

ANALYSIS_METRICS = (
    ANALYSIS_UNTIL,
    ANALYSIS_GATE_FAILED,
    ANALYSIS_UNITS,
    ANALYSIS_ELIGIBLE,
    ANALYSIS_RETURNED,
    ANALYSIS_RETURNED_WITHIN,
    ANALYSIS_VALUE,
    ANALYSIS_DIFFERENCE,
    ANALYSIS_LOW,
    ANALYSIS_HIGH,
    ANALYSIS_P_VALUE,
)
"""Metrics of the live service that its analyses fill, of the experiments that run."""


def markdown_table(metrics: Sequence[Metric] = METRICS) -> str:
    """A table of docs/metrics.md: of offline runs, or of the metrics given."""
    head = "| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{metric.name}` | {metric.kind} | {metric.unit} | {', '.join(metric.labels)} "
        f"| {metric.help} |\n"
        for metric in metrics
    )
