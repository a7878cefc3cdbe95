"""Processes that a program starts, watches and ends, each with a log file of its own."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from live_service import with_children
from stack.composed import Process


class Child:
    """One process and whatever it starts.

    Args:
        name: of it, and of its log file.
        process: how it is started.
        folder: of the log.
    """

    def __init__(self, name: str, process: Process, *, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._process = process
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, again if it has ended."""
        self._running = self._started()

    def finish(self, *, wait_s: float) -> str:
        """Start it and wait for its end; what it wrote.

        Raises:
            RuntimeError: it failed, or is not done in time; with the end of its log.
        """
        running = self._running = self._started()
        try:
            status = running.wait(wait_s)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{self.name} is not done in {wait_s:g} s: {self.said()}") from None
        finally:
            self.kill()
        if status:
            raise RuntimeError(f"{self.name} failed with {status}: {self.said()}")
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._running is not None and self._running.poll() is None

    def kill(self) -> None:
        """SIGKILL to it and to all that it started."""
        if self._running is not None:
            with_children(self._running.pid, signal.SIGKILL)
            self._running.wait()
            self._running = None

    def stop(self, *, wait_s: float = 40.0) -> None:
        """Ask it to end and wait; SIGKILL if it does not."""
        if self._running is None:
            return
        if self._running.poll() is None:
            os.kill(self._running.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._running.wait(wait_s)
        self.kill()

    def said(self) -> str:
        """The end of its log."""
        if not self.log.exists():
            return "nothing"
        return self.log.read_text(encoding="utf-8", errors="replace")[-2_000:]

    def _started(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._process.command,
                env=self._process.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
