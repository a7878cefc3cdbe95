"""The process of the key figures: it lives through a kill, and one of two makes them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from matinee_platform.kpis import kpi_supervisor
from matinee_platform.kpis.fold_file import fold_path
from matinee_platform.kpis.kpi_status import STATUS_FILE, ExperimentKpis, read_status
from matinee_platform.kpis.testing_live import (
    PSEUDONYMS,
    Record,
    assert_equals_analysis,
    in_log_order,
    lives,
    of_home,
    started,
)
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.lease import FileLease
from matinee_platform.storage.records import DecisionRecord


@pytest.fixture
def process_of() -> Iterator[Callable[[ServiceSettings], "subprocess.Popen[bytes]"]]:
    """Starts the real process of a service; none outlives the test."""
    children: list[subprocess.Popen[bytes]] = []

    def start(settings: ServiceSettings) -> "subprocess.Popen[bytes]":
        child = subprocess.Popen(kpi_supervisor.COMMAND, stdin=subprocess.PIPE)
        assert child.stdin is not None
        child.stdin.write(settings.model_dump_json().encode() + b"\n")
        child.stdin.flush()
        children.append(child)
        return child

    yield start
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
        child.kill()
        child.wait()


def test_the_process_lives_through_a_kill_in_mid_stream(
    tmp_path: Path, process_of: Callable[[ServiceSettings], "subprocess.Popen[bytes]"]
) -> None:
    live = started(tmp_path, "sqlite")
    (tmp_path / "secret").write_bytes(os.urandom(32).hex().encode())
    (tmp_path / "secret").chmod(0o600)
    settings = ServiceSettings(data_dir=tmp_path, experiments=[], kpi_every_seconds=0.1)
    pieces = in_log_order(lives(), 3)
    live.write(pieces[0])
    child = process_of(settings)
    assert told_by(tmp_path, child, pages=pages_of(pieces[0]))
    live.write(pieces[1])
    child.send_signal(signal.SIGKILL)
    child.wait()
    live.write(pieces[2])
    again = process_of(settings)
    home = told_by(tmp_path, again, pages=pages_of(live.written))
    # Its clock is the machine's, later than all that was written.
    assert home.until_ms > live.until()
    assert_equals_analysis(live, home, until_ms=home.until_ms)
    again.terminate()
    assert again.wait(timeout=60) == 0
    assert fold_path(tmp_path, "home").is_file()
    live.engine.dispose()


def pages_of(rows: Sequence[Record]) -> int:
    """Pages of units of one arm."""
    return sum(isinstance(row, DecisionRecord) and row.unit != PSEUDONYMS[5] for row in rows)


def told_by(folder: Path, child: "subprocess.Popen[bytes]", *, pages: int) -> ExperimentKpis:
    """What the process says once its figures hold so many pages."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert child.poll() is None
        status = read_status(folder / STATUS_FILE)
        if status is not None and status.process == child.pid and status.experiments:
            home = of_home(status.experiments)
            if sum(figures.pages for figures in home.arms.values()) == pages:
                return home
        time.sleep(0.05)
    raise AssertionError("the process told no figures")


def test_of_two_processes_one_makes_the_figures(
    tmp_path: Path, process_of: Callable[[ServiceSettings], "subprocess.Popen[bytes]"]
) -> None:
    live = started(tmp_path, "sqlite")
    ours = [row for row in lives() if isinstance(row, DecisionRecord)][:200]
    live.write([row for row in ours if row.unit != PSEUDONYMS[5]])
    left = fold_path(tmp_path, "home")
    left.parent.mkdir()
    left.write_bytes(b"of units")
    lease = FileLease(tmp_path)
    assert lease.acquire("key-figures")
    settings = ServiceSettings(data_dir=tmp_path, experiments=[], kpi_every_seconds=0.1)
    child = process_of(settings)
    deadline = time.monotonic() + 60
    while (status := read_status(tmp_path / STATUS_FILE)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status is not None
    assert (status.holds, status.experiments) == (False, ())
    assert not left.exists(), "whoever makes no figures cannot follow who is forgotten"
    lease.release("key-figures")
    assert told_by(tmp_path, child, pages=pages_of(live.written))
    live.engine.dispose()
