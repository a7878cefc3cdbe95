"""`matinee learn` and `matinee replay` on the data of a service, with its real stores."""

import asyncio
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.clock import FakeClock, SystemClock
from matinee_platform.learning.decide_again import decide_one_again
from matinee_platform.learning.learner_metrics import LearnerCollector
from matinee_platform.learning.learner_status import read_status
from matinee_platform.learning.service_arms import open_stores
from matinee_platform.learning.supervisor import Supervisor, learner_supervisor, seconds_waited
from matinee_platform.learning.testing_kills import (
    ARM,
    EXPERIMENT,
    kill_learners,
    make_service,
)
from matinee_platform.learning.testing_live import ExampleTraffic
from matinee_platform.metrics import LEARNER_METRICS
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.event_log import make_event_log
from matinee_platform.storage.records import ServedBy
from matinee_policies.errors import ConfigError


def _traffic(settings: ServiceSettings, *, decisions: int) -> None:
    """Rows of some minutes ago."""
    clock = FakeClock(SystemClock().now_ms() - 600_000)
    with open_stores(settings, clock=clock) as stores:
        (experiment,) = settings.experiments
        arm = stores.arm(experiment, experiment.arms[0])
        traffic = ExampleTraffic(arm, clock=clock)

        async def append() -> None:
            log = await make_event_log(settings, windows=lambda _: arm.windows_ms)
            for record in traffic.decide(decisions):
                await log.appender.append_decision(record)
            await log.appender.append_rewards(traffic.rewards(2 * decisions))
            await log.appender.close()

        asyncio.run(append())


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ServiceSettings:
    """A service that has served, and not learned yet."""
    settings = make_service(tmp_path_factory.mktemp("service"))
    _traffic(settings, decisions=200)
    return settings


@pytest.fixture(scope="module")
def config(settings: ServiceSettings) -> Path:
    path = settings.data_dir / "serve.yaml"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    return path


def test_learn_once_and_replay(settings: ServiceSettings, config: Path) -> None:
    runner = CliRunner()
    for version in (0, 1, 1):
        found = runner.invoke(app, ["learn", "--config", str(config), "--once", "--json"])
        assert found.exit_code == 0, found.output
        (arm,) = json.loads(found.stdout)["arms"]
        assert (arm["state"], arm["version"]) == ("learning", version)
    status = read_status(settings.data_dir / "learner.json")
    assert status is not None
    families = list(LearnerCollector(lambda: status, clock=SystemClock()).collect())
    declared = {one.name.removesuffix("_total") for one in LEARNER_METRICS}
    assert {family.name for family in families} == declared
    replayed = runner.invoke(app, ["replay", "--verify", str(settings.data_dir), "--json"])
    assert replayed.exit_code == 0, replayed.output
    (found_arm,) = json.loads(replayed.stdout)
    assert found_arm["equal"] == found_arm["barriers"] == 2
    assert found_arm["equal_decisions"] == found_arm["decisions"] > 150
    line = runner.invoke(app, ["replay", "--config", str(config), "--arm", ARM])
    assert line.exit_code == 0
    assert line.stdout.startswith(f"{EXPERIMENT}/{ARM}: ok: 2 of 2 barriers equal, from version 0")


def test_explain_tells_of_one_decision(settings: ServiceSettings, config: Path) -> None:
    runner = CliRunner()
    folder = str(settings.data_dir)
    with open_stores(settings, clock=SystemClock()) as stores:
        rows = stores.reader.decisions(upto=stores.reader.last_seq())
    for served_by in (ServedBy.POLICY, ServedBy.FALLBACK):
        record = next(one.record for one in rows if one.record.served_by == served_by)
        text = f"{record.decision_id:016x}"
        found = runner.invoke(app, ["explain", folder, text, "--json"])
        told = json.loads(found.stdout)
        assert (told["decision_id"], told["arm"]) == (text, ARM)
        assert told["served_by"] == served_by.name.lower()
        if served_by is ServedBy.POLICY:
            assert found.exit_code == 0, found.output
            assert told["follows"], told["faults"]
            assert len(told["slots"]) == len(record.slate) // 4
        line = runner.invoke(app, ["explain", "--config", str(config), text, "--slot", "0"])
        assert line.stdout.startswith(f"Decision {text} of {EXPERIMENT}/{ARM}, page 0 of its visit")
    latest = runner.invoke(app, ["explain", folder, "--latest", "--arm", ARM, "--json"])
    assert json.loads(latest.stdout)["decision_id"] == f"{rows[-1].record.decision_id:016x}"


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["explain"], "explain needs a folder"),
        (["explain", "FOLDER"], "give a decision id, or --latest"),
        (["explain", "FOLDER", "no such"], "decision id must be one of the log, got 'no such'"),
        (["explain", "FOLDER", "--latest", "--arm", "x"], "must hold a decision of x, got none"),
        (["explain", "--config", "CONFIG", "a", "b"], "either the folder of a service or --config"),
    ],
)
def test_explain_says_what_is_wrong(
    settings: ServiceSettings, config: Path, words: list[str], rule: str
) -> None:
    places = {"FOLDER": str(settings.data_dir), "CONFIG": str(config)}
    found = CliRunner().invoke(app, [places.get(word, word) for word in words])
    assert isinstance(found.exception, ConfigError)
    assert rule in str(found.exception)


def test_the_environment_counts_for_every_command(
    settings: ServiceSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `serve` reads its file, so do `learn`, `replay` and `explain`."""
    path = tmp_path / "elsewhere.yaml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "nowhere")}), encoding="utf-8")
    monkeypatch.setenv("MATINEE_SERVICE_DATA_DIR", str(settings.data_dir))
    for words in (["learn", "--once"], ["replay"], ["explain", "--latest", "--json"]):
        found = CliRunner().invoke(app, [words[0], "--config", str(path), *words[1:]])
        assert found.exit_code == 0, found.output
        assert ARM in found.stdout
    assert not (tmp_path / "nowhere").exists()


def test_replay_says_what_is_wrong(settings: ServiceSettings) -> None:
    runner = CliRunner()
    wrong = runner.invoke(app, ["replay", str(settings.data_dir), "--arm", "nobody"])
    assert isinstance(wrong.exception, ConfigError)
    assert "arm must be one of home/new, got 'nobody'" in str(wrong.exception)
    neither = runner.invoke(app, ["replay"])
    assert "replay needs a folder" in str(neither.exception)


def test_an_arm_that_cannot_be_replayed_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    settings = make_service(tmp_path)
    _traffic(settings, decisions=20)
    (experiment,) = settings.experiments
    lost = tmp_path / "bundles" / "lost"
    shutil.copytree(tmp_path / "bundles" / experiment.arms[0].bundle, lost)
    arms = [experiment.arms[0].model_copy(update={"bundle": "lost"})]
    with open_stores(settings, clock=SystemClock()) as stores:
        # By name it comes first.
        first = experiment.model_copy(
            update={"key": "a_lost", "salt": "lost-1", "layer": "other", "arms": arms}
        )
        stores.control.ensure(first, who="test")
    told = CliRunner().invoke(app, ["replay", str(tmp_path)])
    assert told.exit_code == 1
    bad, good = told.stdout.splitlines()
    assert bad.startswith(f"a_lost/{ARM}: FAILED: ")
    assert "bundle 'lost' must have its own name" in bad
    assert good.startswith(f"{EXPERIMENT}/{ARM}: ok: ")
    assert "of the policy came out again" in good
    found = json.loads(CliRunner().invoke(app, ["replay", str(tmp_path), "--json"]).stdout)
    assert [one["passed"] for one in found] == [False, True]
    assert "'lost'" in found[0]["failure"]


def test_learn_says_what_is_wrong(config: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    found = runner.invoke(app, ["learn", "--config", str(config), "--once", "--arm", "home/old"])
    assert "arm must be one of home/new, got 'home/old'" in str(found.exception)
    assert "--config FILE" in str(runner.invoke(app, ["learn"]).exception)
    bad = tmp_path / "bad.yaml"
    bad.write_text("data_dir: x\nlearn_every_seconds: 0\n")
    found = runner.invoke(app, ["learn", "--config", str(bad)])
    assert f"{bad}: learn_every_seconds: " in str(found.exception)


@pytest.mark.timeout(900)
def test_a_stopped_experiment_is_left_once_its_windows_are_long_closed(tmp_path: Path) -> None:
    settings = make_service(tmp_path)
    clock = FakeClock(SystemClock().now_ms())
    day = 86_400.0

    def learned() -> list[str]:
        return [one.name for one in stores.plans()]

    with open_stores(settings, clock=clock) as stores:
        clock.advance(seconds=100 * day)
        assert learned() == [ARM]
        window = max(stores.experiments()[0].windows_ms()) / 1_000
        stores.control.stop(EXPERIMENT, who="ada")
        clock.advance(seconds=window + 6.9 * day)
        assert learned() == [ARM]
        clock.advance(seconds=0.1 * day)
        assert learned() == []
        assert [one.name for one in stores.plans([f"{EXPERIMENT}/{ARM}"])] == [ARM]
        assert stores.arm_names() == [f"{EXPERIMENT}/{ARM}"]
        stores.control.start(EXPERIMENT, who="ada", salt="another")
        assert learned() == [ARM]


def test_the_learner_that_serve_starts_is_restarted_and_ends_with_it(tmp_path: Path) -> None:
    settings = make_service(tmp_path / "service")
    _traffic(settings, decisions=20)
    path = settings.data_dir / "learner.json"

    def has_learned(process: int | None) -> bool:
        status = read_status(path)
        known = status is not None and status.process == process and bool(status.arms)
        return known and status is not None and status.arms[0].version >= 1

    supervisor = learner_supervisor(settings)
    supervisor.start()
    try:
        _until(lambda: has_learned(supervisor.process), of=supervisor)
        assert supervisor.state == "ok"
        first = supervisor.process
        assert first is not None
        os.kill(first, signal.SIGKILL)
        _until(
            lambda: supervisor.process not in (None, first) and has_learned(supervisor.process),
            of=supervisor,
        )
    finally:
        supervisor.stop()
    assert supervisor.starts == 2
    with open_stores(settings, clock=SystemClock()) as stores:
        assert stores.leases.acquire(f"learner-{EXPERIMENT}-{ARM}"), "nobody holds it any more"
        stores.leases.release(f"learner-{EXPERIMENT}-{ARM}")
        (experiment,) = settings.experiments
        arm = stores.arm(experiment, experiment.arms[0])
        rows = stores.reader.decisions(upto=stores.reader.last_seq())
        served = [row for row in rows if row.record.served_by == ServedBy.POLICY]
        assert decide_one_again(
            arm,
            served[0],
            reader=stores.reader,
            barriers=stores.barriers,
            snapshots=stores.snapshots,
        ).equal.all()


def _until(true: Callable[[], bool], *, of: Supervisor, seconds: float = 240.0) -> None:
    """Wait for a child; what it waits for a core itself, at its low priority, does not count."""
    end = time.monotonic() + seconds
    while not true():
        waited = seconds_waited(of.process or 0)
        assert time.monotonic() < end + waited, "the other process did not get there"
        threading.Event().wait(0.02)


def test_learners_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    found = kill_learners(tmp_path / "service", kills=3)
    assert found.passed, found
    assert found.barriers > 3
