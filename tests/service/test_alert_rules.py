"""The alerts on the learner fire on what a learner says, when they should."""

import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.registry import CollectorRegistry

from matinee_platform.clock import FakeClock
from matinee_platform.learning.learner_metrics import LearnerCollector
from matinee_platform.learning.learner_status import ArmStatus, LearnerStatus
from matinee_platform.metrics import LEARNER_METRICS

RULES = Path(__file__).parents[2] / "dashboards" / "rules" / "learner_lag.yml"
_EXPR = re.compile(r"max(?: by \((?P<by>[\w, ]+)\) )?\((?P<metric>\w+)\) > (?P<bound>\d+)\Z")


def rules() -> list[dict[str, Any]]:
    told = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    assert set(told) == {"groups"}
    return [rule for group in told["groups"] for rule in group["rules"]]


def firing(status: LearnerStatus, clock: FakeClock) -> set[str]:
    """Alerts whose expression holds for what the learner said last."""
    registry = CollectorRegistry()
    registry.register(LearnerCollector(lambda: status, clock=clock))
    values: dict[str, list[float]] = {}
    for family in registry.collect():
        for sample in family.samples:
            values.setdefault(sample.name, []).append(sample.value)
    found = set()
    for rule in rules():
        parts = _EXPR.match(rule["expr"])
        assert parts is not None
        if max(values.get(parts["metric"], [0.0])) > float(parts["bound"]):
            found.add(rule["alert"])
    return found


def test_the_rules_are_whole_and_name_metrics_that_there_are() -> None:
    known = {metric.name: metric.labels for metric in LEARNER_METRICS}
    assert len(rules()) == len({rule["alert"] for rule in rules()}) == 3
    for rule in rules():
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[ms]", rule["for"])
        assert rule["labels"]["severity"] in ("warning", "critical")
        parts = _EXPR.match(rule["expr"])
        assert parts is not None
        labels = set((parts["by"] or "").replace(" ", "").split(",")) - {""}
        assert labels <= set(known[parts["metric"]])
        used = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert used <= labels


def test_they_fire_when_learning_stops_and_not_before() -> None:
    clock = FakeClock()
    now = clock.now_ms()
    arm = ArmStatus(experiment="home", arm="new", version=3, caught_up_ms=now - 1_000)
    well = LearnerStatus(process=1, beat_ms=now, arms=(arm,))
    assert firing(well, clock) == set()
    clock.advance(seconds=25)
    assert firing(well, clock) == set()
    clock.advance(seconds=10)
    assert firing(well, clock) == {"MatineeLearnerLags"}
    clock.advance(seconds=30)
    assert firing(well, clock) == {"MatineeLearnerLags", "MatineeLearnerSilent"}
    now = clock.now_ms()
    failed = ArmStatus(
        experiment="home", arm="new", state="failed", version=3, caught_up_ms=now, reason="damaged"
    )
    assert firing(LearnerStatus(process=1, beat_ms=now, arms=(failed,)), clock) == {
        "MatineeLearnerFails"
    }
