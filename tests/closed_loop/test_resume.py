"""A run killed at any moment goes on to the same log, snapshots and results."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import ExperimentSettings, load_settings
from matinee_policies.errors import ConfigError, MatineeError

CONFIG = """
name: resumed
seed: 5
users: 200
days: 9
checkpoint_every: 0
slots: 5
candidates: 30
world: {arrival_days: 2}
reward:
  rating: {weight: 0.1, window_days: 2}
  return_visit: {weight: 0.1, window_days: 3}
arms:
  - {name: mf_order, policy: {kind: score_order, epsilon: 0.1}}
  - {name: lin_ucb, policy: {kind: lin_ucb, diversity: 0.05}}
  - {name: vowpal_wabbit, policy: {kind: vowpal_wabbit, diversity: 0.05}}
"""

LEARNING = ("lin_ucb", "vowpal_wabbit")
"""Arms that two processes take up first, as they take longest."""

KINDS = ("decisions", "rewards", "features", "regret", "snapshots")

UNFINISHED = {"results.json", "summary.txt", "retention.png", "retention.svg"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, small_data: Path) -> Path:
    path = tmp_path_factory.mktemp("config") / "experiment.yaml"
    path.write_text(f"{CONFIG}\ndata: {small_data}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def settings(config: Path) -> ExperimentSettings:
    return load_settings(config)


@pytest.fixture(scope="module")
def whole(
    settings: ExperimentSettings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """An uninterrupted run."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    return run, _without_timings(run_experiment(settings, run, workers=1))


def _without_timings(results: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in results.items() if key != "timings"}


def _contents(run: Path, *kinds: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes()
        for kind in kinds
        for path in sorted((run / kind).rglob("*"))
        if path.is_file()
    }


# Each starts several processes, all slow on a busy machine; the run that they share counts too.
pytestmark = pytest.mark.timeout(600)


class StopError(Exception):
    """Interrupts a run from within."""


@pytest.mark.parametrize("stop_after", [1, 13])
def test_a_run_stopped_after_any_day_goes_on_to_the_same_result(
    settings: ExperimentSettings,
    whole: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    stop_after: int,
) -> None:
    run = tmp_path / "run"
    left = stop_after

    def stop(_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise StopError

    with pytest.raises(StopError):
        run_experiment(settings, run, workers=1, report=stop)
    again: list[object] = []
    results = run_experiment(settings, run, workers=1, resume=True, report=again.append)
    assert _without_timings(results) == whole[1]
    assert _contents(run, *KINDS) == _contents(whole[0], *KINDS)
    assert len(again) == 27 - stop_after


@pytest.mark.parametrize(
    "day",
    [
        pytest.param(None, marks=pytest.mark.long, id="prepared"),
        pytest.param(3, id="day 3"),
    ],
)
def test_a_run_killed_at_any_moment_goes_on_to_the_same_result(
    config: Path, whole: tuple[Path, dict[str, Any]], tmp_path: Path, day: int | None
) -> None:
    """Only the first process is killed: the others must not write on."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "matinee_platform.cli", "simulate", "--config", str(config)]
    command += ["--out", str(run), "--workers", "2", "--resume"]
    environment = {name: value for name, value in os.environ.items() if name != "MATINEE_DATA"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        if day is None:
            _wait_until((run / "prepared.json").exists, process)
        else:
            _wait_until(lambda: _last_day(run, "lin_ucb") >= day, process)
        process.send_signal(signal.SIGKILL)
    assert not (run / "results.json").exists()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert _without_timings(results) == json.loads(json.dumps(whole[1]))
    assert _contents(run, *KINDS) == _contents(whole[0], *KINDS)


def test_no_process_outlives_the_one_that_started_it(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "matinee_platform.cli", "simulate", "--config", str(config)]
    command += ["--out", str(run), "--workers", "2", "--set", "days=2000"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _wait_until(lambda: _last_day(run, "lin_ucb") >= 2, process)
        process.send_signal(signal.SIGKILL)
    # The system may take a moment to end them; one that went on would make days all the while.
    files: list[list[str]] = [[]]
    end = time.monotonic() + 30
    while len(files) < 2 or files[-1] != files[-2]:
        assert time.monotonic() < end, "a process goes on"
        files.append(sorted(path.name for path in run.rglob("day-*.npz")))
        time.sleep(1.0)
    assert sorted(path.name for path in run.rglob("day-*.npz")) == files[-1]


def test_an_interrupt_ends_a_run_at_once_and_without_a_traceback(
    config: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "matinee_platform.cli", "simulate", "--config", str(config)]
    command += ["--out", str(run), "--workers", "2", "--set", "days=2000"]
    with subprocess.Popen(
        command,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # Both processes that run arms are at work: one that still starts would have more to say.
        _wait_until(lambda: min(_last_day(run, arm) for arm in LEARNING) >= 1, process)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert max(_last_day(run, arm) for arm in LEARNING) < 1_999
    assert "interrupted" in errors
    assert "Traceback" not in errors


def test_two_processes_do_not_run_one_run(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "matinee_platform.cli", "simulate", "--config", str(config)]
    command += ["--out", str(run), "--workers", "1", "--set", "days=2000", "--resume"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until(lambda: _last_day(run, "lin_ucb") >= 1, process)
            with pytest.raises(MatineeError, match="is being run by another process"):
                run_experiment(load_settings(config, ["days=2000"]), run, workers=1, resume=True)
        finally:
            process.kill()


def _last_day(run: Path, arm: str) -> int:
    """Of the checkpoints that are there, -1 without any; all but the last are deleted."""
    found = (run / "checkpoints" / arm).glob("day-*.npz")
    return max((int(path.stem.removeprefix("day-")) for path in found), default=-1)


def _wait_until(there: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 150
    while not there():
        assert process.poll() is None, "the run ended before its time"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_finished_run_is_not_run_again(
    settings: ExperimentSettings, whole: tuple[Path, dict[str, Any]]
) -> None:
    reports: list[object] = []
    results = run_experiment(settings, whole[0], workers=1, resume=True, report=reports.append)
    assert _without_timings(results) == json.loads(json.dumps(whole[1]))
    assert not reports


def test_changed_settings_are_refused_with_the_difference(
    config: Path, whole: tuple[Path, dict[str, Any]]
) -> None:
    changed = load_settings(config, ["users=300", "arms.lin_ucb.policy.diversity=0.1"])
    with pytest.raises(ConfigError) as caught:
        run_experiment(changed, whole[0], workers=1, resume=True)
    message = str(caught.value)
    assert "users: 200 in the interrupted run, 300 now" in message
    assert "arms.lin_ucb.policy.diversity: 0.05 in the interrupted run, 0.1 now" in message
    assert (whole[0] / "results.json").is_file()


def test_changed_versions_are_refused(
    settings: ExperimentSettings, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole[0], run)
    stored = json.loads((run / "versions.json").read_text(encoding="utf-8"))
    (run / "versions.json").write_text(json.dumps({**stored, "numpy": "1.0"}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"numpy: '1\.0' in the interrupted run"):
        run_experiment(settings, run, workers=1, resume=True)


def test_a_damaged_checkpoint_is_refused_by_name(
    settings: ExperimentSettings, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole[0], run)
    for name in UNFINISHED:
        (run / name).unlink()
    (checkpoint,) = (run / "checkpoints" / "lin_ucb").glob("*.npz")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(Exception, match=checkpoint.name):
        run_experiment(settings, run, workers=1, resume=True)


def test_resume_starts_a_run_where_there_is_none(config: Path, tmp_path: Path) -> None:
    few = load_settings(config, ["users=20", "days=1"])
    results = run_experiment(few, tmp_path / "new", workers=1, resume=True)
    assert all(card["users"] for card in results["arms"].values())
    assert (tmp_path / "new" / "results.json").is_file()
