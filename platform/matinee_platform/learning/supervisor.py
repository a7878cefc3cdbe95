"""Keep a learner running as a child process: start it, restart it, end it with its parent.

The parent holds the other end of the child's standard input. It writes one line, what the child
needs to know, and never closes it: when the parent is gone, however it went, the child reads the
end of its input and leaves (`leave_with_parent`). A child that died is started again, after a pause
that doubles while it keeps dying; one whose heart has stopped is killed first. One that was told to
end is waited with for a moment: whoever told it may be about to tell the parent. All of it goes by
monotonic time: a machine whose clock is set loses no healthy child. Nor does one that is too busy:
children have a low priority, and what they wait for a core is not silence.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from matinee_platform.learning.learner_status import STATUS_FILE, read_status
from matinee_platform.service.settings import ServiceSettings

_LOG = logging.getLogger(__name__)

LEARN_COMMAND = (sys.executable, "-m", "matinee_platform.cli", "learn", "--supervised")
"""The learner, told by its standard input what service it learns for."""

NICENESS = 10
"""Of children, over that of their parent: decisions come first where cores are few."""

_TOLD_TO_END = (0, -signal.SIGTERM)
"""Exit status of a child that somebody told to end, be it before it could listen."""

State = Literal["ok", "away", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds of a supervisor.

    Attributes:
        start_after: before the first start.
        first_pause: before the first restart.
        longest_pause: before any restart.
        healthy_after: life after which the next pause is the first one again.
        begin_within: for a child to give its first beat, or it is killed. Before that it reads its
            modules and arms.
        heart_stopped: age of the last beat at which a child is killed. In neither does the time
            count that it was ready to run and no core was free for it.
        look_every: between looks.
        stop_within: for a child to leave by itself before it is killed.
        told_to_end: for the parent to be told too, when a child was told to end.
    """

    start_after: float = 0.0
    first_pause: float = 0.5
    longest_pause: float = 30.0
    healthy_after: float = 60.0
    begin_within: float = 600.0
    heart_stopped: float = 60.0
    look_every: float = 0.5
    stop_within: float = 10.0
    told_to_end: float = 2.0


def seconds_waited(process: int) -> float:
    """Seconds for which the main thread of a process was ready to run and had no core.

    As Linux counts them (`/proc/PID/schedstat`); 0 on systems that do not, or if it is gone.
    """
    try:
        counts = Path(f"/proc/{process}/schedstat").read_text(encoding="ascii").split()
        return int(counts[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class Supervisor:
    """Runs one child process until `stop`.

    Args:
        line: what the child is told, without a line break; it may be secret.
        last_beat: a number that every beat of the child's heart changes, None before the first.
        now: monotonic seconds.
        waited: seconds that a child has waited for a core so far.
        command: starts the child.
        patience: of the supervisor.
        name: of the child, for people.
    """

    def __init__(
        self,
        line: str,
        *,
        last_beat: Callable[[int], int | None],
        now: Callable[[], float] = time.monotonic,
        waited: Callable[[int], float] = seconds_waited,
        command: Sequence[str] = LEARN_COMMAND,
        patience: Patience = Patience(),
        name: str = "learner",
    ) -> None:
        self._line = line
        self._name = name
        self._last_beat = last_beat
        self._now = now
        self._waited = waited
        self._command = list(command)
        self._patience = patience
        self._stop = threading.Event()
        self._leaving = False
        self._thread: threading.Thread | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        # The last beat that was seen, since when, and what the child had waited for a core by then.
        self._beat: tuple[int | None, float, float] = (None, 0.0, 0.0)
        self.starts = 0

    @property
    def state(self) -> State:
        """`ok` while the child runs and its heart beats; asks nobody."""
        if self._thread is None:
            return "none"
        child = self._child
        if child is None or child.poll() is not None or self._heart_stopped(child.pid):
            return "away"
        return "ok"

    @property
    def process(self) -> int | None:
        """Id of the child, None while there is none."""
        child = self._child
        return None if child is None or child.poll() is not None else child.pid

    def start(self) -> None:
        """Start the child, and watch over it from a thread of its own."""
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._watch, name=f"{self._name}-supervisor", daemon=True
        )
        self._thread.start()

    def leave(self) -> None:
        """Start no child any more, as the parent is ending; signal handlers may call it."""
        self._leaving = True

    def stop(self) -> None:
        """End the child, and the watch; waits for both."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _watch(self) -> None:
        pause = self._patience.first_pause
        self._stop.wait(self._patience.start_after)
        try:
            while not (self._stop.is_set() or self._leaving):
                self._start_child()
                lived, status = self._wait_for_child()
                if status in _TOLD_TO_END:
                    self._stop.wait(self._patience.told_to_end)
                if self._stop.is_set() or self._leaving:
                    break
                if lived >= self._patience.healthy_after:
                    pause = self._patience.first_pause
                how = "is not there" if status is None else f"ended with status {status}"
                _LOG.warning("the %s %s and is started again in %.1f s", self._name, how, pause)
                self._stop.wait(pause)
                pause = min(2.0 * pause, self._patience.longest_pause)
        finally:
            self._end_child()

    def _start_child(self) -> None:
        self._started = self._now()
        self._beat = (None, self._started, 0.0)
        self.starts += 1
        try:
            child = subprocess.Popen(self._command, stdin=subprocess.PIPE)  # noqa: S603 - ours
        except OSError as error:
            _LOG.error("the %s cannot be started: %s", self._name, error)
            return
        self._child = child
        try:
            # From its first module on, which is sooner than it could see to it by itself.
            os.setpriority(os.PRIO_PROCESS, child.pid, os.nice(0) + NICENESS)
            assert child.stdin is not None  # noqa: S101 - for the type checker
            child.stdin.write(self._line.encode() + b"\n")
            child.stdin.flush()
        except OSError:
            # It died already; `_wait_for_child` says so.
            return

    def _wait_for_child(self) -> tuple[float, int | None]:
        """Seconds that the child lived, and its exit status, once it is dead or this must stop."""
        child = self._child
        if child is None:
            return 0.0, None
        while not self._stop.is_set() and child.poll() is None:
            if self._heart_stopped(child.pid):
                _LOG.warning(
                    "the %s, process %d, shows no life and is killed", self._name, child.pid
                )
                child.kill()
                child.wait()
            else:
                self._stop.wait(self._patience.look_every)
        status = child.poll()
        if status is not None:
            _close(child.stdin)
            self._child = None
        return self._now() - self._started, status

    def _heart_stopped(self, process: int) -> bool:
        # The time first: whatever happens meanwhile makes a beat older, never a heart still.
        now = self._now()
        beat, (seen, since, waited) = self._last_beat(process), self._beat
        if beat is not None and beat != seen:
            self._beat = (beat, now, self._waited(process))
            return False
        patience = self._patience.begin_within if seen is None else self._patience.heart_stopped
        return now - since > patience + (self._waited(process) - waited)

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        # The end of its input tells it to leave.
        _close(child.stdin)
        try:
            child.wait(self._patience.stop_within)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def learner_supervisor(settings: ServiceSettings) -> Supervisor:
    """A supervisor of the learner of a service, not started yet."""
    path = settings.data_dir / STATUS_FILE

    def last_beat(process: int) -> int | None:
        status = read_status(path)
        return None if status is None or status.process != process else status.beats

    return Supervisor(settings.model_dump_json(), last_beat=last_beat)


def read_line() -> str:
    """The line that a supervisor wrote to this process, without the line break."""
    return sys.stdin.buffer.readline().decode().rstrip("\n")


def leave_with_parent(stop: threading.Event, *, within: float = 5.0) -> None:
    """From now on: when standard input ends, set `stop`, and leave for good soon after."""
    watch = threading.Thread(target=_wait_for_end, args=(stop, within), daemon=True)
    watch.start()


def _wait_for_end(stop: threading.Event, within: float) -> None:
    # Not through `sys.stdin`: its lock, held here, would break off the end of the interpreter.
    while os.read(sys.stdin.fileno(), 1_024):
        pass
    stop.set()
    # A step that takes long is given up: the next learner takes it again.
    threading.Event().wait(within)
    os._exit(1)


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        try:
            pipe.close()
        except OSError:
            return
