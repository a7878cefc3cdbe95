"""The history that a run exports: that of its days, also where the run was interrupted."""

import json
import re
from pathlib import Path

import pytest

from matinee_platform import metrics
from matinee_platform.kpis.figures import kpi_rows
from matinee_platform.offline.arm_run import DayReport
from matinee_platform.offline.metrics_history import check_file, export_openmetrics
from matinee_platform.offline.run import run_experiment
from matinee_platform.offline.testing_metrics import Scrape, history, measured_settings
from matinee_policies.errors import ConfigError, MatineeError
from matinee_simulator.history import RUN_START

Run = tuple[Path, list[DayReport]]


@pytest.fixture
def run(measured_runs: dict[int, Run]) -> Run:
    return measured_runs[2]


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


class StopError(Exception):
    """Interrupts a run from within."""


@pytest.mark.parametrize("reports", [7, 64], ids=["within an arm", "after the last day"])
def test_a_resumed_run_counts_on(
    measured_runs: dict[int, Run], small_data: Path, tmp_path: Path, reports: int
) -> None:
    left = reports

    def stop(_: DayReport) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise StopError

    folder, measured = tmp_path / "resumed", measured_settings(data=str(small_data))
    with pytest.raises(StopError):
        run_experiment(measured, folder, workers=1, report=stop)
    assert not (folder / "metrics.prom").exists()
    run_experiment(measured, folder, workers=1, resume=True)
    whole, resumed = (
        Scrape((each / "metrics.prom").read_text(encoding="utf-8"))
        for each in (measured_runs[1][0], folder)
    )
    assert resumed.without_times() == whole.without_times()
    told = [tmp_path / "whole.txt", tmp_path / "resumed.txt"]
    for path, each in zip(told, (measured_runs[1][0], folder), strict=True):
        export_openmetrics(each, path)
    one, two = (
        {key: values for key, values in history(path).items() if "_seconds" not in key[0]}
        for path in told
    )
    assert one == two
    count = f"{metrics.LEARNER_UPDATES.name}_count"
    assert resumed.value(count, arm="lin_ucb", policy="lin_ucb") == 32
