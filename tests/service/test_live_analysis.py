"""One analysis on every surface of a service: the command, the results route and the gauges."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from matinee_platform.analysis.experiment.of_service import (
    analyse_live,
    analyse_service,
    event_database,
)
from matinee_platform.assignment import bucket_ranges, choose_arms
from matinee_platform.cli import app
from matinee_platform.clock import FakeClock
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.maintenance.caretaker import Caretaker
from matinee_platform.maintenance.removal import SqlEventEraser, open_events
from matinee_platform.metrics import ANALYSIS_METRICS
from matinee_platform.service.analysis_metrics import AnalysisCollector, analysis_rows
from matinee_platform.service.analysis_process import AnalysisProcess
from matinee_platform.service.live_analysis import (
    LiveAnalyses,
)
from matinee_platform.service.log_lines import service_log
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_platform.storage.control_database import control_url, open_engine, upgrade
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.event_log import postgres_appender, sqlite_appender
from matinee_platform.storage.event_migrations import postgres_url
from matinee_platform.storage.event_migrations import upgrade as upgrade_events
from matinee_platform.storage.lease import FileLease
from matinee_platform.storage.records import DecisionRecord, RewardRecord
from matinee_platform.storage.testing_events import example_decision, example_reward, windows
from matinee_policies.errors import DataError, MatineeError

DAY = 86_400_000
SINCE = 1_767_225_600_000
UNTIL = SINCE + 12 * DAY + DAY // 2
EXPERIMENT = LiveExperiment.model_validate(
    {
        "key": "home",
        "salt": "home-1",
        "arms": [{"name": "old", "bundle": "old"}, {"name": "new", "bundle": "new"}],
        "analysis": {"minimum_units": 20},
    }
)


@dataclass(frozen=True)
class Live:
    """A service's data without its process."""

    data_dir: Path
    database: str

    def write(self, rows: list[DecisionRecord | RewardRecord]) -> None:
        async def main() -> None:
            if self.database == "sqlite":
                appender = await sqlite_appender(
                    self.data_dir / "events.sqlite", windows=windows, rewards_per_decision=100
                )
            else:
                appender = await postgres_appender(
                    self.database, windows=windows, rewards_per_decision=100, patience_seconds=60.0
                )
            decisions = [row for row in rows if isinstance(row, DecisionRecord)]
            await asyncio.gather(*(appender.append_decision(row) for row in decisions))
            await appender.append_rewards([row for row in rows if isinstance(row, RewardRecord)])
            await appender.close()

        asyncio.run(main())

    def command(self, *options: str) -> list[str]:
        where = [str(self.data_dir)] if self.database == "sqlite" else ["--database", self.database]
        return ["analyze", *where, *options]


def made_rows(units: int = 160) -> list[DecisionRecord | RewardRecord]:
    """Visits of units of both arms over some days, with clicks and watches."""
    draws = np.random.default_rng(11)
    ranges = bucket_ranges([0.5, 0.5])
    rows: list[DecisionRecord | RewardRecord] = []
    number = 0
    for unit in range(units):
        bucket = int(draws.integers(0, 10_000))
        arm = ("old", "new")[int(choose_arms(np.array([bucket], dtype=np.int16), ranges)[0])]
        at = SINCE + int(draws.integers(0, 3 * DAY))
        while at < UNTIL:
            number += 1
            rows.append(
                replace(
                    example_decision(number),
                    experiment="home",
                    arm=arm,
                    unit=unit + 1,
                    bucket=bucket,
                    decided_at=at,
                )
            )
            if draws.random() < 0.6:
                for name, value in (("click", 1.0), ("watch", float(draws.random()))):
                    rows.append(
                        replace(
                            example_reward(10 * number + COMPONENTS.index(name), decision=number),
                            component=COMPONENTS.index(name),
                            slot=0,
                            value=value,
                            received_at=at + 60_000,
                        )
                    )
            at += int(draws.integers(1, 8 if arm == "new" else 40)) * DAY // 2
    return sorted(rows, key=lambda row: getattr(row, "decided_at", UNTIL))


def started(data_dir: Path, database: str) -> Live:
    """A service whose experiment has run for some days."""
    url = control_url(data_dir, database)
    upgrade(url)
    engine = open_engine(url)
    store = ControlStore(engine, clock=FakeClock(SINCE))
    store.create(EXPERIMENT, who="test")
    store.start("home", who="test")
    engine.dispose()
    found = Live(data_dir, database)
    found.write(made_rows())
    return found


@pytest.fixture(params=["sqlite", "postgres"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Live:
    if request.param == "sqlite":
        return started(tmp_path, "sqlite")
    database = request.getfixturevalue("new_postgres_database")()
    upgrade_events(postgres_url(database))
    return started(tmp_path, database)


@pytest.fixture
def on_file(tmp_path: Path) -> Live:
    return started(tmp_path, "sqlite")


def analysed(live: Live) -> dict[str, Any]:
    return analyse_service(live.data_dir, live.database, key="home", until_ms=UNTIL)


def test_one_analysis_on_every_surface(live: Live, bench: Any, serve: Callable[..., Any]) -> None:
    wanted = analysed(live)
    assert wanted["metrics"]["returned_within_7"]["effects"]["new"]["judged"]["p_value"] < 0.05

    answer = CliRunner().invoke(app, live.command("--until", str(UNTIL), "--json"))
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout) == wanted

    process = AnalysisProcess(live.data_dir, live.database, log=service_log(StringIO()))
    analyses = LiveAnalyses(process.analyse, close=process.close, clock=FakeClock(UNTIL))
    registry = CollectorRegistry(auto_describe=False)
    client = serve(bench, analysis=analyses.analysis)
    results = client.get("/v1/experiments/home/results").json()
    assert (results["statistics"], results["note"]) == ("analysis", "")
    assert results["analysis"] == wanted

    client.run(analyses.renew(["home"]))
    registry.register(AnalysisCollector(lambda: analyses.shown))
    from prometheus_client import generate_latest

    gauges = {
        (sample.name, *(sample.labels.get(label) for label in one.labels)): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for one in ANALYSIS_METRICS
        if one.name == family.name
        for sample in family.samples
    }
    judged = wanted["metrics"]["returned_within_7"]["effects"]["new"]["judged"]
    of_new = ("home", "new", "returned_within_7")
    assert gauges["matinee_analysis_difference", *of_new] == judged["difference"]
    assert gauges["matinee_analysis_difference_low", *of_new] == judged["low"]
    assert gauges["matinee_analysis_corrected_p_value", *of_new] == judged["corrected_p_value"]
    assert gauges["matinee_analysis_exposed_units", "home", "new"] == wanted["arms"]["new"]["units"]
    rate = wanted["retention"]["metrics"]["d7"]["arms"]["old"]
    assert (
        gauges["matinee_analysis_retention_returned_units", "home", "old", "7"]
        == (rate["returned"])
    )
    assert gauges["matinee_analysis_gate_failed", "home", "split"] == 0.0
    rows = list(analysis_rows("home", wanted))
    assert len(gauges) == sum(value is not None for _, _, value in rows)
    client.run(analyses.close())


def test_a_bad_log_is_told_on_every_surface(
    on_file: Live, bench: Any, serve: Callable[..., Any]
) -> None:
    elsewhere = [
        replace(row, decision_id=row.decision_id + 50_000, bucket=9_999 - row.bucket)
        for row in made_rows(3)
        if isinstance(row, DecisionRecord)
    ]
    on_file.write([replace(row, unit=row.unit + 1_000) for row in elsewhere])
    with pytest.raises(MatineeError, match="time must not go back") as refused:
        analysed(on_file)
    answer = CliRunner().invoke(app, on_file.command("--until", str(UNTIL)))
    assert answer.exit_code == 1
    assert answer.stdout == ""
    assert str(answer.exception) == str(refused.value)

    process = AnalysisProcess(on_file.data_dir, on_file.database, log=service_log(StringIO()))
    analyses = LiveAnalyses(process.analyse, close=process.close, clock=FakeClock(UNTIL))
    client = serve(bench, analysis=analyses.analysis)
    results = client.get("/v1/experiments/home/results").json()
    assert results["analysis"] is None
    assert results["statistics"] == "none"
    assert results["note"] == str(refused.value)
    client.run(analyses.renew(["home"]))
    assert analyses.shown == {}
    client.run(analyses.close())


def test_text_has_the_verdict_first(on_file: Live) -> None:
    answer = CliRunner().invoke(app, on_file.command("--until", str(UNTIL)))
    lines = answer.stdout.splitlines()
    assert lines[0].startswith("home: running, 12 full days, 160 units, control old")
    assert lines[1].startswith("Against old by return within 7 days: new (+")
    assert "at every look" in answer.stdout
    assert "at the end" not in answer.stdout


def test_a_plan_and_an_a_a_test_read_a_service(live: Live) -> None:
    live.write(made_rows())
    where = live.command("--json")[1:]
    shown = CliRunner().invoke(app, ["analyze", *where, "--until", str(UNTIL)])
    arms = json.loads(shown.stdout)["arms"]
    planned = CliRunner().invoke(app, ["plan", *where, "--metrics", "ctr", "--effect", "0.1"])
    (metric,) = json.loads(planned.stdout)["metrics"]
    assert metric["units"] == arms["old"]["units"]
    assert metric["value"] == pytest.approx(arms["old"]["clicks"] / arms["old"]["impressions"])
    again = CliRunner().invoke(
        app, ["aa", *where, "--experiment", "home", "--salts", "5", "--metrics", "ctr", "--quiet"]
    )
    assert json.loads(again.stdout)["units"] == sum(arm["units"] for arm in arms.values())
    refused = CliRunner().invoke(app, ["aa", *where, "--experiment", "none"])
    assert isinstance(refused.exception, MatineeError)


def test_past_data_come_from_one_place() -> None:
    for options in ([], ["folder", "--database", "postgresql://u@h/n"]):
        refused = CliRunner().invoke(app, ["aa", *options])
        assert "give a folder, or the database" in str(refused.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs a folder, or the database"),
        (["none"], "must be there to read"),
    ],
)
def test_what_cannot_be_analysed_is_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(app, ["analyze", *arguments])
    assert answer.exit_code == 1
    assert message in str(answer.exception)


def test_experiments_of_a_service_are_named(on_file: Live) -> None:
    engine = open_engine(control_url(on_file.data_dir, on_file.database))
    store = ControlStore(engine, clock=FakeClock(SINCE))
    other = EXPERIMENT.model_copy(update={"key": "away", "salt": "away-1", "layer": "away"})
    store.create(other, who="test")
    engine.dispose()
    runner = CliRunner()
    answer = runner.invoke(app, on_file.command("--until", str(UNTIL)))
    assert "--experiment must name one of away, home" in str(answer.exception)
    answer = runner.invoke(app, on_file.command("--experiment", "away"))
    assert "'away' has not started yet" in str(answer.exception)
    answer = runner.invoke(app, on_file.command("--experiment", "none"))
    assert answer.exit_code == 1
    answer = runner.invoke(app, on_file.command("--experiment", "home", "--metric", "clicks"))
    assert "metric must be one of" in str(answer.exception)


def analysed_then(live: Live, until_ms: int, **settings: Any) -> dict[str, Any]:
    declared = EXPERIMENT.model_copy(
        update={"analysis": EXPERIMENT.analysis.model_copy(update=settings)}
    )
    where = event_database(live.data_dir, live.database)
    return analyse_live(where, declared, running=True, since_ms=SINCE, until_ms=until_ms)


def test_the_declared_end_is_the_same_whenever_one_asks(live: Live) -> None:
    end = SINCE + 9 * DAY
    then = analysed_then(live, end, horizon_days=9)
    assert then["at_declared_end"]
    assert then["source"]["until_ms"] == end
    # Afterwards there are more pages of the 24 hours of a unit that hold the end, and rewards.
    assert analysed_then(live, end + 1)["arms"] == then["arms"]
    for later in (end + 1, end + DAY // 2, UNTIL):
        assert analysed_then(live, later, horizon_days=9) == then


def test_an_experiment_that_has_just_started_has_no_verdict_yet(live: Live) -> None:
    nobody = analysed_then(live, SINCE + 1)
    first = min(row.decided_at for row in made_rows() if isinstance(row, DecisionRecord))
    one = analysed_then(live, first + 1)
    assert sorted(arm["units"] for arm in one["arms"].values()) == [0, 1]
    for found in (nobody, one):
        assert {gate["name"]: gate["outcome"] for gate in found["gates"]}["units"] == "failed"
        assert found["verdict"]["arms"]["new"]["outcome"] == "blocked"


def test_an_experiment_without_its_first_rows_is_refused(live: Live) -> None:
    control = open_engine(control_url(live.data_dir, live.database))
    events = open_events(live.data_dir, live.database)

    def caretaker(days: int) -> Caretaker:
        return Caretaker(
            SqlEventEraser(events, pause=lambda _: None),
            control=control,
            pseudonym_secret=bytes(32),
            clock=FakeClock(SINCE + days * DAY),
            lease=FileLease(live.data_dir),
        )

    # Rows of a start before the present one may go.
    live.write(
        [
            example_decision(
                9_999_999, experiment="home", arm="old", unit=9, decided_at=SINCE - 40 * DAY
            )
        ]
    )
    assert caretaker(12).retain(before_ms=SINCE - DAY, who="cron").decisions == 1
    assert analysed(live)["full_days"] == 12
    # Marked, and broken off before the audit says so.
    barriers = SqlBarrierStore(control, clock=FakeClock(SINCE + 12 * DAY + 1))
    barriers.mark_genesis("home", "new", reason="retention")
    with pytest.raises(DataError, match="rows of the experiment were removed by retention"):
        analysed(live)
    removed = caretaker(13).retain(before_ms=SINCE + 2 * DAY, who="cron")
    assert removed.decisions > 20
    with pytest.raises(DataError, match=r"before 2026-01-03.* removed by retention .*2026-01-01"):
        analysed(live)
    # Nobody plans on, or assigns anew, units whose exposure is not known any more.
    where = live.command()[1:]
    for command in (["plan", *where, "--effect", "0.1"], ["aa", *where, "--salts", "2", "--quiet"]):
        refused = CliRunner().invoke(app, command)
        assert isinstance(refused.exception, DataError)
        assert "removed by retention" in str(refused.exception)
    events.dispose()
    control.dispose()


def test_a_stopped_experiment_is_told_up_to_its_stop(on_file: Live) -> None:
    before = analyse_service(
        on_file.data_dir, on_file.database, key="home", until_ms=SINCE + 9 * DAY
    )
    engine = open_engine(control_url(on_file.data_dir, on_file.database))
    ControlStore(engine, clock=FakeClock(SINCE + 9 * DAY)).stop("home", who="test")
    engine.dispose()
    after = analysed(on_file)
    assert after["source"]["until_ms"] == SINCE + 9 * DAY
    assert after["full_days"] == 9
    # Who could not come any more has not stayed away.
    assert after["metrics"] == before["metrics"]
    assert not after["running"]
    assert "at every look" in after["verdict"]["arms"]["new"]["sentence"]
