"""A real `matinee serve` in processes of its own, for programs that load it and break it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import yaml


class LiveService:
    """A service on a free port of loopback.

    Args:
        folder: of its configuration and data; made if it is not there.
        settings: as in the file of `matinee serve`, but for data_dir, host and port.

    Attributes:
        port: where it listens.
        process: the running one, if there is one.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._config = folder / "serve.yaml"
        self.data.mkdir(parents=True, exist_ok=True)
        whole = {**settings, "data_dir": str(self.data), "host": "127.0.0.1", "port": self.port}
        self._config.write_text(yaml.safe_dump(whole), encoding="utf-8")

    @property
    def config(self) -> Path:
        """The file of `matinee serve --config`."""
        return self._config

    @property
    def log(self) -> Path:
        """What it wrote to standard error."""
        return self.folder / "serve.log"

    def start(self, *, wait_s: float = 300.0, environment: dict[str, str] | None = None) -> float:
        """Start it and wait until it is ready.

        Args:
            wait_s: longest wait.
            environment: variables besides those of this process.

        Returns:
            Seconds from the start to ready.

        Raises:
            RuntimeError: it ended, or is not ready in time; with the end of its log.
        """
        began = time.perf_counter()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    "from matinee_platform.cli import main; main()",
                    "serve",
                    "--config",
                    str(self._config),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        while time.perf_counter() - began < wait_s:
            if self.process.poll() is not None or self.ready():
                break
            time.sleep(0.02)
        if not self.ready():
            end = self.log.read_text(encoding="utf-8", errors="replace")[-2_000:]
            raise RuntimeError(f"the service is not ready after {wait_s:g} s:\n{end}")
        return time.perf_counter() - began

    def ready(self) -> bool:
        """Whether it says that it is ready, or degraded, which answers too."""
        return self.status("/readyz") == 200

    def status(self, path: str) -> int | None:
        """Status of a GET; None if nobody answers."""
        try:
            with urllib.request.urlopen(self.url(path), timeout=5) as reply:  # noqa: S310
                return int(reply.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return None

    def text(self, path: str) -> str:
        """Body of a GET."""
        with urllib.request.urlopen(self.url(path), timeout=30) as reply:  # noqa: S310
            return str(reply.read().decode())

    def url(self, path: str) -> str:
        """Address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def kill(self) -> None:
        """Kill every process of it with SIGKILL, as a machine that loses power would."""
        if self.process is not None:
            with_children(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def stop(self, *, wait_s: float = 30.0) -> int:
        """Ask it to end, and wait; its exit status."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.terminate()
        try:
            return process.wait(wait_s)
        except subprocess.TimeoutExpired:
            with_children(process.pid, signal.SIGKILL)
            return process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def children_of(service: LiveService, word: str) -> list[int]:
    """Processes of a service, other than its first, whose command line has a word."""
    if service.process is None:
        return []
    group = service.process.pid
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            pid = int(folder.name)
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if pid != group and os.getpgid(pid) == group and word.encode() in words:
                found.append(pid)
    return found


def with_children(pid: int, number: int) -> None:
    """Send a signal to a whole process group; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
