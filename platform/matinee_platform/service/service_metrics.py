"""The service's own Prometheus metrics, in a registry of their own.

Series are made when first used and kept, and those of rare events before them, at 0: an event costs
one lookup. Every label comes from a small set: routes, states, experiments and arms, never an id.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, cast

import prometheus_client
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from matinee_platform import metrics
from matinee_platform.metrics import Metric
from matinee_platform.service.answers import Served
from matinee_platform.service.errors import INTERNAL
from matinee_platform.service.parts import ServiceParts
from matinee_platform.service.readiness import Verdict
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.serving.fallback import REASONS
from matinee_platform.storage.records import RewardState, ServedBy

STATES = ("starting", "ready", "degraded", "down")
METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})
UNMATCHED = "unmatched"

SERVED_WORDS: dict[ServedBy, Served] = {
    ServedBy.POLICY: "policy",
    ServedBy.FALLBACK: "fallback",
    ServedBy.DEFAULT: "default",
}
REWARD_WORDS: dict[RewardState, Literal["joined", "early", "late", "duplicate", "orphan"]] = {
    RewardState.JOINED: "joined",
    RewardState.EARLY: "early",
    RewardState.LATE: "late",
    RewardState.DUPLICATE: "duplicate",
    RewardState.ORPHAN: "orphan",
}


class ServiceMetrics:
    """Counts what the service does.

    Attributes:
        registry: gives the metrics to a scrape.
        in_flight: requests being answered now.
    """

    def __init__(self) -> None:
        # Times at which counters were made would double the number of series.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=False)
        self.in_flight = 0
        self._requests = _counter(metrics.HTTP_REQUESTS, self.registry)
        self._seconds = _histogram(metrics.HTTP_SECONDS, self.registry)
        self._problems = _counter(metrics.PROBLEMS, self.registry)
        self._served = _counter(metrics.SERVED, self.registry)
        self._outside = _counter(metrics.OUTSIDE, self.registry)
        self._repeated = _counter(metrics.REPEATED_DECISIONS, self.registry)
        self._fallbacks = _counter(metrics.FALLBACKS, self.registry)
        self._rewards = _counter(metrics.REWARD_EVENTS, self.registry)
        self._in_flight = _gauge(metrics.HTTP_IN_FLIGHT, self.registry)
        # CPU, memory and files of this process, as every client tells them, under our prefix.
        ProcessCollector(namespace="matinee", registry=self.registry)
        self._in_flight.set_function(lambda: float(self.in_flight))
        self._answer_series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._served_series: dict[tuple[str, str, int], Counter] = {}
        self._reward_series: dict[tuple[str, str], Counter] = {}
        # Counters that alerts ask for begin at 0: the first event is an increase.
        self._problems.labels(INTERNAL.code)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        key = (route, method, status)
        series = self._answer_series.get(key)
        if series is None:
            word = method if method in METHODS else "other"
            series = (
                self._requests.labels(route, word, str(status)),
                self._seconds.labels(route),
            )
            if word == method:
                self._answer_series[key] = series
        series[0].inc()
        series[1].observe(seconds)

    def problem(self, code: str) -> None:
        """A request was answered with a problem."""
        self._problems.labels(code).inc()

    def served(self, experiment: str, arm: str, by: ServedBy, *, fallback: str | None) -> None:
        """A new decision was logged."""
        key = (experiment, arm, int(by))
        series = self._served_series.get(key)
        if series is None:
            series = self._served.labels(experiment, arm, SERVED_WORDS[by])
            self._served_series[key] = series
            self._served.labels(experiment, arm, SERVED_WORDS[ServedBy.FALLBACK])
            for reason in REASONS:
                self._fallbacks.labels(experiment, arm, reason)
        series.inc()
        if fallback is not None:
            self._fallbacks.labels(experiment, arm, fallback).inc()

    def outside(self, experiment: str) -> None:
        """A unit outside the experiment got the default ranking."""
        self._outside.labels(experiment).inc()

    def repeated(self, experiment: str) -> None:
        """A decision was asked for again."""
        self._repeated.labels(experiment).inc()

    def reward(self, component: str, outcome: str) -> None:
        """A reward event came."""
        key = (component, outcome)
        series = self._reward_series.get(key)
        if series is None:
            series = self._reward_series[key] = self._rewards.labels(component, outcome)
        series.inc()

    def watch(self, parts: ServiceParts, settings: ServiceSettings) -> None:
        """Show the state of the parts, and their own metrics, from now on."""
        self.registry.register(_PartsCollector(parts, settings))
        for collector in parts.collectors:
            self.registry.register(cast("Collector", collector))

    def text(self, verdict: Verdict) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry) + generate_latest(_state_registry(verdict))


class _PartsCollector(Collector):
    """Reads the queue and the spool of the log when scraped, and what limits them."""

    def __init__(self, parts: ServiceParts, settings: ServiceSettings) -> None:
        self._parts, self._settings = parts, settings

    def collect(self) -> Iterator[Family]:
        appender = self._parts.appender
        yield from _gauges(
            (
                (metrics.LOG_QUEUED, (), appender.queued),
                (metrics.LOG_SPOOLED, (), appender.spooled),
                (metrics.LOG_QUEUE_LIMIT, (), self._settings.queue_rows),
                (metrics.HTTP_IN_FLIGHT_LIMIT, (), self._settings.limits.in_flight),
            )
        )


class _StateCollector(Collector):
    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict

    def collect(self) -> Iterator[Family]:
        yield from _gauges(
            (metrics.SERVICE_STATE, (state,), float(state == self._verdict.state))
            for state in STATES
        )


def _state_registry(verdict: Verdict) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StateCollector(verdict))
    return registry


def _gauges(rows: Iterable[tuple[Metric, Sequence[str], float]]) -> Iterator[Family]:
    families: dict[str, GaugeMetricFamily] = {}
    for metric, labels, value in rows:
        family = families.get(metric.name)
        if family is None:
            family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            families[metric.name] = family
        family.add_metric(list(labels), value)
    yield from families.values()


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def _gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    options: dict[str, Any] = {"buckets": metric.buckets}
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, **options)
