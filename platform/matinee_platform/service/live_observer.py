"""Counts what the decision runtime tells of itself."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from matinee_platform import metrics
from matinee_platform.clock import Clock

FALLBACK_MEMORY_MS = 10_000
"""How long fallbacks count as a condition of now, at most; half of it at least."""

FALLING_BACK = 0.1
"""Share of an arm's decisions of now that are fallbacks, from which on the arm counts as failing:
one caller's odd pages do not make it so for all."""


@dataclass(slots=True)
class _Recent:
    """Decisions of an arm in this span of time, and in the one before."""

    span: int = -1
    decided: int = 0
    fell_back: int = 0
    decided_before: int = 0
    fell_back_before: int = 0

    def turn(self, span: int) -> None:
        """Begin a span if it is another one."""
        if span == self.span:
            return
        follows = span == self.span + 1
        self.decided_before = self.decided if follows else 0
        self.fell_back_before = self.fell_back if follows else 0
        self.span, self.decided, self.fell_back = span, 0, 0

    @property
    def is_failing(self) -> bool:
        """Whether too large a share fell back."""
        fell_back = self.fell_back + self.fell_back_before
        decided = self.decided + self.decided_before
        return fell_back > 0 and fell_back >= FALLING_BACK * decided


class LiveObserver:
    """An `Observer` that keeps metrics.

    Args:
        clock: tells when a policy failed.

    Attributes:
        collectors: the metrics, for a registry.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recent: dict[tuple[str, str], _Recent] = {}
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
        """Whether some arm's decisions of now fall back, a tenth of them or more."""
        found = False
        for recent in self._recent.values():
            recent.turn(self._span())
            found = found or recent.is_failing
        return found

    def serves(self, experiment: str, arm: str) -> None:
        """See `Observer.serves`: counters begin at 0, so that the first refusal is an increase."""
        self._swapped.labels(experiment, arm)
        self._refused.labels(experiment, arm)

    def decided(self, experiment: str, arm: str, *, decisions: int, seconds: float) -> None:
        """See `Observer.decided`."""
        key = (experiment, arm)
        series = self._seconds_of.get(key)
        if series is None:
            series = self._seconds_of[key] = self._seconds.labels(experiment, arm)
        series.observe(seconds)
        self._recent_of(key).decided += decisions

    def fell_back(self, experiment: str, arm: str, *, reason: str) -> None:
        """See `Observer.fell_back`; the slates are counted when they are logged."""
        self._recent_of((experiment, arm)).fell_back += 1

    def asked_unit(self, experiment: str, arm: str, *, at_hand: bool) -> None:
        """See `Observer.asked_unit`."""
        key = (experiment, arm, at_hand)
        series = self._units_of.get(key)
        if series is None:
            # Both at once: a share of what never happened is 0, not nothing.
            memory, log = (self._units.labels(experiment, arm, one) for one in ("memory", "log"))
            series = self._units_of[key] = memory if at_hand else log
        series.inc()

    def swapped(self, experiment: str, arm: str, *, version: int) -> None:
        """See `Observer.swapped`."""
        self._swapped.labels(experiment, arm).inc()
        self._version.labels(experiment, arm).set(version)

    def refused_snapshot(self, experiment: str, arm: str, *, version: int, reason: str) -> None:
        """See `Observer.refused_snapshot`."""
        self._refused.labels(experiment, arm).inc()

    def _span(self) -> int:
        return self._clock.now_ms() // (FALLBACK_MEMORY_MS // 2)

    def _recent_of(self, key: tuple[str, str]) -> _Recent:
        recent = self._recent.get(key)
        if recent is None:
            recent = self._recent[key] = _Recent()
        recent.turn(self._span())
        return recent


def _counter(metric: metrics.Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.help, metric.labels, registry=registry)
