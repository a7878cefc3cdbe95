"""Run a peer in a process of its own environment, and ask it for its speed.

Environments are folders under `.peers/`, made by `make bench-peers` (peers/install.py). A peer that
is not installed, or that fails, is a row's figure that is missing with its reason, never an error.
So is every peer where the environment variable `BENCH_WITHOUT_PEERS` is set.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

PROGRAMS = Path(__file__).resolve().parent
ENVIRONMENTS = PROGRAMS.parent / ".peers"
HOW_TO_INSTALL = "make bench-peers"
WITHOUT_PEERS = "BENCH_WITHOUT_PEERS"
"""Environment variable; unless it is empty, no peer is started."""

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """What to compare with.

    Attributes:
        name: of the package, as people know it.
        script: name of a file of `benchmarks/peers`, without `.py`.
        environment: name of its folder under `.peers/`; `None` runs with our own Python and numpy.
        settings: what the script reads: sizes, seed, kind of policy.
    """

    name: str
    script: str
    environment: str | None
    settings: Mapping[str, int | str] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        if self.environment is None:
            return Path(sys.executable)
        return ENVIRONMENTS / self.environment / "bin" / "python"


@dataclass(frozen=True, slots=True)
class PeerFigure:
    """Speed of a peer, or why there is none.

    Attributes:
        name: of the package.
        version: as installed; empty if it is not.
        rate: in the unit of the row; 0 if missing.
        missing: why there is no figure; empty if there is one.
    """

    name: str
    version: str = ""
    rate: float = 0.0
    missing: str = ""


class PeerProcess:
    """A peer while it runs; use as a context manager."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._process: subprocess.Popen[str] | None = None
        self._best = PeerFigure(peer.name, missing="it was not asked")

    def __enter__(self) -> Self:
        if os.environ.get(WITHOUT_PEERS):
            self._best = PeerFigure(self._peer.name, missing="left out, as asked")
            return self
        if not self._peer.python.exists():
            self._best = PeerFigure(self._peer.name, missing=f"not installed: {HOW_TO_INSTALL}")
            return self
        settings = [f"{name}={value}" for name, value in self._peer.settings.items()]
        module = f"peers.{self._peer.script}"
        self._process = subprocess.Popen(
            [str(self._peer.python), "-W", "ignore", "-m", module, *settings],
            cwd=PROGRAMS,
            env=os.environ | ONE_THREAD,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.communicate()

    @property
    def best(self) -> PeerFigure:
        """The fastest measurement so far."""
        return self._best

    def measure(self, seconds: float) -> None:
        """Ask for one more measurement of at least so many CPU seconds."""
        if self._process is None:
            return
        try:
            figures = json.loads(self._ask(f"{seconds}\n"))
        except (BrokenPipeError, json.JSONDecodeError):
            self._give_up()
            return
        if figures["rate"] > self._best.rate:
            self._best = PeerFigure(self._peer.name, figures["version"], figures["rate"])

    def _ask(self, line: str) -> str:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return ""
        process.stdin.write(line)
        process.stdin.flush()
        return process.stdout.readline()

    def _give_up(self) -> None:
        """Keep the last line of what the peer complained about as the reason."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None and not process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        said = process.stderr.read().strip().splitlines() if process.stderr is not None else []
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        self._best = PeerFigure(
            self._peer.name, missing=f"failed: {said[-1] if said else 'no message'}"
        )
