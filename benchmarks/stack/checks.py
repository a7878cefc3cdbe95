"""Whether the dashboards of a running stack are whole and say what the analysis says."""

import time
from collections.abc import Callable, Collection

from matinee_dashboards.boards import BOARDS
from matinee_dashboards.records import Board
from matinee_platform.client import Client
from matinee_platform.kpis.week_by_week import LEAST_USERS
from matinee_platform.metrics import (
    ANALYSIS_METRICS,
    COHORT_USERS,
    ENGAGEMENT_DEPARTURE,
    RETENTION_ELIGIBLE,
    WEEK_PAGES,
)
from matinee_platform.service.analysis_metrics import analysis_rows
from panel_answers import answers, choices_of
from prometheus_server import Prometheus
from stack.key_figures import KeyFigure, key_figures
from stack.side_by_side import Stack

_ANALYSED_S = 900.0
"""After which a service gives an analysis up."""
_SCRAPED_S = 120.0
_TELL_EVERY_S = 15.0
_PAGES = 10
"""Of a user in a week, so that many users saw some."""

Say = Callable[[str], None]
"""Takes a line of progress."""


def until_equal(
    stack: Stack,
    client: Client,
    *,
    experiment: str,
    seconds: float = _ANALYSED_S,
    say: Say = lambda line: None,
) -> list[KeyFigure]:
    """Key figures of dashboard and analysis, once both know the whole log, or at the latest.

    The analysis is asked for until there is one: of itself a service makes the next one after a
    rest of twenty times the last one's length. Metrics show what was made for whoever asked.

    Args:
        stack: that runs; nothing more comes to the experiment.
        client: with the scope read.
        experiment: key.
        seconds: longest wait.
        say: told now and then what is waited for.
    """
    wait = _Wait(seconds, say)
    while True:
        told = client.results(experiment)
        figures: list[KeyFigure] = []
        if told.analysis is not None:
            figures = key_figures(stack.prometheus, told.analysis, experiment=experiment)
        equal = sum(one.equal for one in figures)
        if (figures and equal == len(figures)) or wait.over:
            return figures
        note = f"{equal} of {len(figures)} figures are equal" if figures else told.note
        wait.on(note, seconds=1.0)


def without_value(stack: Stack, client: Client, *, experiment: str) -> set[str]:
    """Gauges that may have no value: few users leave an analysis, or a week, without one."""
    analysis = client.results(experiment).analysis
    told = [] if analysis is None else analysis_rows(experiment, analysis)
    known = {metric.name for metric, _, value in told if value is not None}
    without = {one.name for one in ANALYSIS_METRICS} - known
    newest = stack.prometheus.newest(
        f'max({WEEK_PAGES.name}{{experiment="{experiment}", week="this"}})'
    )
    pages = max((float(one["value"][1]) for one in newest), default=0.0)
    # The week that runs may be a day old: so few pages may be of too few users.
    without |= too_young(stack.prometheus, experiment=experiment)
    return without | ({ENGAGEMENT_DEPARTURE.name} if pages < _PAGES * LEAST_USERS else set())


def empty_panels(
    stack: Stack,
    *,
    experiment: str,
    without: Collection[str] = (),
    seconds: float = _SCRAPED_S,
    say: Say = lambda line: None,
) -> list[str]:
    """Panels that a service fills and that show nothing, or that Prometheus refuses.

    Args:
        stack: that runs, and whose analysis was made (`until_equal`).
        experiment: key.
        without: names of gauges, and labels, that need have no value.
        seconds: longest wait: the newest figures come with the next scrape.
        say: told now and then what is waited for.
    """
    wait = _Wait(seconds, say)
    while True:
        found = [one for board in BOARDS for one in _empty_of(stack, board, experiment, without)]
        if not found or wait.over:
            return found
        wait.on(f"{len(found)} panels are empty, {found[0]!r} among them", seconds=2.0)


def too_young(prometheus: Prometheus, *, experiment: str) -> set[str]:
    """What marks expressions of days that are over for no user yet: a drive of few days."""
    found: set[str] = set()
    for day in (1, 7, 28):
        asked = f'{RETENTION_ELIGIBLE.name}{{experiment="{experiment}", day="{day}"}} > 0'
        if not prometheus.newest(asked):
            found |= {f'day="{day}"'} | ({COHORT_USERS.name} if day == 28 else set())
    return found


class _Wait:
    """A wait that ends, and tells what it waits for now and then."""

    def __init__(self, seconds: float, say: Say) -> None:
        self._began = self._told = time.monotonic()
        self._seconds, self._say = seconds, say

    @property
    def over(self) -> bool:
        return time.monotonic() - self._began > self._seconds

    def on(self, note: str, *, seconds: float) -> None:
        now = time.monotonic()
        if now - self._told > _TELL_EVERY_S:
            self._told = now
            self._say(f"after {now - self._began:.0f} s: {note}")
        time.sleep(seconds)


def _empty_of(stack: Stack, board: Board, experiment: str, without: Collection[str]) -> list[str]:
    choices = choices_of(board, stack.prometheus, experiment=experiment)
    return [
        f"{board.uid}: {answer.panel.title}"
        for answer in answers(
            board, stack.prometheus, choices=choices, interval="20s", seconds=stack.age_s
        )
        if answer.panel.source != "run"
        and (
            answer.errors or any(not any(name in expr for name in without) for expr in answer.empty)
        )
    ]


def failed_rules(stack: Stack) -> list[str]:
    """Rules whose newest evaluation failed; the first one of those that are rare is waited for."""
    stack.wait(
        "every rule was evaluated",
        lambda: all(rule["health"] != "unknown" for rule in stack.prometheus.rules()),
        seconds=90.0,
    )
    return [rule["name"] for rule in stack.prometheus.rules() if rule["health"] != "ok"]
