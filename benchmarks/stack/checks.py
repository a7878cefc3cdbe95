"""Whether the dashboards of a running stack are whole and say what the analysis says."""

import time

from matinee_dashboards.boards import BOARDS
from matinee_dashboards.records import Board
from matinee_platform.client import Client
from panel_answers import answers, choices_of
from stack.key_figures import KeyFigure, key_figures
from stack.side_by_side import Stack

_CATCH_UP_S = 150.0
_SHOWN_S = 600.0


def until_equal(
    stack: Stack, client: Client, *, experiment: str, seconds: float = _CATCH_UP_S
) -> list[KeyFigure]:
    """Key figures of dashboard and analysis, once both know the whole log, or at the latest.

    Args:
        stack: that runs; nothing more comes to the experiment.
        client: with the scope read.
        experiment: key.
        seconds: longest wait.
    """
    end = time.monotonic() + seconds
    while True:
        analysis = client.results(experiment).analysis
        figures = (
            []
            if analysis is None
            else key_figures(stack.prometheus, analysis, experiment=experiment)
        )
        if (figures and all(one.equal for one in figures)) or time.monotonic() > end:
            return figures
        time.sleep(1.0)


def empty_panels(stack: Stack, *, experiment: str, seconds: float = _CATCH_UP_S) -> list[str]:
    """Panels that a service fills and that show nothing, or that Prometheus refuses.

    Args:
        stack: that runs.
        experiment: key.
        seconds: longest wait: an analysis comes some time after its data.
    """
    end = time.monotonic() + seconds
    while True:
        found = [one for board in BOARDS for one in _empty_of(stack, board, experiment)]
        if not found or time.monotonic() > end:
            return found
        time.sleep(2.0)


def _empty_of(stack: Stack, board: Board, experiment: str) -> list[str]:
    choices = choices_of(board, stack.prometheus, experiment=experiment)
    return [
        f"{board.uid}: {answer.panel.title}"
        for answer in answers(
            board, stack.prometheus, choices=choices, interval="20s", seconds=_SHOWN_S
        )
        if answer.panel.source != "run" and (answer.errors or answer.empty)
    ]


def failed_rules(stack: Stack) -> list[str]:
    """Rules whose newest evaluation failed."""
    return [rule["name"] for rule in stack.prometheus.rules() if rule["health"] != "ok"]
