"""The *Service* dashboard: does it answer, how fast, who chose, and what is about to be full."""

from matinee_dashboards.records import INSTANCE, Board, Bound, Panel, Query, Row
from matinee_dashboards.variables import (
    CHOICE_OF_ARM,
    CHOICE_OF_EXPERIMENT,
    CHOICE_OF_INSTANCE,
)

_ROUTE = '{instance=~"$instance", route!~"/metrics|/healthz|/readyz"}'
_SERVED = '{instance=~"$instance", experiment="$experiment", arm=~"$arm"}'


def _quantile(share: float, name: str, selector: str, by: str) -> str:
    inner = f"sum by (le, {by}) (rate({name}_bucket{selector}[$__rate_interval]))"
    return f"histogram_quantile({share:g}, {inner})"


_REQUESTS = Row(
    "Does it answer?",
    (
        Panel(
            "State",
            "What readiness says of each process: ready and degraded take traffic, starting and "
            "down do not. Degraded means that decisions are answered although something is wrong; "
            "the body of /readyz says what.",
            "short",
            (
                Query(
                    f"max by (instance, state) (matinee_service_state{INSTANCE}) > 0",
                    "{{instance}} {{state}}",
                ),
            ),
            kind="figure",
            runbook="matineedegraded",
            words=((1, "yes"),),
        ),
        Panel(
            "Requests",
            "Requests answered per second, by route; scrapes and probes apart.",
            "reqps",
            (
                Query(
                    f"sum by (route) (rate(matinee_http_requests_total{_ROUTE}[$__rate_interval]))",
                    "{{route}}",
                ),
            ),
            least=0.0,
        ),
        Panel(
            "Failed requests",
            "Share of requests answered with a status of 500 or above, by route. 503 asks a "
            "client to come again; anything else is a fault of the service.",
            "percentunit",
            (
                Query(
                    'sum by (route) (rate(matinee_http_requests_total{instance=~"$instance", '
                    'route!~"/metrics|/healthz|/readyz", status=~"5.."}[$__rate_interval])) / '
                    "sum by (route) "
                    f"(rate(matinee_http_requests_total{_ROUTE}[$__rate_interval])) or "
                    f"0 * sum by (route) (rate(matinee_http_requests_total{_ROUTE}"
                    "[$__rate_interval]))",
                    "{{route}}",
                ),
            ),
            runbook="matineeerrors",
            bounds=(Bound(0.001, "orange"), Bound(0.01, "red")),
            least=0.0,
        ),
        Panel(
            "Time of an answer, 99 of 100",
            "From a request's head to the end of its answer; one request in a hundred took "
            "longer, by route.",
            "s",
            (
                Query(
                    _quantile(0.99, "matinee_http_request_seconds", _ROUTE, "route"),
                    "{{route}}",
                ),
            ),
            runbook="matineedecisionsslow",
            least=0.0,
        ),
        Panel(
            "Time of an answer, the median",
            "From a request's head to the end of its answer; half of the requests took longer, "
            "by route.",
            "s",
            (
                Query(
                    _quantile(0.5, "matinee_http_request_seconds", _ROUTE, "route"),
                    "{{route}}",
                ),
            ),
            least=0.0,
        ),
        Panel(
            "Problems",
            "Requests answered with a problem per second, by its code; docs/service.md has the "
            "table of codes. None is the rule.",
            "reqps",
            (
                Query(
                    f"sum by (code) (rate(matinee_http_problems_total{INSTANCE}"
                    "[$__rate_interval])) or on () "
                    'label_replace(vector(0), "code", "none", "", "")',
                    "{{code}}",
                ),
            ),
            runbook="matineeerrors",
            least=0.0,
        ),
    ),
)

_DECISIONS = Row(
    "Who chooses?",
    (
        Panel(
            "Decisions",
            "Slates logged and answered per second, by arm and by who chose: the policy, the "
            "fallback in its place, or the default order.",
            "ops",
            (
                Query(
                    "sum by (arm, served_by) (rate(matinee_served_decisions_total"
                    f"{_SERVED}[$__rate_interval]))",
                    "{{arm}} {{served_by}}",
                ),
            ),
            least=0.0,
        ),
        Panel(
            "Share of fallbacks",
            "Share of an arm's slates that its policy should have chosen and did not. The unit "
            "keeps its arm and nothing is learned from it, so a few are harmless; above 1 % the "
            "arm is no longer what it is taken for.",
            "percentunit",
            (
                Query(
                    f"sum by (arm) (rate(matinee_fallbacks_total{_SERVED}[$__rate_interval])) / "
                    "sum by (arm) (rate(matinee_served_decisions_total"
                    f"{_SERVED}[$__rate_interval])) or 0 * sum by (arm) "
                    f"(rate(matinee_served_decisions_total{_SERVED}[$__rate_interval]))",
                    "{{arm}}",
                ),
            ),
            runbook="matineefallbacks",
            bounds=(Bound(0.01, "red"),),
            least=0.0,
        ),
        Panel(
            "Fallbacks by reason",
            "Slates per second that the policy did not choose although it should have: it failed, "
            "was over its budget, gave nonsense, or its unit could not be read in time.",
            "ops",
            (
                Query(
                    "sum by (arm, reason) (rate(matinee_fallbacks_total"
                    f"{_SERVED}[$__rate_interval]))",
                    "{{arm}} {{reason}}",
                ),
            ),
            runbook="matineefallbacks",
            least=0.0,
        ),
        Panel(
            "Time of a policy, 99 of 100",
            "Time in which the policy decided one batch of asks; beyond the budget the fallback "
            "answers.",
            "s",
            (
                Query(
                    _quantile(0.99, "matinee_decision_seconds", _SERVED, "arm"),
                    "{{arm}}",
                ),
            ),
            least=0.0,
        ),
        Panel(
            "Units found in memory",
            "Share of decisions whose unit's state was at hand; the others were folded from the "
            "log, which costs a read. Raise units_in_memory if it stays low.",
            "percentunit",
            (
                Query(
                    'sum by (arm) (rate(matinee_unit_state_total{instance=~"$instance", '
                    'experiment="$experiment", arm=~"$arm", where="memory"}[$__rate_interval])) / '
                    f"sum by (arm) (rate(matinee_unit_state_total{_SERVED}[$__rate_interval]))",
                    "{{arm}}",
                ),
            ),
            least=0.0,
            most=1.0,
        ),
        Panel(
            "Rewards",
            "Reward events taken in per second, by component and by what was known of them when "
            "they came. Many orphans or duplicates point at a client that sends wrong ids.",
            "ops",
            (
                Query(
                    "sum by (component, outcome) (rate(matinee_reward_events_total"
                    f"{INSTANCE}[$__rate_interval]))",
                    "{{component}} {{outcome}}",
                ),
            ),
            runbook="matineerewardsnotjoined",
            least=0.0,
        ),
    ),
)

_ROOM = Row(
    "What is about to be full?",
    (
        Panel(
            "Requests being answered",
            "Requests in flight as a share of limits.in_flight, by process; at 100 % more are "
            "turned away with 503.",
            "percentunit",
            (
                Query(
                    f"matinee_http_requests_in_flight{INSTANCE} / "
                    f"matinee_http_requests_in_flight_limit{INSTANCE}",
                    "{{instance}}",
                ),
            ),
            bounds=(Bound(0.8, "red"),),
            least=0.0,
        ),
        Panel(
            "Rows waiting for a commit",
            "Rows that wait for the log as a share of queue_rows, by process; at 100 %, 503. A "
            "queue that does not empty means that the disk or the database is slower than the "
            "callers.",
            "percentunit",
            (
                Query(
                    f"matinee_log_queued_rows{INSTANCE} / matinee_log_queue_limit_rows{INSTANCE}",
                    "{{instance}}",
                ),
            ),
            runbook="matineequeuelong",
            bounds=(Bound(0.5, "red"),),
            least=0.0,
        ),
        Panel(
            "Rows in the spool",
            "Rows in the local spool, waiting for the database to come back. They are "
            "acknowledged: never delete a spool.",
            "short",
            (Query(f"matinee_log_spooled_rows{INSTANCE}", "{{instance}}"),),
            runbook="matineespooling",
            bounds=(Bound(1.0, "red"),),
            reaches=1.0,
            least=0.0,
        ),
        Panel(
            "Cores in use",
            "CPU time per second of each process; one process answers on one core.",
            "short",
            (
                Query(
                    f"rate(matinee_process_cpu_seconds_total{INSTANCE}[$__rate_interval])",
                    "{{instance}}",
                ),
            ),
            least=0.0,
        ),
        Panel(
            "Memory",
            "Resident memory of each process; it follows units_in_memory and the catalogue, and "
            "does not grow with the log.",
            "bytes",
            (Query(f"matinee_process_resident_memory_bytes{INSTANCE}", "{{instance}}"),),
            least=0.0,
        ),
        Panel(
            "Open files",
            "Open file descriptors of each process as a share of its limit.",
            "percentunit",
            (
                Query(
                    f"matinee_process_open_fds{INSTANCE} / matinee_process_max_fds{INSTANCE}",
                    "{{instance}}",
                ),
            ),
            least=0.0,
            bounds=(Bound(0.8, "red"),),
        ),
    ),
)

SERVICE = Board(
    "matinee-service",
    "Matinee: service",
    "Requests, errors and durations; who chose the slates; what is about to be full.",
    (CHOICE_OF_INSTANCE, CHOICE_OF_EXPERIMENT, CHOICE_OF_ARM),
    (_REQUESTS, _DECISIONS, _ROOM),
    hours=1,
    refresh="10s",
)
"""The dashboard."""
