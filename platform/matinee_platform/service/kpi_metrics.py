"""Prometheus gauges of the key figures of running experiments, read when scraped."""

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from matinee_platform import metrics
from matinee_platform.clock import Clock
from matinee_platform.kpis.figures import Row, kpi_rows
from matinee_platform.kpis.kpi_status import KpiStatus
from matinee_platform.kpis.week_by_week import WeekByWeek
from matinee_platform.metrics import KPI_METRICS, LIVE_KPI_METRICS


class KpiCollector(Collector):
    """Shows key figures in a registry; series are of experiments and arms alone.

    Args:
        status: what their process said last, None if nothing; may read a small file.
        clock: of the service.
    """

    def __init__(self, status: Callable[[], KpiStatus | None], *, clock: Clock) -> None:
        self._status, self._clock = status, clock
        self._first_ms: dict[str, int] = {}

    def collect(self) -> Iterator[Family]:
        """All gauges of all experiments."""
        status = self._status()
        if status is None:
            return
        families = {
            one.name: GaugeMetricFamily(one.name, one.help, labels=one.labels)
            for one in (*KPI_METRICS, *LIVE_KPI_METRICS)
        }
        for metric, labels, value in self._rows(status):
            families[metric.name].add_metric(list(labels), value)
        yield from (family for family in families.values() if family.samples)

    def _rows(self, status: KpiStatus) -> Iterator[Row]:
        now_ms = self._clock.now_ms()
        self._first_ms = {
            one.key: self._first_ms.get(one.key, now_ms) for one in status.experiments
        }
        for one in status.experiments:
            since_ms = one.until_ms or self._first_ms[one.key]
            yield metrics.KPI_AGE, (one.key,), max(now_ms - since_ms, 0) / 1_000.0
            yield metrics.KPI_FAILED, (one.key,), float(bool(one.reason))
            yield metrics.KPI_UNREAD, (one.key,), one.unread
            if not one.until_ms:
                continue
            yield metrics.SEVERAL_ARMS, (one.key,), one.several
            if one.e_value is not None:
                yield metrics.SRM_E_VALUE, (one.key,), one.e_value
            for arm, weeks in one.weeks.items():
                yield from _week_rows(weeks, (one.key, arm))
            for arm, figures in one.arms.items():
                yield metrics.KPI_SUCCESS, (one.key, arm), one.until_ms / 1_000.0
                yield from kpi_rows(figures, (one.key, arm))


def _week_rows(weeks: WeekByWeek, labels: tuple[str, str]) -> Iterator[Row]:
    yield metrics.WEEK_PAGES, (*labels, "this"), weeks.pages
    yield metrics.WEEK_PAGES, (*labels, "last"), weeks.pages_before
    yield metrics.WEEK_ENGAGEMENT, (*labels, "this"), weeks.engagement
    yield metrics.WEEK_ENGAGEMENT, (*labels, "last"), weeks.engagement_before
    if weeks.departure is not None:
        yield metrics.ENGAGEMENT_DEPARTURE, labels, weeks.departure
