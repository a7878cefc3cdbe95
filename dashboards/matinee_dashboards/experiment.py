"""The *Experiment* dashboard: gates, differences to the control, retention, engagement, variety."""

from matinee_dashboards.records import ARM, EXPERIMENT, Board, Bound, Panel, Query, Row
from matinee_dashboards.variables import CHOICE_OF_ARM, CHOICE_OF_EXPERIMENT, CHOICE_OF_METRIC

_JUDGED = '{experiment="$experiment", arm=~"$arm", metric=~"$metric"}'
_DAYS = (1, 7, 28)


def _figure(name: str, **labels: object) -> str:
    """A figure of each arm, once, however many processes tell it."""
    more = "".join(f', {label}="{value}"' for label, value in labels.items())
    return f'max by (arm) ({name}{{experiment="$experiment", arm=~"$arm"{more}}})'


def _ratio(part: str, whole: str, times: int = 1, **labels: object) -> str:
    """One figure of each arm over another one, where that is not 0."""
    below = f"({_figure(whole, **labels)} > 0)"
    return f"{_figure(part, **labels)} / {below if times == 1 else f'({times} * {below})'}"


def _arms(
    title: str, text: str, unit: str, expr: str, *, most: float | None = None, width: int = 8
) -> Panel:
    """A line for each arm of a figure that runs and services have."""
    query = Query(expr, "{{arm}}")
    return Panel(title, text, unit, (query,), source="both", least=0.0, most=most, width=width)


_TRUST = Row(
    "Can it be believed?",
    (
        Panel(
            "Gates",
            "Each gate of the newest analysis; one that failed forbids a conclusion, however large "
            "the difference. Days and units fail until there are enough.",
            "short",
            (Query(f"max by (gate) (matinee_analysis_gate_failed{EXPERIMENT})", "{{gate}}"),),
            kind="figure",
            source="both",
            runbook="what-to-alert-on",
            bounds=(Bound(1.0, "red"),),
            words=((0, "passed"), (1, "failed")),
            width=12,
        ),
        Panel(
            "Users by arm",
            "Users with at least one page since the experiment started, in this arm alone.",
            "short",
            (Query(_figure("matinee_exposed_users"), "{{arm}}"),),
            kind="figure",
            source="both",
            width=6,
        ),
        Panel(
            "Age of the figures",
            "Time since the figures below were last brought up to date with the log, by arm.",
            "s",
            (
                Query(
                    f"time() - max by (arm) (matinee_kpi_last_success_timestamp_seconds{ARM})",
                    "{{arm}}",
                ),
            ),
            runbook="matineeretentionstale",
            kind="figure",
            source="both",
            bounds=(Bound(300.0, "orange"), Bound(3_600.0, "red")),
            width=6,
        ),
        Panel(
            "Sample ratio: evidence of a mismatch",
            "How many times likelier the split of the users is under another ratio than under the "
            "declared one. It may be looked at any time: above 1,000 is an alarm, and nothing "
            "below this row can be believed.",
            "short",
            (Query(f"max by (experiment) (matinee_srm_e_value{EXPERIMENT})", "e-value"),),
            source="both",
            runbook="matineesampleratiomismatch",
            bounds=(Bound(1_000.0, "red"),),
            least=0.0,
            width=12,
        ),
        Panel(
            "Share of users by arm",
            "Users of each arm among the users of all arms chosen; it settles at the declared "
            "shares.",
            "percentunit",
            (
                Query(
                    f"{_figure('matinee_exposed_users')} / on () group_left () "
                    f"sum ({_figure('matinee_exposed_users')})",
                    "{{arm}}",
                ),
            ),
            source="both",
            least=0.0,
            width=12,
        ),
    ),
)

_DIFFERENCE = Row(
    "Is there a difference to the control?",
    (
        Panel(
            "Difference to the control: $metric",
            "Difference by which the arm is judged, with the dashed ends of an interval that holds "
            "at every look, so that looking often does no harm. Both dashed lines on one side of "
            "zero tell the arm from the control.",
            "short",
            (
                Query(f"max by (arm) (matinee_analysis_difference{_JUDGED})", "{{arm}}"),
                Query(f"max by (arm) (matinee_analysis_difference_low{_JUDGED})", "{{arm}} low"),
                Query(f"max by (arm) (matinee_analysis_difference_high{_JUDGED})", "{{arm}} high"),
            ),
            runbook="matineeguardrailharmed",
            source="both",
            repeat="metric",
            width=12,
        ),
        Panel(
            "Primary metrics and guardrails",
            "Newest value of each declared metric in each arm, its difference to the control with "
            "the interval that holds at every look, and the p-value corrected for all "
            "comparisons. Metrics are in units of their own (docs/statistics.md).",
            "short",
            tuple(
                Query(f"max by (metric, arm) ({name}{ARM})")
                for name in (
                    "matinee_analysis_metric_value",
                    "matinee_analysis_difference",
                    "matinee_analysis_difference_low",
                    "matinee_analysis_difference_high",
                    "matinee_analysis_corrected_p_value",
                )
            ),
            kind="table",
            source="both",
            width=24,
            columns=("value", "difference", "low", "high", "p, corrected"),
        ),
    ),
)

_RETENTION = Row(
    "Do people come back?",
    (
        *(
            _arms(
                f"Back on day {day}",
                f"Of the users whose day {day} after their first page is over, those active on "
                "exactly that day. Whoever's day is not over yet counts on neither side.",
                "percentunit",
                _ratio(
                    "matinee_retention_returned_users", "matinee_retention_eligible_users", day=day
                ),
            )
            for day in _DAYS
        ),
        _arms(
            "Back within 7 days",
            "Of the users whose first seven days are over, those active on any of them after the "
            "first: the figure of retention that is known soonest.",
            "percentunit",
            _ratio(
                "matinee_retention_returned_within_users",
                "matinee_retention_eligible_users",
                day=7,
            ),
            width=6,
        ),
        Panel(
            "Users whose day is over",
            "Denominators of the figures beside it: users whose day 1, 7 or 28 is over. Ratios "
            "over few of them say little.",
            "short",
            (
                Query(
                    f"max by (arm, day) (matinee_retention_eligible_users{ARM})",
                    "{{arm}}, day {{day}}",
                ),
            ),
            source="both",
            least=0.0,
            width=6,
        ),
        _arms(
            "Stickiness of the first 28 days",
            "Of the users whose first 28 days are over: days on which they came, over 28. It is "
            "the figure that the analysis compares.",
            "percentunit",
            _ratio("matinee_cohort_daily_visits", "matinee_cohort_users", times=28, window=28),
            width=6,
        ),
        _arms(
            "Stickiness of the last 28 days",
            "Days on which users came in the last 28 completed days, over 28 times the users who "
            "came in them.",
            "percentunit",
            _ratio("matinee_daily_visits", "matinee_active_users", times=28, window=28),
            width=6,
        ),
        *(
            _arms(
                f"Active users, {word}",
                f"Distinct users active in the last {number} completed.",
                "short",
                _figure("matinee_active_users", window=window),
            )
            for window, word, number in (
                (1, "day", "day"),
                (7, "week", "7 days"),
                (28, "month", "28 days"),
            )
        ),
    ),
)

_ENGAGEMENT = Row(
    "Do they like what they see?",
    (
        _arms(
            "Click-through rate",
            "Slots clicked over items shown, since the experiment started.",
            "percentunit",
            _ratio("matinee_clicks", "matinee_impressions"),
        ),
        _arms(
            "Watched per session",
            "Sum of the watched fractions of clicked items over sessions, since the experiment "
            "started: one is an item watched to its end.",
            "short",
            _ratio("matinee_engagement", "matinee_sessions"),
        ),
        _arms(
            "Pages per session",
            "Slates shown over sessions, since the experiment started.",
            "short",
            _ratio("matinee_pages", "matinee_sessions"),
        ),
        _arms(
            "Sessions per user",
            "Sessions over users with at least one page, since the experiment started.",
            "short",
            _ratio("matinee_sessions", "matinee_exposed_users"),
        ),
    ),
)

_VARIETY = Row(
    "Is there variety?",
    (
        _arms(
            "Diversity of a page",
            "Mean over pages of the mean over pairs of items of 1 - cosine of their embeddings: 0 "
            "is a page of one kind.",
            "short",
            _ratio("matinee_intra_list_diversity", "matinee_intra_list_diversity_pages"),
        ),
        _arms(
            "Coverage of the catalogue",
            "Share of the catalogue shown at least once since the experiment started.",
            "percentunit",
            _figure("matinee_catalogue_coverage_ratio"),
        ),
        _arms(
            "Novelty of an item",
            "Mean novelty of the items shown: 0 for one that everybody knew, 1 for one that "
            "nobody knew.",
            "short",
            _ratio("matinee_novelty", "matinee_novelty_impressions"),
        ),
    ),
)

EXPERIMENT_BOARD = Board(
    "matinee-experiment",
    "Matinee: experiment",
    "Whether an experiment can be believed, what it says so far, and how often people come back. "
    "It opens with the last hour, in which simulated users live their weeks: choose days or weeks "
    "at the top right for an experiment with people.",
    (CHOICE_OF_EXPERIMENT, CHOICE_OF_ARM, CHOICE_OF_METRIC),
    (_TRUST, _DIFFERENCE, _RETENTION, _ENGAGEMENT, _VARIETY),
    hours=1,
    refresh="1m",
)
"""The dashboard."""
