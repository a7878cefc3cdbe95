"""The command line as a user meets it: results, help, and mistakes without a traceback."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from matinee_platform.cli import main

CONFIG = """
name: cli
users: 60
days: 2
slots: 4
candidates: 20
arms:
  - {name: mf_order, weight: 0.5, policy: {kind: score_order}}
  - {name: lin_ucb, weight: 0.5, policy: {kind: lin_ucb, diversity: 0.05}}
"""


def _without_data() -> dict[str, str]:
    """The environment, in which no real data are named: fixtures of a module come before those
    of a function, so the command line is kept from them here."""
    return {name: value for name, value in os.environ.items() if name != "MATINEE_DATA"}


def matinee(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, in this process: what it prints, and its exit status."""
    arguments = ["matinee", *map(str, words)]
    out, errors, status = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", arguments),
        mock.patch.dict(os.environ, {**_without_data(), "COLUMNS": "120"}, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), errors.getvalue())


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "experiment.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "cli"
    done = matinee("simulate", "--config", config, "--out", out, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "synthetic catalogue" in done.stderr
    assert "lin_ucb" in done.stdout
    assert "Sample ratio" in done.stdout
    return out


def test_json_is_the_results_file(run: Path) -> None:
    done = matinee("show", run, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((run / "results.json").read_text("utf-8"))


def test_show_prints_the_table(run: Path) -> None:
    done = matinee("show", run)
    assert "mf_order (control)" in done.stdout
    assert "D28" in done.stdout


def test_a_run_is_not_overwritten_unless_asked(config: Path, run: Path) -> None:
    again = matinee("simulate", "--config", config, "--out", run)
    assert again.returncode == 1
    assert "holds a run already" in again.stderr
    assert "Traceback" not in again.stderr


def test_other_files_are_never_deleted(config: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    done = matinee("simulate", "--config", config, "--out", tmp_path, "--overwrite")
    assert done.returncode == 1
    assert "holds other files" in done.stderr
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "years of work"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--set", "users=-1"], "users"),
        (["--set", "arms.lin_ucb.policy.alpha=-2"], "alpha must be >= 0, got -2"),
        (["--set", "arms.lin_ucb.policy.colour=1"], "no setting 'colour'"),
        (["--set", "arms.lin_ucb.policy.kind=magic"], "'magic'"),
        (["--set", "world.retention_sensitivity=-1"], "retention_sensitivity"),
        (["--set", "world.gravity=9.8"], "no setting 'gravity'"),
        (["--set", "candidates=1000", "--set", "slots=100", "--set", "world.max_pages=99"], "4096"),
        (["--set", "sources.mf.kind=magic"], "'magic'"),
        (["--workers", "0"], "workers must be >= 1, got 0"),
        (["--data", "/nonexistent"], "/nonexistent"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    config: Path, tmp_path: Path, words: list[str], complaint: str
) -> None:
    out = tmp_path / "out"
    done = matinee("simulate", "--config", config, "--out", out, *words)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_a_bad_data_file_does_not_cost_an_older_run(
    config: Path, run: Path, tmp_path: Path
) -> None:
    before = (run / "results.json").read_bytes()
    done = matinee("simulate", "--config", config, "--out", run, "--overwrite", "--data", tmp_path)
    assert done.returncode == 1
    assert (run / "results.json").read_bytes() == before


def test_a_process_ends_with_the_status_of_its_mistake(config: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "matinee_platform.cli", "simulate", "--config", str(config)]
    command += ["--out", str(tmp_path / "out"), "--set", "users=-1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_without_data())
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "users" in done.stderr


def test_usage_errors_have_their_own_status() -> None:
    assert matinee("simulate").returncode == 2
    assert matinee("nonsense").returncode == 2


def test_help_and_version_answer() -> None:
    assert "simulate" in matinee("--help").stdout
    assert "users=2000" in matinee("simulate", "--help").stdout
    assert matinee("--version").stdout.startswith("matinee ")


def test_show_refuses_an_unfinished_run(tmp_path: Path) -> None:
    done = matinee("show", tmp_path)
    assert done.returncode == 1
    assert "no finished run" in done.stderr
