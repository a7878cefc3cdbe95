"""An offline run's metrics day by day, as OpenMetrics text with the run's own times.

    promtool tsdb create-blocks-from openmetrics --max-block-duration=336h FILE FOLDER

makes a Prometheus database of it, so that dashboards show the run as if it had been watched. A day
is told at its end, and again every `STEP_SECONDS` until the next one is over, as a scrape of the
run would have found it.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from matinee_platform import metrics
from matinee_platform.analysis.experiment.of_run import ANALYSIS
from matinee_platform.json_file import read_json
from matinee_platform.kpis.figures import Row
from matinee_platform.metrics import DECLARED
from matinee_platform.offline.kpi_counter import ArmFigures
from matinee_platform.offline.metrics_export import RunMetrics
from matinee_platform.offline.results import read_results
from matinee_platform.run_settings import run_settings
from matinee_platform.service.analysis_metrics import analysis_rows
from matinee_platform.settings import ExperimentSettings
from matinee_policies.errors import ConfigError, DataError
from matinee_simulator.history import RUN_START

FIGURES = "figures.json"
"""File of a finished run: figures of every arm at the end of each day."""

STEP_SECONDS = 3_600
"""Between two samples of a series."""

_DAY_SECONDS = 86_400

Key = tuple[str, tuple[tuple[str, str], ...]]
Point = tuple[int, float]


def figures_json(
    assigned: Sequence[int], figures: Mapping[str, Sequence[ArmFigures]]
) -> dict[str, Any]:
    """What `FIGURES` holds.

    Args:
        assigned: units of each arm, in the order of the settings.
        figures: of each arm, at the end of each day.
    """
    return {
        "assigned": [int(users) for users in assigned],
        "arms": {arm: [one.to_json() for one in days] for arm, days in figures.items()},
    }


def check_file(path: Path) -> None:
    """Refuse a file that cannot be written, before anything else is.

    Raises:
        ConfigError: naming it.
    """
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"--export-openmetrics must name a file in a writable folder, got {path}")


def export_openmetrics(run: Path, path: Path) -> int:
    """Write the history of a finished run's metrics.

    Args:
        run: its folder.
        path: of the text file; it appears whole.

    Returns:
        How many samples it has.

    Raises:
        DataError: the run is not complete, or older than its figures by day.
    """
    settings = run_settings(run)
    results, told = read_results(run), read_json(run / FIGURES)
    try:
        arms = {
            arm: [ArmFigures.from_json(one) for one in told["arms"][arm]] for arm in told["arms"]
        }
        assigned = [int(users) for users in told["assigned"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(run / FIGURES, rule=f"must hold figures by arm ({error!r})") from None
    history = _History(settings)
    drift = {arm: card["drift"] for arm, card in results["arms"].items()}
    for day in range(settings.days):
        history.add_day(
            day, {arm: days[day] for arm, days in arms.items()}, assigned=assigned, drift=drift
        )
    if (run / ANALYSIS).is_file():
        history.add_analysis(read_json(run / ANALYSIS))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(history)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(generate_latest(registry))  # type: ignore[no-untyped-call]
    partial.replace(path)
    return history.samples


class _History(Collector):
    """Samples of a run by metric and series, each series in the order of time."""

    def __init__(self, settings: ExperimentSettings) -> None:
        self._settings = settings
        self._points: dict[str, dict[Key, list[Point]]] = {one.name: {} for one in DECLARED}

    @property
    def samples(self) -> int:
        """How many there are."""
        return sum(len(points) for kind in self._points.values() for points in kind.values())

    def add_day(
        self,
        day: int,
        figures: Mapping[str, ArmFigures],
        *,
        assigned: Sequence[int],
        drift: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Take in what a scrape at the end of a day would have found."""
        seen = RunMetrics(self._settings, now=lambda: float(_end_of(day)))
        seen.assigned(assigned)
        for arm, one in figures.items():
            seen.update(arm, one)
            seen.drifted(arm, _drift_until(drift[arm], day))
        if day == self._settings.days - 1:
            seen.finish()
        names = {one.name.removesuffix("_total"): one.name for one in DECLARED}
        for family in seen.collect():
            for sample in family.samples:
                key = (sample.name, tuple(sample.labels.items()))
                self._add(names[family.name], key, day, sample.value)

    def add_analysis(self, document: Mapping[str, Any]) -> None:
        """Take in the effects by day, and at the end all that the analysis says."""
        until_ms = _end_of(self._settings.days - 1) * 1_000
        last = self._settings.days - 1
        rows = list(
            analysis_rows(document["experiment"], {**document, "source": {"until_ms": until_ms}})
        )
        for day, row in _effects(document):
            if day < last:
                self._add_row(day, row)
        for metric, labels, value in rows:
            if value is not None and math.isfinite(value):
                self._add_row(last, (metric, labels, value))

    def collect(self) -> Iterator[Family]:
        """All metrics, as `generate_latest` wants them."""
        for metric in DECLARED:
            series = self._points[metric.name]
            if not series:
                continue
            family = Family(metric.name.removesuffix("_total"), metric.help, metric.kind)
            family.samples = _in_order(series)
            yield family

    def _add_row(self, day: int, row: Row) -> None:
        metric, labels, value = row
        key = (metric.name, tuple(zip(metric.labels, labels, strict=True)))
        self._add(metric.name, key, day, value)

    def _add(self, name: str, key: Key, day: int, value: float) -> None:
        held = 1 if day == self._settings.days - 1 else _DAY_SECONDS // STEP_SECONDS
        points = self._points[name].setdefault(key, [])
        points.extend((_end_of(day) + step * STEP_SECONDS, value) for step in range(held))


def _in_order(series: Mapping[Key, Sequence[Point]]) -> list[Sample]:
    """Samples as OpenMetrics wants them: all buckets of a histogram at a time, then the next."""
    grouped: dict[tuple[tuple[str, str], ...], list[tuple[int, Sample]]] = {}
    for (name, labels), points in series.items():
        own = grouped.setdefault(tuple(one for one in labels if one[0] != "le"), [])
        own.extend((at, Sample(name, dict(labels), value, at)) for at, value in points)
    # Stable: buckets keep their order.
    return [one for own in grouped.values() for _, one in sorted(own, key=lambda told: told[0])]


def _effects(document: Mapping[str, Any]) -> Iterator[tuple[int, Row]]:
    """Differences to the control of all days so far, with their intervals at any look."""
    key = document["experiment"]
    for name, metric in document["by_day"].items():
        for arm, found in metric["arms"].items():
            for kind, column in (
                (metrics.ANALYSIS_DIFFERENCE, "difference"),
                (metrics.ANALYSIS_LOW, "low"),
                (metrics.ANALYSIS_HIGH, "high"),
            ):
                for day, value in zip(metric["day"], found["so_far"][column], strict=True):
                    if value is not None:
                        yield day - 1, (kind, (key, arm, name), value)


def _drift_until(drift: Mapping[str, Any], day: int) -> dict[str, Any]:
    """What was known of drift at the end of a day."""
    return {
        "mean": drift["mean"][: day + 1],
        "departure": drift["departure"][: day + 1],
        "alarms": [alarm for alarm in drift["alarms"] if alarm["day"] <= day],
    }


def _end_of(day: int) -> int:
    """End of a day of a run, unix seconds."""
    return int(RUN_START) + (day + 1) * _DAY_SECONDS
