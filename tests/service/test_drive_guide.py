"""docs/drive.md: its files and its commands, run as they stand."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from live_service import free_port
from matinee_platform.cli import app
from matinee_platform.experiments.definition import SimulatedUsers

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "drive.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]


@contextmanager
def background(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_commands_run_as_written(tmp_path: Path) -> None:
    port = str(free_port())
    for name, content in re.findall(r"```yaml\n# (\S+\.yaml)\n(.*?)```", TEXT, re.DOTALL):
        (tmp_path / name).write_text(content.replace("8400", port), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "MATINEE_DATA"}
    assert len(COMMANDS) == 4
    words = [shlex.split(line.replace("8400", port)) for line in COMMANDS]
    python = [sys.executable, "-m", "matinee_platform.cli"]

    def run(command: list[str]) -> str:
        done = subprocess.run(
            [*python, *command[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for command in words[:2]:
        run(command)
    serve, drive = words[2:]
    assert serve.pop() == "&"
    with background([*python, *serve[1:]], tmp_path, environment):
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60.0).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        said = run(drive)
        again = run([*drive, "--state", "other.npz", "--days", "1", "--json"])
    # As the page prints it.
    line = re.search(r"    (against the run: .*)\n", TEXT)
    assert line is not None
    assert line[1] in said
    # The same days once more are answered as they were, and count nothing twice.
    found = json.loads(again)
    assert found["failed"] is False
    assert set(found["errors"]) == set()
    assert all(what.endswith("/repeated") for what in found["rewards"])


def test_every_option_is_in_the_table() -> None:
    said = CliRunner().invoke(app, ["drive", "--help"], env={"COLUMNS": "200"}).stdout
    for option in re.findall(r"(--[a-z-]+)", said):
        assert option in TEXT or option in ("--help", "--quiet"), option


def test_the_mark_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    mark = SimulatedUsers.model_validate(json.loads(block)["simulated"])
    assert (mark.run, mark.seed) == ("drive", 7)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["drive", "nowhere", "--url", "http://x"], "must be the folder of a run"),
        (
            ["deploy", "--first-day", "--policy", "uniform", "--to", "x"],
            "--first-day needs RUN:ARM",
        ),
        (["drive", "x", "--url", "http://x", "--bundle", "odd"], "--bundle must be ARM=NAME"),
    ],
)
def test_mistakes(words: list[str], rule: str) -> None:
    found = CliRunner().invoke(app, words)
    assert found.exit_code != 0
    assert rule in (found.output + str(found.exception))
