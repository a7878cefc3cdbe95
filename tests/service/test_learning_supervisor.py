"""A child is restarted when it dies or falls silent, and does not outlive its parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from matinee_platform.clock import FakeClock
from matinee_platform.learning.learner_loop import LearnerLoop
from matinee_platform.learning.learner_status import LearnerStatus
from matinee_platform.learning.supervisor import Patience, Supervisor, seconds_waited
from matinee_platform.learning.testing_live import MemoryLeases

_QUICK = Patience(
    first_pause=0.01,
    longest_pause=0.02,
    begin_within=100.0,
    heart_stopped=30.0,
    look_every=0.01,
    stop_within=20.0,
)
_NOTES = "import sys, os, pathlib; line = sys.stdin.readline().strip(); "
_LIVES = "sys.stdin.read()"


def _until(true: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Wait for another process; generous, as the machine may be busy."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "the other process did not get there"
        threading.Event().wait(0.01)


def _child(notes: Path, body: str) -> list[str]:
    """A child that adds its id and its line to a file, then does something."""
    note = f"open({str(notes)!r}, 'a').write(f'{{os.getpid()}} {{line}}\\n'); "
    return [sys.executable, "-c", _NOTES + note + body]


def _lines(notes: Path) -> list[list[str]]:
    return [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    supervisor = Supervisor(
        "told",
        last_beat=lambda _: None,
        command=_child(notes, "sys.exit(3)"),
        patience=_QUICK,
    )
    assert supervisor.state == "none"
    supervisor.start()
    _until(lambda: len(_lines(notes)) >= 3)
    supervisor.stop()
    assert supervisor.starts >= 3
    assert len({process for process, _ in _lines(notes)}) >= 3
    assert {line for _, line in _lines(notes)} == {"told"}
    assert supervisor.state == "none"


@pytest.mark.parametrize("body", ["sys.exit(0)", "os.kill(os.getpid(), 15)"])
def test_a_child_that_was_told_to_end_with_its_parent_is_no_news(
    body: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notes = tmp_path / "notes"
    supervisor = Supervisor(
        "told",
        last_beat=lambda _: None,
        command=_child(notes, body),
        patience=replace(_QUICK, told_to_end=100.0),
    )
    supervisor.start()
    _until(lambda: len(_lines(notes)) == 1 and supervisor.process is None)
    supervisor.stop()
    assert supervisor.starts == 1
    assert caplog.messages == []


def test_a_child_that_was_told_to_end_alone_is_started_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notes = tmp_path / "notes"
    supervisor = Supervisor(
        "told",
        last_beat=lambda _: None,
        command=_child(notes, "sys.exit(0)"),
        patience=replace(_QUICK, told_to_end=0.01),
    )
    supervisor.start()
    _until(lambda: len(_lines(notes)) >= 2)
    supervisor.stop()
    assert caplog.messages[0] == "the learner ended with status 0 and is started again in 0.0 s"


def test_no_child_is_started_once_the_parent_is_leaving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notes = tmp_path / "notes"
    supervisor = Supervisor(
        "told", last_beat=lambda _: None, command=_child(notes, _LIVES), patience=_QUICK
    )
    supervisor.start()
    _until(lambda: len(_lines(notes)) == 1)
    supervisor.leave()
    child = int(_lines(notes)[0][0])
    assert _alive(child), "its parent still answers what it took in"
    os.kill(child, signal.SIGKILL)
    _until(lambda: supervisor.process is None)
    supervisor.stop()
    assert supervisor.starts == 1
    assert caplog.messages == []


def test_a_child_whose_heart_stopped_is_killed_and_started_again(tmp_path: Path) -> None:
    notes, now = tmp_path / "notes", [1_000.0]
    beats: dict[int, int] = {}
    supervisor = Supervisor(
        "told",
        last_beat=beats.get,
        now=lambda: now[0],
        command=_child(notes, _LIVES),
        patience=_QUICK,
    )
    supervisor.start()
    _until(lambda: len(_lines(notes)) == 1)
    first = int(_lines(notes)[0][0])
    assert supervisor.process == first
    for beat in range(5):
        beats[first] = beat
        assert supervisor.state == "ok"
        now[0] += 20
    assert supervisor.starts == 1
    now[0] += 31
    _until(lambda: len(_lines(notes)) == 2)
    assert not _alive(first)
    second = int(_lines(notes)[1][0])
    _until(lambda: supervisor.process == second)
    assert supervisor.state == "ok"
    supervisor.stop()
    assert not _alive(second)


def test_a_child_that_waits_for_a_core_is_not_silent(tmp_path: Path) -> None:
    notes, now, waited = tmp_path / "notes", [1_000.0], [0.0]
    beats: dict[int, int] = {}
    supervisor = Supervisor(
        "told",
        last_beat=beats.get,
        now=lambda: now[0],
        waited=lambda _: waited[0],
        command=_child(notes, _LIVES),
        patience=_QUICK,
    )
    supervisor.start()
    _until(lambda: len(_lines(notes)) == 1)
    first = int(_lines(notes)[0][0])
    waited[0] += 500.0
    now[0] += 590.0
    assert supervisor.state == "ok", "90 s of its own, without a beat so far"
    beats[first] = 1
    assert supervisor.state == "ok"
    waited[0] += 60.0
    now[0] += 80.0
    assert supervisor.state == "ok", "20 s of its own since the beat"
    beats[first] = 2
    assert supervisor.state == "ok"
    now[0] += 31.0
    _until(lambda: len(_lines(notes)) == 2)
    assert not _alive(first)
    supervisor.stop()


def test_what_a_process_waited_for_a_core_is_the_kernels_count() -> None:
    """On one core of two that both want it, each waits for about as long as it runs."""
    core = min(os.sched_getaffinity(0))
    loop = f"import os; os.sched_setaffinity(0, [{core}]); print(flush=True)\nwhile True: pass"
    children = [
        subprocess.Popen([sys.executable, "-c", loop], stdout=subprocess.PIPE) for _ in range(2)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        one = children[0].pid
        before, since = seconds_waited(one), time.monotonic()
        _until(lambda: seconds_waited(one) - before > 0.2)
        assert seconds_waited(one) - before <= time.monotonic() - since + 0.2
    finally:
        for child in children:
            child.kill()
            child.communicate()
    assert seconds_waited(2**22 + 1) == 0.0


def test_a_child_has_a_low_priority_from_its_first_line(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    body = f"open({str(notes)!r}, 'a').write(f'{{os.nice(0)}} nice\\n'); {_LIVES}"
    supervisor = Supervisor(
        "told", last_beat=lambda _: None, command=_child(notes, body), patience=_QUICK
    )
    supervisor.start()
    _until(lambda: len(_lines(notes)) == 2)
    supervisor.stop()
    assert int(_lines(notes)[1][0]) == min(os.nice(0) + 10, 19)


def test_a_clock_that_is_set_kills_no_healthy_child(tmp_path: Path) -> None:
    notes, now, clock = tmp_path / "notes", [1_000.0], FakeClock()
    told: list[LearnerStatus] = []
    loop = LearnerLoop(
        plans=list,
        make=lambda *_: pytest.fail("there are no arms"),
        leases=MemoryLeases().of(),
        report=told.append,
        clock=clock,
        now=lambda: now[0],
    )
    supervisor = Supervisor(
        "told",
        last_beat=lambda _: told[-1].beats if told else None,
        now=lambda: now[0],
        command=_child(notes, _LIVES),
        patience=_QUICK,
    )
    supervisor.start()
    _until(lambda: len(_lines(notes)) == 1)
    # Forward by an hour at a time; then held, as a clock that was set back is.
    for forward in [3_600.0] * 3 + [0.0] * 5:
        clock.advance(seconds=forward)
        assert supervisor.state == "ok"
        now[0] += 20.0
        loop.beat()
        assert supervisor.state == "ok"
    assert len(told) == 8
    loop.beat()
    assert len(told) == 8, "once a second at most"
    assert supervisor.starts == 1
    supervisor.stop()


def test_a_child_that_never_begins_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    notes, now = tmp_path / "notes", [1_000.0]
    supervisor = Supervisor(
        "told",
        last_beat=lambda _: None,
        now=lambda: now[0],
        command=_child(notes, _LIVES),
        patience=_QUICK,
    )
    supervisor.start()
    _until(lambda: len(_lines(notes)) == 1)
    now[0] += 99
    assert supervisor.state == "ok"
    now[0] += 2
    _until(lambda: len(_lines(notes)) == 2)
    supervisor.stop()


def test_a_command_that_is_not_there_is_away() -> None:
    supervisor = Supervisor(
        "told",
        last_beat=lambda _: None,
        command=["/no/such/program"],
        patience=_QUICK,
    )
    supervisor.start()
    _until(lambda: supervisor.starts >= 2)
    assert supervisor.state == "away"
    supervisor.stop()


@pytest.mark.parametrize("end", ["kill", "exit"])
def test_a_child_leaves_when_its_parent_is_gone(tmp_path: Path, end: str) -> None:
    notes = tmp_path / "notes"
    child = [
        sys.executable,
        "-c",
        "import threading, os; from matinee_platform.learning.supervisor import *; "
        f"line = read_line(); open({str(notes)!r}, 'a').write(f'{{os.getpid()}} {{line}}\\n'); "
        "stop = threading.Event(); leave_with_parent(stop, within=0.0); "
        "threading.Event().wait(300)",
    ]
    parent = (
        "import sys, threading; "
        "from matinee_platform.learning.supervisor import Supervisor; "
        "s = Supervisor('told', last_beat=lambda _: None, "
        f"command={child!r}); s.start(); sys.stdin.readline()"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE)
    try:
        _until(lambda: len(_lines(notes)) == 1)
        own = int(_lines(notes)[0][0])
        assert _alive(own)
        if end == "kill":
            process.kill()
        else:
            process.communicate(b"\n", timeout=60)
        _until(lambda: not _alive(own))
    finally:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
