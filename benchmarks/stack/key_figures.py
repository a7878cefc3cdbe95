"""The key figures on the dashboard against the analysis of the same log, panel by panel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matinee_dashboards.asked import as_asked
from matinee_dashboards.experiment import EXPERIMENT_BOARD
from panel_answers import choices_of
from prometheus_server import Prometheus

METRIC_OF_PANEL = {
    "Back on day 1": "d1",
    "Back on day 7": "d7",
    "Back on day 28": "d28",
    "Back within 7 days": "returned_within_7",
    "Stickiness of the first 28 days": "stickiness",
    "Click-through rate": "ctr",
    "Watched per session": "engagement_per_session",
    "Sessions per user": "sessions_per_user",
}
"""Panels whose figure is a metric of the analysis."""

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One number of one arm, told twice.

    Attributes:
        panel: title.
        arm: name.
        shown: by the dashboard; None if it shows nothing.
        analysed: by the analysis; None if it has no value yet.
    """

    panel: str
    arm: str
    shown: float | None
    analysed: float | None

    @property
    def equal(self) -> bool:
        """Whether both say the same, but for the last digits of sums in another order."""
        if self.shown is None or self.analysed is None:
            return self.shown is self.analysed
        return abs(self.shown - self.analysed) <= _TOLERANCE * max(1.0, abs(self.analysed))


def key_figures(
    prometheus: Prometheus, analysis: Mapping[str, Any], *, experiment: str
) -> list[KeyFigure]:
    """Every key figure that both have, of every arm.

    Args:
        prometheus: that the dashboard asks.
        analysis: document of the same moment.
        experiment: key.
    """
    choices = choices_of(EXPERIMENT_BOARD, prometheus, experiment=experiment)
    found = []
    for panel in EXPERIMENT_BOARD.panels:
        analysed = _analysed(panel.title, analysis)
        if analysed is None:
            continue
        expr = as_asked(panel.queries[0].expr, choices=choices, interval="1m")
        answered = prometheus.newest(expr)
        shown = {one["metric"]["arm"]: float(one["value"][1]) for one in answered}
        found += [
            KeyFigure(panel.title, arm, shown.get(arm), value) for arm, value in analysed.items()
        ]
    return found


def _analysed(title: str, analysis: Mapping[str, Any]) -> dict[str, float | None] | None:
    """What the analysis says of each arm, or None if it has nothing of the kind."""
    arms: Mapping[str, Any] = analysis["arms"]
    if title == "Users by arm":
        return {arm: float(one["units"]) for arm, one in arms.items()}
    if title == "Pages per session":
        return {arm: one["pages"] / one["sessions"] for arm, one in arms.items()}
    name = METRIC_OF_PANEL.get(title)
    if name is None:
        return None
    told: Mapping[str, Any] = analysis["metrics"][name]["arms"]
    return {arm: one["value"] for arm, one in told.items()}
