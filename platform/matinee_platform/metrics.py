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


EXPOSED_USERS = Metric(
    "matinee_exposed_users", "gauge", "users", "Users with at least one decision.", _ARM
)
ACTIVE_USERS = Metric(
    "matinee_active_users",
    "gauge",
    "users",
    "Distinct users active in the last 1, 7 or 28 completed days.",
    (*_ARM, "window"),
)
DAILY_VISITS = Metric(
    "matinee_daily_visits",
    "gauge",
    "visits",
    "Visits in the last 1, 7 or 28 completed days, at most one a user and day; stickiness is that "
    "of 28 days divided by 28 times the active users of 28 days.",
    (*_ARM, "window"),
)
COHORT_USERS = Metric(
    "matinee_cohort_users",
    "gauge",
    "users",
    "Exposed users whose first 7 or 28 days from exposure are over, whatever they did since.",
    (*_ARM, "window"),
)
COHORT_VISITS = Metric(
    "matinee_cohort_daily_visits",
    "gauge",
    "visits",
    "Visits of these users within those days, at most one a user and day; that of 28 days over 28 "
    "times the users of 28 days is the stickiness that the analysis compares.",
    (*_ARM, "window"),
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
SESSIONS = Metric(
    "matinee_sessions",
    "gauge",
    "sessions",
    "Sessions so far; of an offline run at most one a user and day.",
    _ARM,
)
PAGES = Metric("matinee_pages", "gauge", "slates", "Slates shown so far.", _ARM)
FALLBACK_PAGES = Metric(
    "matinee_fallback_pages",
    "gauge",
    "slates",
    "Of these, slates that the fallback chose; they count for their arm.",
    _ARM,
)
IMPRESSIONS = Metric("matinee_impressions", "gauge", "items", "Items shown so far.", _ARM)
EXPLORATORY_IMPRESSIONS = Metric(
    "matinee_exploratory_impressions",
    "gauge",
    "items",
    "Items shown whose logged propensity was below 0.5: chance chose as much as the policy did; "
    "every item that was not the likeliest of its slot is among them, ties at 0.5 aside.",
    _ARM,
)
CLICKS = Metric("matinee_clicks", "gauge", "clicks", "Slots clicked so far, each once.", _ARM)
ENGAGEMENT = Metric(
    "matinee_engagement",
    "gauge",
    "watched items",
    "Sum of the watched fractions of clicked items so far.",
    _ARM,
)
DIVERSITY = Metric(
    "matinee_intra_list_diversity",
    "gauge",
    "slates",
    "Sum over slates of the mean over pairs of items of 1 - cosine of their embeddings.",
    _ARM,
)
DIVERSITY_PAGES = Metric(
    "matinee_intra_list_diversity_pages",
    "gauge",
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
NOVELTY = Metric(
    "matinee_novelty",
    "gauge",
    "items",
    "Sum over items shown of the item's novelty: -log2 of the share of the users of the "
    "catalogue's data who knew it, over its largest value; 1 for an item that nobody knew.",
    _ARM,
)
NOVELTY_IMPRESSIONS = Metric(
    "matinee_novelty_impressions",
    "gauge",
    "items",
    "Items shown, over which novelty is summed: those of the catalogue.",
    _ARM,
)
DRAWN_SLOTS = Metric(
    "matinee_drawn_slots",
    "gauge",
    "slots",
    "Slots that the policy filled by chance: their logged propensity is below 1.",
    _ARM,
)
UNIFORM_WEIGHTS = Metric(
    "matinee_uniform_weights",
    "gauge",
    "slots",
    "Sum over these slots of 1 / (propensity x candidates left), the weight of an even choice. "
    "Over the slots it is 1 where propensities are calibrated and every candidate can be drawn, "
    "less where some cannot; more, beyond chance, only where logged propensities are too small.",
    _ARM,
)
SQUARED_UNIFORM_WEIGHTS = Metric(
    "matinee_squared_uniform_weights",
    "gauge",
    "slots",
    "Sum of the squares of these weights; the square of their sum over it is the effective sample "
    "size of an even choice, in slots.",
    _ARM,
)
SRM_E_VALUE = Metric(
    "matinee_srm_e_value",
    "gauge",
    "times",
    "Evidence of a sample ratio mismatch: how many times likelier the exposed users by arm are "
    "under another split than under the declared one. Above 1,000 is an alarm at any look; absent "
    "where every user goes through every arm.",
    ("experiment",),
)
KPI_SUCCESS = Metric(
    "matinee_kpi_last_success_timestamp_seconds",
    "gauge",
    "seconds",
    "When the figures of the arm were last brought up to date, as unix time.",
    _ARM,
)

KPI_METRICS = (
    EXPOSED_USERS,
    ACTIVE_USERS,
    DAILY_VISITS,
    COHORT_USERS,
    COHORT_VISITS,
    RETENTION_ELIGIBLE,
    RETENTION_RETURNED,
    RETURNED_WITHIN,
    SESSIONS,
    PAGES,
    FALLBACK_PAGES,
    IMPRESSIONS,
    EXPLORATORY_IMPRESSIONS,
    CLICKS,
    ENGAGEMENT,
    DIVERSITY,
    DIVERSITY_PAGES,
    COVERAGE,
    NOVELTY,
    NOVELTY_IMPRESSIONS,
    DRAWN_SLOTS,
    UNIFORM_WEIGHTS,
    SQUARED_UNIFORM_WEIGHTS,
    SRM_E_VALUE,
    KPI_SUCCESS,
)
"""Key figures of the arms, of offline runs and of the live service alike. All are gauges of what
the log holds: in a service they fall when units are forgotten."""


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
RUN_SUCCESS = Metric(
    "matinee_run_last_success_timestamp_seconds",
    "gauge",
    "seconds",
    "When the run was complete with its analysis, as unix time; absent before.",
    ("experiment",),
)

RUN_METRICS = (
    ASSIGNMENTS,
    EXPECTED_ASSIGNMENTS,
    ASSIGNMENT_VARIANCE,
    ARM_SHARE,
    EXPLORATION_COST,
    REWARDS,
    LEARNER_UPDATES,
    SNAPSHOT,
    RESIDUAL,
    RESIDUAL_DEPARTURE,
    DRIFT_ALARMS,
    GENRE_DRIFT_ALARMS,
    COMPLETED_DAY,
    LAST_DAY,
    RUN_SUCCESS,
)
"""Metrics of offline runs alone."""

METRICS = (*KPI_METRICS, *RUN_METRICS)
"""All metrics of offline runs, in the order in which they are exposed."""


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
HTTP_IN_FLIGHT_LIMIT = Metric(
    "matinee_http_requests_in_flight_limit",
    "gauge",
    "requests",
    "Most requests that this process answers at once (`limits.in_flight`).",
    (),
)
LOG_QUEUED = Metric(
    "matinee_log_queued_rows", "gauge", "rows", "Rows that wait for a commit of the log.", ()
)
LOG_QUEUE_LIMIT = Metric(
    "matinee_log_queue_limit_rows",
    "gauge",
    "rows",
    "Most rows that may wait for a commit (`queue_rows`); beyond it, 503.",
    (),
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
SERVING_SNAPSHOT_AGE = Metric(
    "matinee_serving_snapshot_age_seconds",
    "gauge",
    "seconds",
    "Time since the snapshot that this process serves was made; it grows while there is nothing "
    "to learn.",
    _ARM,
)
ARM_INFO = Metric(
    "matinee_arm_learning",
    "gauge",
    "1",
    "1 for each arm that is served, by how it learns (online, apprentice, log_only) and whether a "
    "learner is needed (`learns`: yes or no): a policy that never changes needs none.",
    (*_ARM, "learning", "learns"),
)
PROCESS_CPU = Metric(
    "matinee_process_cpu_seconds_total",
    "counter",
    "seconds",
    "User and system CPU time of this process.",
    (),
)
PROCESS_MEMORY = Metric(
    "matinee_process_resident_memory_bytes", "gauge", "bytes", "Memory that this process holds.", ()
)
PROCESS_FILES = Metric(
    "matinee_process_open_fds", "gauge", "files", "Open files and connections of this process.", ()
)
PROCESS_FILES_LIMIT = Metric(
    "matinee_process_max_fds",
    "gauge",
    "files",
    "Most files and connections that this process may have open.",
    (),
)
PROCESS_VIRTUAL = Metric(
    "matinee_process_virtual_memory_bytes",
    "gauge",
    "bytes",
    "Address space of this process.",
    (),
)
PROCESS_START = Metric(
    "matinee_process_start_time_seconds",
    "gauge",
    "seconds",
    "When this process was started, as unix time.",
    (),
)

SERVICE_METRICS = (
    HTTP_REQUESTS,
    HTTP_SECONDS,
    HTTP_IN_FLIGHT,
    HTTP_IN_FLIGHT_LIMIT,
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
    SERVING_SNAPSHOT_AGE,
    ARM_INFO,
    LOG_QUEUED,
    LOG_QUEUE_LIMIT,
    LOG_SPOOLED,
    REMOVED_IN_FILES,
    SERVICE_STATE,
    PROCESS_CPU,
    PROCESS_MEMORY,
    PROCESS_VIRTUAL,
    PROCESS_FILES,
    PROCESS_FILES_LIMIT,
    PROCESS_START,
)
"""Metrics of the processes that answer requests."""


LEARNER_BEAT = Metric(
    "matinee_learner_beat_age_seconds",
    "gauge",
    "seconds",
    "Time since the learner last did something, or since this process started if it never did.",
    (),
)
LEARNER_LAG = Metric(
    "matinee_learner_lag_seconds",
    "gauge",
    "seconds",
    "Age of the moment up to which every window that ended has been learned; it rises while no "
    "learner runs, and does not when there is nothing to learn. Not told of an arm that another "
    "process learns.",
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
REFUSED_NOTED = Metric(
    "matinee_refused_decisions_noted",
    "gauge",
    "decisions",
    "Refused decisions whose windows are open, noted one by one (at most 200,000): their later "
    "lessons are left out.",
    _ARM,
)
REFUSED_RANGES = Metric(
    "matinee_refused_ranges",
    "gauge",
    "ranges",
    "Days of refused decisions beyond those that are noted: later lessons of all decisions of "
    "these parts of the log with features as large are left out.",
    _ARM,
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
    REFUSED_NOTED,
    REFUSED_RANGES,
    LEARNED_EVENTS,
)
"""Metrics of the live service that its learner fills."""


KPI_AGE = Metric(
    "matinee_kpi_age_seconds",
    "gauge",
    "seconds",
    "Time since the key figures of the experiment were last brought up to date with the log, or "
    "since this process heard of it first.",
    ("experiment",),
)
KPI_FAILED = Metric(
    "matinee_kpi_failed",
    "gauge",
    "1 or 0",
    "1 while the key figures of the experiment cannot be made; kpi.json says why.",
    ("experiment",),
)
KPI_UNREAD = Metric(
    "matinee_kpi_unread_rows",
    "gauge",
    "rows",
    "Rows of the log that the key figures do not hold yet.",
    ("experiment",),
)
SEVERAL_ARMS = Metric(
    "matinee_several_arms_users",
    "gauge",
    "users",
    "Users that were seen in more than one arm or bucket, and count for none.",
    ("experiment",),
)
WEEK_PAGES = Metric(
    "matinee_week_pages",
    "gauge",
    "slates",
    "Slates of the week that runs (`this`) and of the one before (`last`), of 7 days from the "
    "start of the experiment.",
    (*_ARM, "week"),
)
WEEK_ENGAGEMENT = Metric(
    "matinee_week_engagement",
    "gauge",
    "watched items",
    "Sum of the watched fractions of these slates; over them, what a page earns.",
    (*_ARM, "week"),
)
ENGAGEMENT_DEPARTURE = Metric(
    "matinee_engagement_departure",
    "gauge",
    "standard errors",
    "Drift: what a page earns in the week that runs less what it earned in the one before, in "
    "standard errors by user. Absent with fewer than 30 users in either.",
    _ARM,
)

LIVE_KPI_METRICS = (
    KPI_AGE,
    KPI_FAILED,
    KPI_UNREAD,
    SEVERAL_ARMS,
    WEEK_PAGES,
    WEEK_ENGAGEMENT,
    ENGAGEMENT_DEPARTURE,
)
"""Metrics of the live service about its key figures, and those that it alone has."""


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
ANALYSIS_GUARDRAIL_HARMED = Metric(
    "matinee_analysis_guardrail_harmed",
    "gauge",
    "1 or 0",
    "1 while a guardrail is worse than its margin allows, beyond doubt.",
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
    ANALYSIS_GUARDRAIL_HARMED,
)
"""Metrics of the live service that its analyses fill, of the experiments that run; the history of
an offline run holds them day by day."""

DECLARED = (
    *KPI_METRICS,
    *RUN_METRICS,
    *SERVICE_METRICS,
    *LEARNER_METRICS,
    *LIVE_KPI_METRICS,
    *ANALYSIS_METRICS,
)
"""Every metric there is."""


def markdown_table(metrics: Sequence[Metric]) -> str:
    """A table of docs/metrics.md."""
    head = "| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{metric.name}` | {metric.kind} | {metric.unit} | {', '.join(metric.labels)} "
        f"| {metric.help} |\n"
        for metric in metrics
    )
