"""Gauges of a service's limits, process, snapshots and guardrails, as a scrape finds them."""

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from matinee_platform import metrics
from matinee_platform.analysis.experiment.analysis import GUARDRAIL_WORDS
from matinee_platform.analysis.inference.non_inferiority import Verdict
from matinee_platform.clock import FakeClock
from matinee_platform.metrics import SERVICE_METRICS
from matinee_platform.service.analysis_metrics import HARMED, analysis_rows
from matinee_platform.service.arm_info import ArmInfoCollector
from matinee_platform.service.live_observer import LiveObserver
from matinee_platform.service.snapshot_age import SnapshotAgeCollector
from matinee_platform.service.testing_parts import Bench
from matinee_platform.serving.fallback import REASONS
from matinee_platform.serving.observer import Nobody
from matinee_platform.serving.swap import SnapshotPoller
from matinee_platform.storage.records import Barrier


def samples(text: str) -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_problems_of_unknown_paths_and_methods_are_counted(client: Any) -> None:
    client.get("/nothing")
    client.request("DELETE", "/v1/decisions")
    text = client.get("/metrics").text
    for code in ("not_found", "method"):
        assert f'{metrics.PROBLEMS.name}{{code="{code}"}} 1.0' in text


def test_limits_and_the_process_are_shown_as_declared(bench: Bench, client: Any) -> None:
    found = samples(client.get("/metrics").text)
    declared = {one.name for one in SERVICE_METRICS}
    assert found[metrics.LOG_QUEUE_LIMIT.name] == bench.settings.queue_rows
    assert found[metrics.HTTP_IN_FLIGHT_LIMIT.name] == bench.settings.limits.in_flight
    own = {name for name in found if name.startswith("matinee_process_")}
    assert own == {name for name in declared if name.startswith("matinee_process_")}
    assert found[metrics.PROCESS_MEMORY.name] > 1e6
    assert 0 < found[metrics.PROCESS_FILES.name] < found[metrics.PROCESS_FILES_LIMIT.name]


def test_counters_that_alerts_ask_for_begin_at_0(bench: Bench, client: Any) -> None:
    def lines() -> list[str]:
        return str(client.get("/metrics").text).splitlines()

    assert f'{metrics.PROBLEMS.name}{{code="internal"}} 0.0' in lines()
    client.post("/v1/decisions", json={"experiment": "home", "unit": "ada"})
    arm = f'arm="{bench.log.decisions[0].record.arm}",experiment="home"'
    found = lines()
    assert f'{metrics.SERVED.name}{{{arm},served_by="policy"}} 1.0' in found
    assert f'{metrics.SERVED.name}{{{arm},served_by="fallback"}} 0.0' in found
    for reason in REASONS:
        assert f'{metrics.FALLBACKS.name}{{{arm},reason="{reason}"}} 0.0' in found
    observer, registry = LiveObserver(bench.clock), CollectorRegistry(auto_describe=False)
    for one in observer.collectors:
        registry.register(one)
    name = f'{metrics.SNAPSHOTS_REFUSED.name}{{arm="new",experiment="home"}}'
    observer.serves("home", "new")
    assert f"{name} 0.0" in generate_latest(registry).decode()
    observer.asked_unit("home", "new", at_hand=False)
    for where, count in (("memory", 0.0), ("log", 1.0)):
        read = f'{metrics.UNIT_READS.name}{{arm="new",experiment="home",where="{where}"}} {count}'
        assert read in generate_latest(registry).decode()
    observer.refused_snapshot("home", "new", version=4, reason="SnapshotError")
    observer.serves("home", "new")
    assert f"{name} 1.0" in generate_latest(registry).decode()


class Barriers:
    """The last barrier of the arm `new`, and no other."""

    def __init__(self, version: int, made_ms: int) -> None:
        self.barrier = Barrier(
            experiment="home",
            arm="new",
            version=version,
            seq=0,
            time_ms=made_ms,
            snapshot_hash="0" * 64,
            created_at=made_ms,
            genesis=False,
        )

    def last(self, experiment: str, arm: str) -> Barrier | None:
        return self.barrier if arm == "new" else None


def test_a_snapshot_is_as_old_as_its_barrier() -> None:
    clock = FakeClock()
    arms: Any = [
        SimpleNamespace(experiment="home", name=name, version=4, learning="online")
        for name in ("new", "old")
    ]
    barriers: Any = Barriers(4, clock.now_ms())
    poller = SnapshotPoller(barriers, barriers, observer=Nobody())
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotAgeCollector(lambda: arms, poller, clock=clock))
    assert generate_latest(registry) == b""
    assert poller.poll(arms) == []
    clock.advance(seconds=90)
    name = metrics.SERVING_SNAPSHOT_AGE.name
    text = generate_latest(registry).decode()
    assert f'{name}{{arm="new",experiment="home"}} 90.0' in text
    assert 'arm="old"' not in text
    # A snapshot that is on its way is not the one that serves.
    arms[0].version = 3
    assert generate_latest(registry) == b""


@pytest.mark.parametrize(
    ("learning", "policy", "learns"),
    [
        ("online", True, "yes"),
        ("apprentice", True, "yes"),
        ("log_only", True, "no"),
        ("online", False, "no"),
    ],
)
def test_an_arm_says_whether_a_learner_is_needed(learning: str, policy: bool, learns: str) -> None:
    arms: Any = [
        SimpleNamespace(
            experiment="home", name="new", learning=learning, policy=SimpleNamespace(learns=policy)
        )
    ]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ArmInfoCollector(lambda: arms))
    told = f'arm="new",experiment="home",learning="{learning}",learns="{learns}"'
    assert f"{metrics.ARM_INFO.name}{{{told}}} 1.0" in generate_latest(registry).decode()
    arms.clear()
    assert generate_latest(registry) == b""


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_harmed_guardrail_is_one(verdict: Verdict) -> None:
    assert GUARDRAIL_WORDS[Verdict.BROKEN] == HARMED
    judged = {"difference": 0.1, "low": 0.0, "high": 0.2, "corrected_p_value": 0.5}
    effects: dict[str, Any] = {
        "new": {"judged": judged, "guardrail": {"outcome": GUARDRAIL_WORDS[verdict]}},
        "other": {"judged": judged, "guardrail": None},
    }
    none: dict[str, Any] = {"arms": {}}
    document: dict[str, Any] = {
        "source": {"until_ms": 0},
        "gates": [],
        "arms": {},
        "retention": {"metrics": dict.fromkeys(("d1", "d7", "d28", "returned_within_7"), none)},
        "metrics": {"ctr": {"role": "guardrail", "arms": {}, "effects": effects}},
    }
    found = [
        (labels, value)
        for metric, labels, value in analysis_rows("home", document)
        if metric is metrics.ANALYSIS_GUARDRAIL_HARMED
    ]
    assert found == [(("home", "new", "ctr"), float(verdict is Verdict.BROKEN))]
