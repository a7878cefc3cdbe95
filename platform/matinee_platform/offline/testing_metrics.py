"""A run whose figures are measured, and readers of what it exposes, for tests of metrics."""

# ruff: noqa: D102, D103, S101 -- names say what they are for

import re
from pathlib import Path
from typing import Any

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from matinee_platform import metrics
from matinee_platform.metrics import Metric
from matinee_platform.settings import ExperimentSettings, parse_settings

NAMES = ("mf_order", "lin_ucb")
ARMS = [
    {"name": "mf_order", "weight": 0.4, "policy": {"kind": "score_order", "epsilon": 0.2}},
    {"name": "lin_ucb", "weight": 0.6, "policy": {"kind": "lin_ucb", "diversity": 0.05}},
]


def measured_settings(**changes: Any) -> ExperimentSettings:
    values = {
        "name": "measured",
        "seed": 5,
        "users": 120,
        "checkpoint_every": 0,
        "days": 32,
        "slots": 4,
        "candidates": 20,
        "world": {"arrival_days": 2},
        "reward": {"return_visit": {"weight": 0.1, "window_days": 3}},
        "arms": ARMS,
    }
    return parse_settings({**values, **changes})


class Scrape:
    """Samples of a text exposition."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self.names = {family.name for family in families}
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, metric: Metric | str, **labels: str) -> float:
        name = metric if isinstance(metric, str) else metric.name
        return self._samples[name, frozenset({"experiment": "measured", **labels}.items())]

    def has(self, metric: Metric, **labels: str) -> bool:
        return (metric.name, frozenset({"experiment": "measured", **labels}.items())) in (
            self._samples
        )

    def without_times(self) -> dict[Any, float]:
        return {key: value for key, value in self._samples.items() if "_seconds" not in key[0]}


def history(path: Path) -> dict[Any, dict[int, float]]:
    """Values by series and time of an export, each series in the order of time."""
    found: dict[Any, dict[int, float]] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        if not line.startswith("#"):
            name, labels, value, at = re.fullmatch(r"(\w+)\{(.*)\} (\S+) (\d+)", line).groups()  # type: ignore[union-attr]
            series = found.setdefault((name, frozenset(re.findall(r'(\w+)="([^"]*)"', labels))), {})
            assert int(at) > max(series, default=0)
            series[int(at)] = float(value)
    # The official parser loses buckets of a histogram from its second time on.
    others = [line for line in lines if metrics.LEARNER_UPDATES.name not in line]
    parsed = openmetrics_families("\n".join(others) + "\n")  # type: ignore[no-untyped-call]
    assert len(list(parsed)) > 20
    return found
