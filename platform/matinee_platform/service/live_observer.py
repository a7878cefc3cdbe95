"""Counts what the decision runtime tells of itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from matinee_platform import metrics
from matinee_platform.clock import Clock

FALLBACK_MEMORY_MS = 10_000
"""How long a fallback counts as a condition of now."""


class LiveObserver:
    """An `Observer` that keeps metrics.

    Args:
        clock: tells when a policy failed last.

    Attributes:
        collectors: the metrics, for a registry.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fell_back_at: int | None = None
        own = CollectorRegistry(auto_describe=False)
        kind = metrics.DECISION_SECONDS
        self._seconds = Histogram(
            kind.name, kind.help, kind.labels, registry=own, buckets=kind.buckets
        )
        self._units = _counter(metrics.UNIT_READS, own)
        self._swapped = _counter(metrics.SNAPSHOTS_SWAPPED, own)
        self._refused = _counter(metrics.SNAPSHOTS_REFUSED, own)
        kind = metrics.SERVING_SNAPSHOT
        self._version = Gauge(kind.name, kind.help, kind.labels, registry=own)
        self._seconds_of: dict[tuple[str, str], Histogram] = {}
        self._units_of: dict[tuple[str, str, bool], Counter] = {}
        self.collectors: tuple[Collector, ...] = (own,)

    @property
    def falling_back(self) -> bool:
        """Whether a policy failed lately."""
        at = self._fell_back_at
        return at is not None and self._clock.now_ms() - at < FALLBACK_MEMORY_MS

    def decided(self, experiment: str, arm: str, *, decisions: int, seconds: float) -> None:
        """See `Observer.decided`."""
        key = (experiment, arm)
        series = self._seconds_of.get(key)
        if series is None:
            series = self._seconds_of[key] = self._seconds.labels(experiment, arm)
        series.observe(seconds)

    def fell_back(self, experiment: str, arm: str, *, reason: str) -> None:
        """See `Observer.fell_back`; the slates are counted when they are logged."""
        self._fell_back_at = self._clock.now_ms()

    def asked_unit(self, experiment: str, arm: str, *, at_hand: bool) -> None:
        """See `Observer.asked_unit`."""
        key = (experiment, arm, at_hand)
        series = self._units_of.get(key)
        if series is None:
            where = "memory" if at_hand else "log"
            series = self._units_of[key] = self._units.labels(experiment, arm, where)
        series.inc()

    def swapped(self, experiment: str, arm: str, *, version: int) -> None:
        """See `Observer.swapped`."""
        self._swapped.labels(experiment, arm).inc()
        self._version.labels(experiment, arm).set(version)

    def refused_snapshot(self, experiment: str, arm: str, *, version: int, reason: str) -> None:
        """See `Observer.refused_snapshot`."""
        self._refused.labels(experiment, arm).inc()


def _counter(metric: metrics.Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.help, metric.labels, registry=registry)
