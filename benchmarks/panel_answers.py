"""What a real Prometheus answers to every panel of a dashboard, asked as Grafana would ask."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matinee_dashboards.asked import as_asked
from matinee_dashboards.records import Board, Panel
from prometheus_server import Prometheus

Choices = Mapping[str, str | Sequence[str]]

_POINTS = 200


@dataclass(slots=True)
class PanelAnswer:
    """Answers to one panel.

    Attributes:
        panel: the panel.
        series: of each query, as Prometheus gives them.
        errors: what it refused, by expression.
    """

    panel: Panel
    series: list[list[dict[str, Any]]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def empty(self) -> list[str]:
        """Expressions to which there is no number at all."""
        return [
            query.expr
            for query, found in zip(self.panel.queries, self.series, strict=True)
            if not any(_numbers(one) for one in found)
        ]


def choices_of(board: Board, prometheus: Prometheus, *, experiment: str) -> dict[str, Any]:
    """What a reader finds in the lists of a dashboard: the experiment, and all of the rest."""
    found: dict[str, Any] = {"experiment": experiment}
    for variable in board.variables:
        if variable.name != "experiment":
            series = as_asked(variable.series, choices=found, interval="")
            found[variable.name] = prometheus.labels(variable.name, series)
    return found


def answers(
    board: Board,
    prometheus: Prometheus,
    *,
    choices: Choices,
    interval: str,
    seconds: float,
    until: float | None = None,
) -> list[PanelAnswer]:
    """Every panel's answers.

    Args:
        board: the dashboard.
        prometheus: that is asked.
        choices: of the reader.
        interval: `$__rate_interval`.
        seconds: that lines show.
        until: end of what is shown, unix time; now if not given.
    """
    end = time.time() if until is None else until
    found = []
    for panel in board.panels:
        answer = PanelAnswer(panel)
        for query in panel.queries:
            expr = as_asked(query.expr, choices=choices, interval=interval)
            answer.series.append([])
            try:
                answer.series[-1] = (
                    prometheus.lines(
                        expr, start=end - seconds, end=end, step=max(1.0, seconds / _POINTS)
                    )
                    if panel.kind == "lines"
                    else prometheus.newest(expr, at=end)
                )
            except ValueError as error:
                answer.errors.append(str(error))
        found.append(answer)
    return found


def _numbers(series: Mapping[str, Any]) -> bool:
    points = series["values"] if "values" in series else [series["value"]]
    return any(value != "NaN" for _, value in points)
