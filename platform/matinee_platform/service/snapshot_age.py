"""How old the snapshots are that this process serves, read when scraped."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from matinee_platform import metrics
from matinee_platform.clock import Clock
from matinee_platform.serving.arm_runtime import ArmRuntime
from matinee_platform.serving.swap import SnapshotPoller


class SnapshotAgeCollector(Collector):
    """Shows ages in a registry.

    Args:
        arms: that serve now.
        poller: knows when their snapshots were made.
        clock: of the service.
    """

    def __init__(
        self, arms: Callable[[], Sequence[ArmRuntime]], poller: SnapshotPoller, *, clock: Clock
    ) -> None:
        self._arms, self._poller, self._clock = arms, poller, clock

    def collect(self) -> Iterator[Family]:
        """The age of each arm's snapshot, where a learner made it."""
        metric = metrics.SERVING_SNAPSHOT_AGE
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        for arm in self._arms():
            made_ms = self._poller.made_ms(arm.experiment, arm.name, version=arm.version)
            if made_ms is not None:
                age = max(self._clock.now_ms() - made_ms, 0) / 1_000.0
                family.add_metric([arm.experiment, arm.name], age)
        if family.samples:
            yield family
