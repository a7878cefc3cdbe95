"""Metrics: declared once and well, exposed as declared, parsed by the official parser."""

import re
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from matinee_platform import metrics
from matinee_platform.analysis.inference.sequential_srm import sequential_srm
from matinee_platform.metrics import (
    ANALYSIS_METRICS,
    DECLARED,
    KPI_METRICS,
    LEARNER_METRICS,
    LIVE_KPI_METRICS,
    METRICS,
    RUN_METRICS,
    SERVICE_METRICS,
    Metric,
    markdown_table,
)
from matinee_platform.offline.kpi_counter import ArmFigures, KpiCounter
from matinee_platform.offline.metrics_export import RunMetrics, served, write_metrics
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_policies.errors import ConfigError
from matinee_policies.features import ItemFeatures

PARTS = (
    KPI_METRICS,
    RUN_METRICS,
    SERVICE_METRICS,
    LEARNER_METRICS,
    LIVE_KPI_METRICS,
    ANALYSIS_METRICS,
)
ROOT = Path(__file__).parents[2]
LABELS = {
    *("experiment", "arm", "policy", "component", "outcome", "day", "window", "week", "lesson"),
    *("metric", "learning", "learns"),
    *("route", "method", "status", "code", "served_by", "reason", "where", "state", "gate"),
}
Sample = tuple[str, tuple[tuple[str, str], ...]]


def settings(**changes: Any) -> ExperimentSettings:
    arms = [
        {"name": "plain", "weight": 0.25, "policy": {"kind": "score_order"}},
        {"name": "learning", "weight": 0.75, "policy": {"kind": "lin_ucb"}},
    ]
    return parse_settings({"name": "small", "users": 100, "days": 40, "arms": arms, **changes})


def catalogue_of(items: int) -> ItemFeatures:
    return ItemFeatures(
        popularity=np.ones(items, dtype=np.float32),
        popularity_residual=np.zeros(items, dtype=np.float32),
        novelty=np.linspace(0, 1, items, dtype=np.float32),
        genres=np.zeros((items, 1), dtype=np.float32),
        embeddings=np.eye(items, dtype=np.float32),
    )


def figures(*, users: int = 4, days: int = 1) -> ArmFigures:
    counter = KpiCounter(np.arange(users, dtype=np.uint64), days=40, items=catalogue_of(4))
    for day in range(days):
        counter.close_day(np.arange(users, dtype=np.int32), day)
    counter.observe_exploration(np.array([0, 1, 0], dtype=np.int32), np.array([0.5, 0.25, 0.0]))
    counter.observe_update(0.02)
    counter.observe_update(0.2)
    return counter.figures(days - 1, snapshot=days)


def fed(**changes: Any) -> RunMetrics:
    run = RunMetrics(settings(**changes), now=lambda: 1_700_000_000.0)
    run.assigned([20, 80])
    run.update("plain", figures(days=9))
    run.update("learning", figures(users=3, days=9))
    for arm in ("plain", "learning"):
        alarms = [{"day": 8, "what": "all items"}, *[{"day": 7, "what": "Drama"}] * 2]
        run.drifted(
            arm, {"mean": [0.1, 0.25, None], "departure": [None, 1.5, None], "alarms": alarms}
        )
    return run


def samples(text: str) -> dict[Sample, float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: dict[Sample, float], metric: Metric, **labels: str) -> float:
    return found[metric.name, tuple(sorted({"experiment": "small", **labels}.items()))]


@pytest.mark.parametrize("metric", DECLARED, ids=lambda metric: metric.name)
def test_a_metric_is_well_declared(metric: Metric) -> None:
    assert re.fullmatch(r"matinee_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.name.endswith("_ratio") == (metric.unit == "ratio")
    assert ("_seconds" in metric.name) == (metric.unit == "seconds")
    assert not re.search(r"_(count|sum|bucket|created|info)$", metric.name)
    assert metric.help.endswith(".")
    assert "|" not in metric.help
    assert set(metric.labels) <= LABELS
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert bool(metric.buckets) == (metric.kind == "histogram")


def test_names_are_declared_once_and_listed() -> None:
    names = [metric.name for metric in DECLARED]
    assert len(set(names)) == len(names)
    declared = [each for each in vars(metrics).values() if isinstance(each, Metric)]
    assert sorted(metric.name for metric in declared) == sorted(names)


def test_the_documentation_holds_the_table() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for part in PARTS:
        assert markdown_table(part) in text, f"paste the table of {part[0].name} there"
    assert sum(len(part) for part in PARTS) == len(DECLARED)


def test_exposition_is_as_declared() -> None:
    run = fed()
    run.finish()
    families = {family.name: family for family in text_string_to_metric_families(run.text())}
    assert len(families) == len(METRICS)
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert family.samples, metric.name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)
    assert "_created" not in run.text()


def test_values_by_hand() -> None:
    found = samples(fed().text())
    assert value(found, metrics.EXPOSED_USERS, arm="learning") == 3
    assert value(found, metrics.SESSIONS, arm="learning") == 27
    assert value(found, metrics.EXPLORATION_COST, arm="learning") == 0.25
    assert value(found, metrics.RETENTION_ELIGIBLE, arm="learning", day="7") == 3
    assert value(found, metrics.RETENTION_ELIGIBLE, arm="learning", day="28") == 0
    assert value(found, metrics.DAILY_VISITS, arm="learning", window="7") == 21
    assert value(found, metrics.COHORT_USERS, arm="learning", window="7") == 3
    assert value(found, metrics.COHORT_VISITS, arm="learning", window="7") == 21
    assert value(found, metrics.COHORT_USERS, arm="learning", window="28") == 0
    assert value(found, metrics.COHORT_VISITS, arm="learning", window="28") == 0
    assert value(found, metrics.SNAPSHOT, arm="learning", policy="lin_ucb") == 9
    assert value(found, metrics.COMPLETED_DAY, arm="plain") == 9
    assert value(found, metrics.LAST_DAY, arm="plain") == 40
    assert value(found, metrics.KPI_SUCCESS, arm="plain") == 1_700_000_000.0
    assert value(found, metrics.ASSIGNMENTS, arm="plain") == 20
    assert value(found, metrics.EXPECTED_ASSIGNMENTS, arm="plain") == 25
    assert value(found, metrics.ASSIGNMENT_VARIANCE, arm="plain") == 18.75
    assert value(found, metrics.ARM_SHARE, arm="plain") == 0.25
    assert not [name for name, _ in found if name == metrics.RUN_SUCCESS.name]


def test_paired_arms_expect_everybody() -> None:
    found = samples(fed(design="paired").text())
    assert value(found, metrics.EXPECTED_ASSIGNMENTS, arm="plain") == 100
    assert value(found, metrics.ASSIGNMENT_VARIANCE, arm="plain") == 0
    assert not [name for name, _ in found if name == metrics.SRM_E_VALUE.name]


def test_the_split_is_judged_while_arms_are_on_the_same_day() -> None:
    run = fed()
    wanted = sequential_srm([4, 3], [0.25, 0.75]).e_value[-1]
    assert value(samples(run.text()), metrics.SRM_E_VALUE) == pytest.approx(wanted)
    run.update("plain", figures(days=10))
    assert not [name for name, _ in samples(run.text()) if name == metrics.SRM_E_VALUE.name]


def test_the_histogram_is_cumulative() -> None:
    found = samples(fed().text())
    name = metrics.LEARNER_UPDATES.name
    labels = {"experiment": "small", "arm": "learning", "policy": "lin_ucb"}
    buckets = {
        dict(pairs)["le"]: count
        for (sample, pairs), count in found.items()
        if sample == f"{name}_bucket" and dict(pairs)["arm"] == "learning"
    }
    assert [buckets[le] for le in ("0.01", "0.03", "0.1", "0.3", "+Inf")] == [0, 1, 1, 2, 2]
    assert found[f"{name}_count", tuple(sorted(labels.items()))] == 2
    assert found[f"{name}_sum", tuple(sorted(labels.items()))] == pytest.approx(0.22)


def test_an_older_report_changes_nothing() -> None:
    run = fed()
    before = run.text()
    run.update("learning", figures(users=2, days=3))
    assert run.text() == before


def test_users_add_no_series() -> None:
    few, many = (RunMetrics(settings(users=users)) for users in (10, 100_000))
    for run, users in ((few, 10), (many, 100_000)):
        run.assigned([users, 0])
        for arm in ("plain", "learning"):
            run.update(arm, figures(users=users))
    assert samples(few.text()).keys() == samples(many.text()).keys()
    assert len(samples(many.text())) < 140


def test_before_the_first_day_there_is_a_scrape() -> None:
    found = samples(RunMetrics(settings()).text())
    assert {name for name, _ in found} == {metrics.ARM_SHARE.name, metrics.LAST_DAY.name}


def test_the_file_is_the_text(tmp_path: Path) -> None:
    run = fed()
    write_metrics(run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.prom"]
    assert (tmp_path / "metrics.prom").read_text(encoding="utf-8") == run.text()


def test_serves_within_the_body_and_no_longer() -> None:
    run = fed()
    with served(run, 0) as url:
        assert url is not None
        with urllib.request.urlopen(url) as answer:  # noqa: S310
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
            assert samples(answer.read().decode()) == samples(run.text())
        run.update("plain", figures(days=12))
        with urllib.request.urlopen(url) as answer:  # noqa: S310
            assert value(samples(answer.read().decode()), metrics.COMPLETED_DAY, arm="plain") == 12
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(url.rsplit(":")[-1].split("/")[0])), timeout=5)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_taken_port_is_refused(taken: int) -> None:
    with pytest.raises(ConfigError, match=f"metrics port {taken} of 127.0.0.1 cannot be taken"):
        served(fed(), taken).__enter__()


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_is_a_number_of_16_bits(port: int) -> None:
    with pytest.raises(ConfigError, match=f"within 0 and 65535, got {port}"):
        served(fed(), port).__enter__()


def test_no_port_serves_nothing() -> None:
    with served(fed(), None) as url:
        assert url is None


def test_drift_is_that_of_the_last_day_with_pages() -> None:
    found = samples(fed().text())
    assert value(found, metrics.RESIDUAL, arm="learning") == 0.25
    assert value(found, metrics.RESIDUAL_DEPARTURE, arm="learning") == 1.5
    assert value(found, metrics.DRIFT_ALARMS, arm="learning") == 1
    assert value(found, metrics.GENRE_DRIFT_ALARMS, arm="learning") == 2
