"""Prometheus gauges that say what the newest analyses say, read when scraped."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from matinee_platform import metrics
from matinee_platform.metrics import ANALYSIS_METRICS, Metric

HARMED = "harmed"
"""Of a guardrail that is worse than its margin: one of `analysis.GUARDRAIL_WORDS`."""

_DAYS = (1, 7, 28)

Document = Mapping[str, Any]
Row = tuple[Metric, tuple[str, ...], float | None]


class AnalysisCollector(Collector):
    """Shows analyses in a registry; series are of experiments, arms and declared metrics alone.

    Args:
        shown: the newest analysis of each experiment, by key; must not wait for anything.
    """

    def __init__(self, shown: Callable[[], Mapping[str, Document]]) -> None:
        self._shown = shown

    def collect(self) -> Iterator[Family]:
        """All gauges of all analyses."""
        families = {
            one.name: GaugeMetricFamily(one.name, one.help, labels=one.labels)
            for one in ANALYSIS_METRICS
        }
        for key, document in self._shown().items():
            for metric, labels, value in analysis_rows(key, document):
                if value is not None:
                    families[metric.name].add_metric(list(labels), value)
        yield from (family for family in families.values() if family.samples)


def analysis_rows(key: str, document: Document) -> Iterator[Row]:
    """Every gauge of one analysis, None where there is no value."""
    yield metrics.ANALYSIS_UNTIL, (key,), document["source"]["until_ms"] / 1_000
    for gate in document["gates"]:
        labels = (key, gate["name"].replace(" ", "_"))
        yield metrics.ANALYSIS_GATE_FAILED, labels, float(gate["outcome"] == "failed")
    for arm, found in document["arms"].items():
        yield metrics.ANALYSIS_UNITS, (key, arm), found["units"]
    yield from _retention_rows(key, document["retention"]["metrics"])
    for name, metric in document["metrics"].items():
        if metric["role"] != "other":
            yield from _metric_rows(key, name, metric)


def _retention_rows(key: str, family: Document) -> Iterator[Row]:
    for day in _DAYS:
        for arm, found in family[f"d{day}"]["arms"].items():
            yield metrics.ANALYSIS_ELIGIBLE, (key, arm, str(day)), found["eligible"]
            yield metrics.ANALYSIS_RETURNED, (key, arm, str(day)), found["returned"]
    for arm, found in family["returned_within_7"]["arms"].items():
        yield metrics.ANALYSIS_RETURNED_WITHIN, (key, arm, "7"), found["returned"]


def _metric_rows(key: str, name: str, metric: Document) -> Iterator[Row]:
    for arm, found in metric["arms"].items():
        yield metrics.ANALYSIS_VALUE, (key, arm, name), found["value"]
    for arm, effect in metric["effects"].items():
        judged: Document = effect["judged"]
        shown: Sequence[tuple[Metric, str]] = (
            (metrics.ANALYSIS_DIFFERENCE, "difference"),
            (metrics.ANALYSIS_LOW, "low"),
            (metrics.ANALYSIS_HIGH, "high"),
            (metrics.ANALYSIS_P_VALUE, "corrected_p_value"),
        )
        for gauge, field in shown:
            yield gauge, (key, arm, name), judged[field]
        if effect["guardrail"] is not None:
            harmed = effect["guardrail"]["outcome"] == HARMED
            yield metrics.ANALYSIS_GUARDRAIL_HARMED, (key, arm, name), float(harmed)
