"""The alerts on the learner fire on what a learner says, when they should."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.registry import CollectorRegistry

from matinee_platform.clock import FakeClock
from matinee_platform.learning.learner_metrics import LearnerCollector
from matinee_platform.learning.learner_status import ArmState, ArmStatus, LearnerStatus
from matinee_platform.metrics import LEARNER_METRICS

RULES = Path(__file__).parents[2] / "dashboards" / "rules" / "learner_lag.yml"
_EXPR = re.compile(
    r"(?P<pick>min|max)(?: by \((?P<by>[\w, ]+)\) )?\((?P<metric>\w+)\) > (?P<bound>\d+)"
    r"(?P<learns> and on \(\) count\(matinee_arm_learning\{learns=\"yes\"\}\) > 0)?"
    r"(?P<runs> and on \(experiment\) \(matinee_arm_learning or matinee_kpi_age_seconds\))?\Z"
)


def rules() -> list[dict[str, Any]]:
    told = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    assert set(told) == {"groups"}
    return [rule for group in told["groups"] for rule in group["rules"]]


def firing(
    *told: LearnerStatus | None,
    clock: FakeClock,
    ages: float = 0.0,
    learns: bool = True,
    runs: bool = True,
) -> set[str]:
    """Alerts whose expression holds for what the learner of each service said last.

    Args:
        told: by service.
        clock: of all.
        ages: seconds that pass after the services started.
        learns: whether any arm has something to learn.
        runs: whether the experiment runs.
    """
    registries = [CollectorRegistry() for _ in told]
    for registry, status in zip(registries, told, strict=True):
        registry.register(LearnerCollector(partial(_same, status), clock=clock))
    clock.advance(seconds=ages)
    values: dict[str, list[float]] = {}
    for registry in registries:
        for family in registry.collect():
            for sample in family.samples:
                values.setdefault(sample.name, []).append(sample.value)
    found = set()
    for rule in rules():
        parts = _EXPR.match(rule["expr"])
        assert parts is not None
        pick = min if parts["pick"] == "min" else max
        if (parts["learns"] and not learns) or (parts["runs"] and not runs):
            continue
        if pick(values.get(parts["metric"], [0.0])) > float(parts["bound"]):
            found.add(rule["alert"])
    return found


def _same(status: LearnerStatus | None) -> LearnerStatus | None:
    return status


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
    assert firing(well, clock=clock) == set()
    clock.advance(seconds=25)
    assert firing(well, clock=clock) == set()
    clock.advance(seconds=10)
    assert firing(well, clock=clock) == {"MatineeLearnerLags"}
    clock.advance(seconds=30)
    assert firing(well, clock=clock) == {"MatineeLearnerLags", "MatineeLearnerSilent"}
    now = clock.now_ms()
    failed = ArmStatus(
        experiment="home", arm="new", state="failed", version=3, caught_up_ms=now, reason="damaged"
    )
    status = LearnerStatus(process=1, beat_ms=now, arms=(failed,))
    assert firing(status, clock=clock) == {"MatineeLearnerFails"}
    assert firing(status, clock=clock, ages=40.0, runs=False) == set()


def test_a_learner_that_took_over_ends_them() -> None:
    clock = FakeClock()
    then = clock.now_ms()
    old = LearnerStatus(process=1, beat_ms=then, arms=(arm_at(then),))
    clock.advance(seconds=600)
    now = clock.now_ms()
    new = LearnerStatus(process=2, beat_ms=now, arms=(arm_at(now - 1_000),))
    waiting = LearnerStatus(process=1, beat_ms=now, arms=(arm_at(then, state="waiting"),))
    assert firing(old, clock=clock) == {"MatineeLearnerLags", "MatineeLearnerSilent"}
    # The old one is gone, or came back without its lease.
    assert firing(old, new, clock=clock) == set()
    assert firing(waiting, new, clock=clock) == set()
    assert firing(waiting, clock=clock) == set(), "it does not know what the other one does"


def test_a_learner_that_never_ran_is_silent_since_the_service_began() -> None:
    clock = FakeClock()
    assert firing(None, clock=clock, ages=50.0) == set()
    assert firing(None, clock=clock, ages=70.0) == {"MatineeLearnerSilent"}
    assert firing(None, clock=clock, ages=70.0, learns=False) == set()
    elsewhere = LearnerStatus(process=2, beat_ms=clock.now_ms() + 70_000)
    assert firing(None, elsewhere, clock=clock, ages=70.0) == set()


def arm_at(caught_up_ms: int, *, state: ArmState = "learning") -> ArmStatus:
    return ArmStatus(
        experiment="home", arm="new", state=state, version=3, caught_up_ms=caught_up_ms
    )
