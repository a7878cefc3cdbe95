"""How the arms learn that this process serves, read when scraped."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from matinee_platform import metrics
from matinee_platform.serving.arm_runtime import ArmRuntime


class ArmInfoCollector(Collector):
    """Shows the arms in a registry.

    Args:
        arms: that serve now.
    """

    def __init__(self, arms: Callable[[], Sequence[ArmRuntime]]) -> None:
        self._arms = arms

    def collect(self) -> Iterator[Family]:
        """A sample of each arm."""
        metric = metrics.ARM_INFO
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        for arm in self._arms():
            learns = arm.policy.learns and arm.learning != "log_only"
            told = "yes" if learns else "no"
            family.add_metric([arm.experiment, arm.name, arm.learning, told], 1.0)
        if family.samples:
            yield family
