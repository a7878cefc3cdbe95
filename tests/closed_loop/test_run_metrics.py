"""A run's metrics at its end: equal to its results and its log, whatever the processes."""

import json
import shutil
import subprocess
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from matinee_platform import metrics
from matinee_platform.analysis.srm import srm_p_value
from matinee_platform.analysis.unit_table import read_unit_table
from matinee_platform.decision_log import read_parts
from matinee_platform.metrics import METRICS
from matinee_platform.offline.arm_run import DayReport
from matinee_platform.offline.testing_metrics import NAMES, Scrape, measured_settings

Run = tuple[Path, list[DayReport]]


@pytest.fixture(params=[1, 2], ids=lambda workers: f"workers={workers}")
def run(request: pytest.FixtureRequest, measured_runs: dict[int, Run]) -> Run:
    return measured_runs[request.param]


def test_every_figure_equals_the_results(run: Run) -> None:
    folder, _ = run
    found = Scrape((folder / "metrics.prom").read_text(encoding="utf-8"))
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert found.names == {metric.name.removesuffix("_total") for metric in METRICS}
    for arm, card in results["arms"].items():
        kind = measured_settings().arm(arm).policy["kind"]
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


def test_processes_do_not_show(measured_runs: dict[int, Run]) -> None:
    one, two = (
        Scrape((folder / "metrics.prom").read_text(encoding="utf-8"))
        for folder, _ in measured_runs.values()
    )
    assert one.without_times() == two.without_times()


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
