"""Show the figures of an offline run to Prometheus: live over HTTP, and in a file at the end.

Arms run in other processes; their figures come with their day reports, each of them complete since
the start of the run. So this holds the latest figures of each arm and no counter of its own.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from matinee_platform import metrics
from matinee_platform.analysis.drift import ALL_ITEMS
from matinee_platform.analysis.inference.sequential_srm import sequential_srm
from matinee_platform.kpis.figures import Row, kpi_rows
from matinee_platform.metrics import METRICS
from matinee_platform.offline.kpi_counter import ArmFigures
from matinee_platform.settings import ArmSettings, ExperimentSettings
from matinee_policies.errors import ConfigError

METRICS_FILE = "metrics.prom"
"""File of a finished run's metrics, in Prometheus' text format."""

ADDRESS = "127.0.0.1"
"""Metrics are served to this machine alone."""


class RunMetrics(Collector):
    """The metrics of one offline run.

    Args:
        settings: of the experiment.
        now: unix time in seconds.

    Attributes:
        registry: gives them to a scrape.
    """

    def __init__(
        self, settings: ExperimentSettings, *, now: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._now = now
        self._assigned: tuple[int, ...] = ()
        self._figures: dict[str, tuple[ArmFigures, float]] = {}
        self._drift: dict[str, Mapping[str, Any]] = {}
        self._finished: float | None = None
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def assigned(self, users: Sequence[int]) -> None:
        """Take in how many units each arm was given, in the order of the settings."""
        self._assigned = tuple(users)

    def update(self, arm: str, figures: ArmFigures) -> None:
        """Take in an arm's figures; older ones than those held change nothing."""
        held = self._figures.get(arm)
        if held is None or held[0].completed_days <= figures.completed_days:
            self._figures[arm] = (figures, self._now())

    def drifted(self, arm: str, drift: Mapping[str, Any]) -> None:
        """Take in what `analysis.drift.Drift.to_json` says of an arm."""
        self._drift[arm] = drift

    def finish(self) -> None:
        """Note that the run is complete."""
        self._finished = self._now()

    def collect(self) -> Iterator[Family]:
        """All metrics as of now, for a scrape."""
        rows: dict[str, list[Row]] = {metric.name: [] for metric in METRICS}
        for row in self._rows():
            rows[row[0].name].append(row)
        for metric in METRICS:
            if metric.kind == "histogram":
                yield self._update_times()
            else:
                family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
                for _, labels, value in rows[metric.name]:
                    family.add_metric(labels, value)
                yield family

    def text(self) -> str:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry).decode()

    def _rows(self) -> Iterator[Row]:
        for arm in self._settings.arms:
            labels = (self._settings.name, arm.name)
            yield metrics.ARM_SHARE, labels, self._share(arm)
            yield metrics.LAST_DAY, labels, self._settings.days
            held = self._figures.get(arm.name)
            if held is not None:
                yield from _figure_rows(held[0], labels)
                yield metrics.SNAPSHOT, (*labels, arm.policy["kind"]), held[0].snapshot
                yield metrics.KPI_SUCCESS, labels, held[1]
            yield from _drift_rows(self._drift.get(arm.name), labels)
        yield from self._assignment_rows()
        yield from self._split_rows()
        if self._finished is not None:
            yield metrics.RUN_SUCCESS, (self._settings.name,), self._finished

    def _share(self, arm: ArmSettings) -> float:
        """Probability of the arm for a unit; in a paired run every unit is in every arm."""
        return 1.0 if self._settings.design == "paired" else arm.weight

    def _assignment_rows(self) -> Iterator[Row]:
        for arm, users in zip(self._settings.arms, self._assigned, strict=False):
            labels, share = (self._settings.name, arm.name), self._share(arm)
            yield metrics.ASSIGNMENTS, labels, users
            yield metrics.EXPECTED_ASSIGNMENTS, labels, share * self._settings.users
            variance = share * (1.0 - share) * self._settings.users
            yield metrics.ASSIGNMENT_VARIANCE, labels, variance

    def _split_rows(self) -> Iterator[Row]:
        """Evidence against the split, while all arms have come to the same day."""
        told = [
            self._figures[arm.name][0] for arm in self._settings.arms if arm.name in self._figures
        ]
        same_day = len({figures.completed_days for figures in told}) == 1
        if (
            self._settings.design == "paired"
            or len(told) < len(self._settings.arms)
            or not same_day
        ):
            return
        exposed = [figures.kpis.exposed for figures in told]
        found = sequential_srm(exposed, [arm.weight for arm in self._settings.arms])
        yield metrics.SRM_E_VALUE, (self._settings.name,), float(found.e_value[-1])

    def _update_times(self) -> HistogramMetricFamily:
        metric = metrics.LEARNER_UPDATES
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        bounds = [*map(str, metric.buckets), "+Inf"]
        for arm in self._settings.arms:
            held = self._figures.get(arm.name)
            if held is not None:
                counts = held[0].update_counts
                below = [sum(counts[: place + 1]) for place in range(len(counts))]
                family.add_metric(
                    (self._settings.name, arm.name, arm.policy["kind"]),
                    list(zip(bounds, below, strict=True)),
                    held[0].update_seconds,
                )
        return family


def write_metrics(run_metrics: RunMetrics, run: Path) -> None:
    """Write `metrics.prom` into the run's folder; the file appears whole."""
    partial = run / f"{METRICS_FILE}.partial"
    partial.write_text(run_metrics.text(), encoding="utf-8")
    partial.replace(run / METRICS_FILE)


@contextmanager
def served(run_metrics: RunMetrics, port: int | None) -> Iterator[str | None]:
    """Serve `/metrics` on `ADDRESS` within the body.

    Args:
        run_metrics: what to serve.
        port: 0 takes a free one, None serves nothing.

    Yields:
        The address to scrape, None if nothing is served.

    Raises:
        ConfigError: when the port cannot be taken.
    """
    if port is None:
        yield None
        return
    if not 0 <= port <= 65_535:
        raise ConfigError(f"metrics port must be within 0 and 65535, got {port}")
    try:
        server, thread = start_http_server(port, addr=ADDRESS, registry=run_metrics.registry)
    except OSError as error:
        raise ConfigError(
            f"metrics port {port} of {ADDRESS} cannot be taken: {error.strerror}"
        ) from None
    try:
        yield f"http://{ADDRESS}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


_FAMILIES: dict[str, type[CounterMetricFamily] | type[GaugeMetricFamily]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
}


def _drift_rows(drift: Mapping[str, Any] | None, labels: tuple[str, str]) -> Iterable[Row]:
    if drift is None:
        return
    for metric, name in ((metrics.RESIDUAL, "mean"), (metrics.RESIDUAL_DEPARTURE, "departure")):
        known = [value for value in drift[name] if value is not None]
        if known:
            yield metric, labels, known[-1]
    everywhere = sum(alarm["what"] == ALL_ITEMS for alarm in drift["alarms"])
    yield metrics.DRIFT_ALARMS, labels, everywhere
    yield metrics.GENRE_DRIFT_ALARMS, labels, len(drift["alarms"]) - everywhere


def _figure_rows(figures: ArmFigures, labels: tuple[str, str]) -> Iterable[Row]:
    yield metrics.COMPLETED_DAY, labels, figures.completed_days
    if figures.exploration_cost is not None:
        yield metrics.EXPLORATION_COST, labels, figures.exploration_cost
    for (component, outcome), events in figures.rewards.items():
        yield metrics.REWARDS, (*labels, component, outcome), events
    yield from kpi_rows(figures.kpis, labels)
