"""A run's metrics: equal to its results at the end, there while it runs, gone afterwards."""

import json
import multiprocessing
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from matinee_platform import metrics
from matinee_platform.analysis.srm import srm_p_value
from matinee_platform.analysis.unit_table import read_unit_table
from matinee_platform.decision_log import read_parts
from matinee_platform.kpis.figures import kpi_rows
from matinee_platform.metrics import METRICS, Metric
from matinee_platform.offline.arm_run import DayReport
from matinee_platform.offline.metrics_history import check_file, export_openmetrics
from matinee_platform.offline.report_queue import ReportQueue, pass_on
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_policies.errors import ConfigError, MatineeError
from matinee_simulator.history import RUN_START

NAMES = ("mf_order", "lin_ucb")
ARMS = [
    {"name": "mf_order", "weight": 0.4, "policy": {"kind": "score_order", "epsilon": 0.2}},
    {"name": "lin_ucb", "weight": 0.6, "policy": {"kind": "lin_ucb", "diversity": 0.05}},
]


def settings(**changes: Any) -> ExperimentSettings:
    values = {
        "name": "measured",
        "seed": 5,
        "users": 120,
        "checkpoint_every": 0,
        "days": 32,
        "slots": 4,
        "candidates": 20,
        "world": {"arrival_days": 2},
        "reward": {"return_visit": {"weight": 0.1, "window_days": 3}},
        "arms": ARMS,
    }
    return parse_settings({**values, **changes})


class Scrape:
    """Samples of a text exposition."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self.names = {family.name for family in families}
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, metric: Metric | str, **labels: str) -> float:
        name = metric if isinstance(metric, str) else metric.name
        return self._samples[name, frozenset({"experiment": "measured", **labels}.items())]

    def has(self, metric: Metric, **labels: str) -> bool:
        return (metric.name, frozenset({"experiment": "measured", **labels}.items())) in (
            self._samples
        )

    def without_times(self) -> dict[Any, float]:
        return {key: value for key, value in self._samples.items() if "_seconds" not in key[0]}


Run = tuple[Path, list[DayReport]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, small_data: Path) -> dict[int, Run]:
    """A finished run and its reports, by number of workers."""
    done: dict[int, Run] = {}
    for workers in (1, 2):
        folder = tmp_path_factory.mktemp("runs") / "measured"
        done[workers] = (folder, [])
        measured = settings(data=str(small_data))
        run_experiment(measured, folder, workers=workers, report=done[workers][1].append)
    return done


@pytest.fixture(params=[1, 2], ids=lambda workers: f"workers={workers}")
def run(request: pytest.FixtureRequest, runs: dict[int, Run]) -> Run:
    return runs[request.param]


def test_every_figure_equals_the_results(run: Run) -> None:
    folder, _ = run
    found = Scrape((folder / "metrics.prom").read_text(encoding="utf-8"))
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert found.names == {metric.name.removesuffix("_total") for metric in METRICS}
    for arm, card in results["arms"].items():
        kind = settings().arm(arm).policy["kind"]
        users = found.value(metrics.EXPOSED_USERS, arm=arm)
        impressions = found.value(metrics.IMPRESSIONS, arm=arm)
        sessions = found.value(metrics.SESSIONS, arm=arm)
        clicks = found.value(metrics.REWARDS, arm=arm, component="click", outcome="joined")
        assert users == card["users"]
        assert found.value(metrics.PAGES, arm=arm) == card["pages"]
        assert impressions == card["impressions"]
        assert sessions == card["sessions"]
        assert clicks == card["clicks"] == found.value(metrics.CLICKS, arm=arm)
        assert clicks / impressions == card["ctr"]
        assert found.value(metrics.ENGAGEMENT, arm=arm) / users == card["engagement_per_user"]
        assert sessions / users == card["sessions_per_user"]
        for day in ("1", "7", "28"):
            eligible = found.value(metrics.RETENTION_ELIGIBLE, arm=arm, day=day)
            returned = found.value(metrics.RETENTION_RETURNED, arm=arm, day=day)
            assert 0 < eligible == card[f"d{day}"]["eligible"]
            assert returned == card[f"d{day}"]["returned"]
        within = found.value(metrics.RETURNED_WITHIN, arm=arm, day="7")
        assert within == card["returned_within_7"]["returned"]
        slates = found.value(metrics.DIVERSITY_PAGES, arm=arm)
        assert found.value(metrics.DIVERSITY, arm=arm) / slates == card["ild"]
        assert found.value(metrics.COVERAGE, arm=arm) == card["coverage"]
        cost = card["exploration_cost"]
        if arm == "lin_ucb":
            assert cost is None
            assert "upper bounds" in card["exploration_cost_reason"]
            assert not found.has(metrics.EXPLORATION_COST, arm=arm)
        else:
            assert found.value(metrics.EXPLORATION_COST, arm=arm) == pytest.approx(cost["mean"])
            assert cost["mean"] > 0.0
            assert cost["pages"] > 0
            assert card["exploration_cost_reason"] is None
        snapshots = results["arm_runs"][arm]["snapshots"]
        assert found.value(metrics.SNAPSHOT, arm=arm, policy=kind) == len(snapshots) - 1
        updates = found.value(f"{metrics.LEARNER_UPDATES.name}_count", arm=arm, policy=kind)
        assert updates == len(snapshots) - 1
        assert found.value(metrics.COMPLETED_DAY, arm=arm) == 32
    exposed = [int(found.value(metrics.EXPOSED_USERS, arm=arm)) for arm in NAMES]
    shares = [found.value(metrics.ARM_SHARE, arm=arm) for arm in NAMES]
    assert srm_p_value(exposed, shares) == results["srm_p_value"]
    assert sum(found.value(metrics.ASSIGNMENTS, arm=arm) for arm in NAMES) == 120
    assert found.value(metrics.RUN_SUCCESS) > 1.7e9


def test_events_equal_the_log(run: Run) -> None:
    folder, _ = run
    found = Scrape((folder / "metrics.prom").read_text(encoding="utf-8"))
    for arm in NAMES:
        logged: dict[str, int] = {}
        for rows in read_parts(folder, "rewards", arm, ["component"]):
            for component in rows.column("component").to_pylist():
                logged[component] = logged.get(component, 0) + 1
        assert set(logged) == {"click", "watch", "rating", "return_visit"}
        for component, events in logged.items():
            assert events == found.value(
                metrics.REWARDS, arm=arm, component=component, outcome="joined"
            )
        late = found.value(metrics.REWARDS, arm=arm, component="return_visit", outcome="late")
        assert 0 < late == late_returns(folder, arm, window=3)
        table = read_unit_table(folder, arm, days=32)
        for window in (1, 7, 28):
            active = table.active[:, -window:]
            labels = {"arm": arm, "window": str(window)}
            assert found.value(metrics.ACTIVE_USERS, **labels) == active.any(axis=1).sum()
            assert found.value(metrics.DAILY_VISITS, **labels) == active.sum()


def late_returns(folder: Path, arm: str, *, window: int) -> int:
    """Slates whose unit came back next, but later than the window."""
    slates: Counter[tuple[int, int]] = Counter()
    for rows in read_parts(folder, "decisions", arm, ["unit", "day"]):
        slates.update(
            zip(*(rows.column(name).to_pylist() for name in ("unit", "day")), strict=True)
        )
    sessions = sorted(slates)
    return sum(
        slates[unit, day]
        for (unit, day), (next_unit, next_day) in pairwise(sessions)
        if unit == next_unit and next_day - day > window
    )


def test_every_day_of_every_arm_is_reported_in_order(run: Run) -> None:
    _, reports = run
    for arm in NAMES:
        mine = [report for report in reports if report.arm == arm]
        assert [report.day for report in mine] == list(range(32))
        assert [report.figures.completed_days for report in mine] == list(range(1, 33))
        assert sum(report.pages for report in mine) == mine[-1].figures.kpis.pages
        counted = [report.figures.kpis.engagement for report in mine]
        assert counted == sorted(counted)


def history(path: Path) -> dict[Any, dict[int, float]]:
    """Values by series and time of an export, each series in the order of time."""
    found: dict[Any, dict[int, float]] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        if not line.startswith("#"):
            name, labels, value, at = re.fullmatch(r"(\w+)\{(.*)\} (\S+) (\d+)", line).groups()  # type: ignore[union-attr]
            series = found.setdefault((name, frozenset(re.findall(r'(\w+)="([^"]*)"', labels))), {})
            assert int(at) > max(series, default=0)
            series[int(at)] = float(value)
    # The official parser loses buckets of a histogram from its second time on.
    others = [line for line in lines if metrics.LEARNER_UPDATES.name not in line]
    parsed = openmetrics_families("\n".join(others) + "\n")  # type: ignore[no-untyped-call]
    assert len(list(parsed)) > 20
    return found


def test_the_history_of_a_run_is_that_of_its_days(run: Run, tmp_path: Path) -> None:
    folder, reports = run
    path = tmp_path / "history.txt"
    count = export_openmetrics(folder, path)
    found = history(path)
    assert sum(map(len, found.values())) == count
    assert path.read_text(encoding="utf-8").endswith("# EOF\n")
    ends = [RUN_START + (day + 1) * 86_400 for day in range(32)]
    for report in reports:
        labels = {"experiment": "measured", "arm": report.arm}
        for metric, values, wanted in kpi_rows(report.figures.kpis, ("measured", report.arm)):
            key = (metric.name, frozenset(zip(metric.labels, values, strict=True)))
            assert found[key][ends[report.day]] == wanted
            if report.day < 31:
                # It holds until the next day is over.
                assert found[key][ends[report.day] + 23 * 3_600] == wanted
        exposed = found[metrics.EXPOSED_USERS.name, frozenset(labels.items())]
        assert sorted(exposed)[0] == ends[0]
        assert sorted(exposed)[-1] == ends[-1]
    text = path.read_text(encoding="utf-8")
    buckets = re.findall(r"_bucket\{.*arm=\"lin_ucb\".*le=\"(\S+?)\".* (\d+)\n", text)
    bounds = len(metrics.LEARNER_UPDATES.buckets) + 1
    assert {at for _, at in buckets[:bounds]} == {str(ends[0])}
    assert buckets[bounds - 1][0] == "+Inf"
    last = Scrape((folder / "metrics.prom").read_text(encoding="utf-8")).without_times()
    for (name, series), value in last.items():
        assert found[name, series][ends[-1]] == value
    analysis = json.loads((folder / "analysis.json").read_text(encoding="utf-8"))
    told = analysis["by_day"]["returned_within_7"]
    labels = {"experiment": "measured", "arm": "lin_ucb", "metric": "returned_within_7"}
    for metric, column in (
        (metrics.ANALYSIS_DIFFERENCE, "difference"),
        (metrics.ANALYSIS_LOW, "low"),
        (metrics.ANALYSIS_HIGH, "high"),
    ):
        values = told["arms"]["lin_ucb"]["so_far"][column]
        series = found.get((metric.name, frozenset(labels.items())), {})
        for day, value in zip(told["day"][:-1], values, strict=False):
            assert series.get(ends[day - 1]) == value
    judged = analysis["metrics"]["returned_within_7"]["effects"]["lin_ucb"]["judged"]
    key = (metrics.ANALYSIS_DIFFERENCE.name, frozenset(labels.items()))
    assert found[key][ends[-1]] == judged["difference"]


def test_an_export_needs_a_place_and_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must name a file in a writable folder"):
        check_file(tmp_path / "none" / "history.txt")
    with pytest.raises(MatineeError):
        export_openmetrics(tmp_path, tmp_path / "history.txt")
    assert not (tmp_path / "history.txt").exists()


def test_processes_do_not_show(runs: dict[int, Run]) -> None:
    one, two = (
        Scrape((folder / "metrics.prom").read_text(encoding="utf-8")) for folder, _ in runs.values()
    )
    assert one.without_times() == two.without_times()


class StopError(Exception):
    """Interrupts a run from within."""


@pytest.mark.parametrize("reports", [7, 64], ids=["within an arm", "after the last day"])
def test_a_resumed_run_counts_on(
    runs: dict[int, Run], small_data: Path, tmp_path: Path, reports: int
) -> None:
    left = reports

    def stop(_: DayReport) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise StopError

    folder, measured = tmp_path / "resumed", settings(data=str(small_data))
    with pytest.raises(StopError):
        run_experiment(measured, folder, workers=1, report=stop)
    assert not (folder / "metrics.prom").exists()
    run_experiment(measured, folder, workers=1, resume=True)
    whole, resumed = (
        Scrape((each / "metrics.prom").read_text(encoding="utf-8")) for each in (runs[1][0], folder)
    )
    assert resumed.without_times() == whole.without_times()
    told = [tmp_path / "whole.txt", tmp_path / "resumed.txt"]
    for path, each in zip(told, (runs[1][0], folder), strict=True):
        export_openmetrics(each, path)
    one, two = (
        {key: values for key, values in history(path).items() if "_seconds" not in key[0]}
        for path in told
    )
    assert one == two
    count = f"{metrics.LEARNER_UPDATES.name}_count"
    assert resumed.value(count, arm="lin_ucb", policy="lin_ucb") == 32


def test_a_report_that_comes_late_is_passed_on(runs: dict[int, Run]) -> None:
    first, second = runs[1][1][:2]
    days: ReportQueue = multiprocessing.get_context("spawn").Queue()
    days.put(first)
    seen: list[DayReport] = []

    def end_two_arms() -> None:
        for item in (second, None, first, None):
            days.put(item)

    later = threading.Timer(0.3, end_two_arms)
    later.start()
    try:
        assert pass_on(days, seen.append, until=2) == 2
        assert seen == [first, second, first]
        assert pass_on(days, seen.append) == 0
    finally:
        later.join()
        days.close()
        days.join_thread()


def test_promtool_finds_no_fault(run: Run) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        with pytest.warns(UserWarning, match="promtool"):
            warnings.warn("promtool is not on PATH: metrics.prom is not linted", stacklevel=1)
        return
    text = (run[0] / "metrics.prom").read_text(encoding="utf-8")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def command(tmp_path: Path, data: Path, *words: str) -> list[str]:
    config = tmp_path / "experiment.yaml"
    measured = settings(data=str(data)).model_dump(mode="json")
    config.write_text(json.dumps(measured), encoding="utf-8")
    out = ["--config", str(config), "--out", str(tmp_path / "out")]
    return [sys.executable, "-m", "matinee_platform.cli", "simulate", *out, *words]


def scraped(url: str) -> Scrape | None:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
            return Scrape(answer.read().decode())
    except OSError:  # The server closes when the run ends.
        return None


def test_a_live_run_can_be_scraped(tmp_path: Path, small_data: Path) -> None:
    words = ("--metrics-port", "0", "--workers", "2", "--set", "users=1500", "--set", "days=60")
    process = subprocess.Popen(
        command(tmp_path, small_data, *words),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stderr is not None
        url = None
        for line in process.stderr:
            if match := re.fullmatch(r"Metrics: (http://127\.0\.0\.1:(\d+)/metrics)\n", line):
                url, port = match[1], int(match[2])
                break
        assert url is not None
        seen: list[dict[str, float]] = []
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            live = scraped(url)
            if live is not None:
                seen.append(
                    {
                        arm: live.value(metrics.COMPLETED_DAY, arm=arm)
                        for arm in NAMES
                        if live.has(metrics.COMPLETED_DAY, arm=arm)
                    }
                )
            time.sleep(0.05)
        assert process.wait(timeout=60) == 0, process.stderr.read()
        days = [figures["lin_ucb"] for figures in seen if "lin_ucb" in figures]
        assert days == sorted(days)
        assert any(0 < day < 60 for day in days), "no figure was seen while the arm ran"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def test_a_taken_port_stops_the_run_before_it_starts(tmp_path: Path, small_data: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = subprocess.run(
            command(tmp_path, small_data, "--metrics-port", str(port)),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "120"},
        )
    assert done.returncode == 1
    assert f"error: metrics port {port} of 127.0.0.1 cannot be taken" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
