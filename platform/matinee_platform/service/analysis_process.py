"""Analyse an experiment of a service in a process of its own, at a low priority.

Sums over a large log hold Python's lock for long; in the service's own process, decisions would
wait for them. The child gets one line of JSON on its standard input, which may hold a password, and
answers one line: `{"analysis": ...}` or `{"error": ...}`. Its input stays open until it has
answered: when that ends, the service is gone, however it went, and so does the child. What it says
on standard error is for the service's own lines.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from structlog.typing import FilteringBoundLogger

from matinee_platform.learning.supervisor import leave_with_parent, read_line
from matinee_platform.service.live_analysis import AnalysisError
from matinee_policies.errors import ConfigError, DataError, MatineeError

COMMAND = (sys.executable, "-m", "matinee_platform.service.analysis_process")
LONGEST_SECONDS = 900.0
"""After which an analysis is given up."""

_NICE = 10
_MOST_SAID = 4_000
"""Bytes of a child's standard error that are told, the last ones."""


class AnalysisProcess:
    """Analyses experiments of one service, one at a time; belongs to one thread.

    Args:
        data_dir: `ServiceSettings.data_dir`.
        database: `ServiceSettings.database`.
        log: takes lines.
        command: starts the child.
        longest_seconds: after which it is killed.
    """

    def __init__(
        self,
        data_dir: Path,
        database: str,
        *,
        log: FilteringBoundLogger,
        command: Sequence[str] = COMMAND,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._data_dir, self._database, self._log = data_dir, database, log
        self._command, self._longest = list(command), longest_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._changing = threading.Lock()

    def analyse(self, key: str, until_ms: int) -> dict[str, Any]:
        """The analysis of an experiment up to a time; see `analyse_experiment`.

        Raises:
            AnalysisError: with the reason why there is none.
        """
        asked = {
            "data_dir": str(self._data_dir),
            "database": self._database,
            "key": key,
            "until_ms": until_ms,
        }
        with TemporaryFile() as said:
            try:
                told, status = self._ask(json.dumps(asked).encode() + b"\n", said)
                answer: dict[str, Any] = json.loads(told) if status == 0 else {}
            except (OSError, ValueError) as error:
                self._tell(key, said, error=type(error).__name__)
                raise AnalysisError(
                    f"the analysis cannot be made now: {type(error).__name__}"
                ) from error
            if status is None:
                self._tell(key, said, error="too long")
                raise AnalysisError(f"the analysis took longer than {self._longest:g} s")
            if status != 0:
                self._tell(key, said, status=status)
                raise AnalysisError(f"the analysis ended with status {status}")
            if "error" in answer:
                if os.fstat(said.fileno()).st_size:
                    self._tell(key, said)
                raise AnalysisError(answer["error"])
        analysis: dict[str, Any] = answer["analysis"]
        return analysis

    def _ask(self, line: bytes, said: IO[bytes]) -> tuple[bytes, int | None]:
        """What a child answers, and its exit status; None for one that was given up."""
        with self._changing:
            if self._closed:
                raise AnalysisError("the service is stopping")
            child = self._child = subprocess.Popen(  # noqa: S603 - a module of ours
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
            )
        late = threading.Event()

        def give_up() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(self._longest, give_up)
        timer.daemon = True
        timer.start()
        with child:
            assert child.stdin is not None  # noqa: S101 - for types
            assert child.stdout is not None  # noqa: S101
            try:
                with suppress(BrokenPipeError):
                    child.stdin.write(line)
                    child.stdin.flush()
                told = child.stdout.read()
                child.wait()
            finally:
                timer.cancel()
                with suppress(BrokenPipeError):
                    child.stdin.close()
        return told, None if late.is_set() else child.returncode

    def _tell(self, key: str, said: IO[bytes], **facts: Any) -> None:
        """Have a line say what a child said that failed."""
        end = said.seek(0, os.SEEK_END)
        said.seek(max(0, end - _MOST_SAID))
        text = said.read().decode(errors="replace")
        self._log.warning("analysis_child_failed", experiment=key, said=text, **facts)

    def close(self) -> None:
        """End what runs; from any thread."""
        with self._changing:
            self._closed = True
            if self._child is not None and self._child.poll() is None:
                self._child.kill()


def main() -> None:
    """Answer the one line of the standard input."""
    # First of all: reading the modules below takes a second of a core that decisions may need.
    os.nice(_NICE)
    # What it takes to analyse is for the child alone: the service itself stays small.
    from matinee_platform.analysis.experiment.of_service import analyse_service

    asked = json.loads(read_line())
    leave_with_parent(threading.Event(), within=0.0)
    try:
        told: dict[str, Any] = {
            "analysis": analyse_service(
                Path(asked["data_dir"]),
                asked["database"],
                key=asked["key"],
                until_ms=asked["until_ms"],
            )
        }
    except (ConfigError, DataError) as error:
        told = {"error": str(error)}
    except MatineeError as error:
        # What a database says of itself is for the service's own log, not for callers.
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        told = {"error": f"the analysis cannot be made now: {type(error).__name__}"}
    json.dump(told, sys.stdout, allow_nan=False)


if __name__ == "__main__":
    main()
