"""An offline run on the dashboards: its history in a real Prometheus fills its panels."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from matinee_dashboards.boards import BOARDS
from matinee_dashboards.records import Board
from matinee_platform.offline.metrics_history import export_openmetrics
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import parse_settings
from matinee_simulator.history import RUN_START
from panel_answers import answers, choices_of
from prometheus_server import Prometheus

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

DAYS = 32
DAY_S = 86_400.0
ARMS = [
    {"name": "mf_order", "policy": {"kind": "score_order", "epsilon": 0.2}},
    {"name": "lin_ucb", "policy": {"kind": "lin_ucb", "diversity": 0.05}},
]
SHOWING = [board for board in BOARDS if any(panel.source != "service" for panel in board.panels)]


@pytest.fixture(scope="module")
def backfilled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that was never told anything but the history of a run."""
    folder = tmp_path_factory.mktemp("backfilled")
    run = parse_settings(
        {
            "name": "shown",
            "seed": 5,
            "users": 240,
            "days": DAYS,
            "slots": 4,
            "candidates": 20,
            "world": {"arrival_days": 2},
            "arms": ARMS,
        }
    )
    run_experiment(run, folder / "run", workers=1)
    export_openmetrics(folder / "run", folder / "history.txt")
    # As docs/metrics.md has it.
    prometheus = Prometheus(
        folder / "prometheus",
        targets={},
        options=("--storage.tsdb.retention.time=100y", "--query.lookback-delta=1h"),
    )
    program = shutil.which("promtool")
    assert program is not None, "promtool is not on PATH: install Prometheus to run these tests"
    subprocess.run(
        [
            *(program, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=336h"),
            *(str(folder / "history.txt"), str(prometheus.data)),
        ],
        check=True,
        capture_output=True,
    )
    with prometheus:
        yield prometheus


def test_experiment_and_learning_show_runs() -> None:
    assert [board.uid for board in SHOWING] == ["matinee-experiment", "matinee-learning"]


@pytest.mark.parametrize("board", SHOWING, ids=lambda board: board.uid)
def test_every_panel_of_a_run_is_answered_with_data(board: Board, backfilled: Prometheus) -> None:
    choices = choices_of(board, backfilled, experiment="shown")
    assert set(choices["arm"]) == {"mf_order", "lin_ucb"}
    found = answers(
        board,
        backfilled,
        choices=choices,
        interval="4h",
        seconds=DAYS * DAY_S,
        until=RUN_START + DAYS * DAY_S,
    )
    of_runs = [one for one in found if one.panel.source != "service"]
    assert len(of_runs) > 5
    assert [error for one in of_runs for error in one.errors] == []
    assert {one.panel.title: one.empty for one in of_runs if one.empty} == {}
    # Every arm has its line, but where a policy cannot tell (docs/metrics.md).
    for one in of_runs:
        arms = {series["metric"].get("arm") for query in one.series for series in query}
        if arms != {None} and one.panel.title != "Price of exploration":
            assert arms >= {"lin_ucb"}, one.panel.title
