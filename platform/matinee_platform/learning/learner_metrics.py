"""Prometheus metrics of the learner, read from what it says of itself when scraped."""

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from matinee_platform import metrics
from matinee_platform.clock import Clock
from matinee_platform.learning.learner_status import ArmStatus, LearnerStatus


class LearnerCollector(Collector):
    """Shows the learner's status in a registry.

    Args:
        status: what the learner said last, None if nothing; may read a small file.
        clock: of the service.
    """

    def __init__(self, status: Callable[[], LearnerStatus | None], *, clock: Clock) -> None:
        self._status, self._clock = status, clock
        self._started_ms = clock.now_ms()

    def collect(self) -> Iterator[Family]:
        """Families of every arm that the learner has learned.

        A learner that never said anything is silent since the start of this process. What an arm
        that another process learns waits for is for that process to tell.
        """
        status = self._status()
        now_ms = self._clock.now_ms()
        beat_ms = self._started_ms if status is None else status.beat_ms
        yield _gauge(metrics.LEARNER_BEAT, [((), (now_ms - beat_ms) / 1_000.0)])
        if status is None:
            return
        known = [one for one in status.arms if one.version >= 0]
        yield _gauge(
            metrics.LEARNER_LAG,
            [
                (_key(one), (now_ms - one.caught_up_ms) / 1_000.0)
                for one in known
                if one.state != "waiting"
            ],
        )
        yield _gauge(
            metrics.LEARNER_FAILED, [(_key(one), one.state == "failed") for one in status.arms]
        )
        yield _gauge(metrics.SNAPSHOT_VERSION, [(_key(one), one.version) for one in known])
        yield _gauge(metrics.BARRIER_SECONDS, [(_key(one), one.seconds) for one in known])
        yield _gauge(metrics.BARRIER_DELAY, [(_key(one), one.delay_seconds) for one in known])
        yield _counter(
            metrics.LEARNED_DECISIONS,
            [((*_key(one), lesson), n) for one in known for lesson, n in one.learned.items()],
        )
        yield _counter(
            metrics.REFUSED_DECISIONS,
            [((*_key(one), lesson), n) for one in known for lesson, n in one.refused.items()],
        )
        yield _gauge(metrics.REFUSED_NOTED, [(_key(one), one.refused_noted) for one in known])
        yield _gauge(metrics.REFUSED_RANGES, [(_key(one), one.refused_ranges) for one in known])
        yield _counter(
            metrics.LEARNED_EVENTS,
            [
                ((*_key(one), component, outcome), n)
                for one in known
                for component, counts in one.events.items()
                for outcome, n in counts.items()
            ],
        )


def _key(status: ArmStatus) -> tuple[str, str]:
    return status.experiment, status.arm


def _gauge(metric: metrics.Metric, rows: list[tuple[tuple[str, ...], Any]]) -> Family:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in rows:
        family.add_metric(labels, float(value))
    return family


def _counter(metric: metrics.Metric, rows: list[tuple[tuple[str, ...], Any]]) -> Family:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in rows:
        family.add_metric(labels, float(value))
    return family
