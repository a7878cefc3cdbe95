"""Analyse an experiment of a service in a process of its own, at a low priority.

Sums over a large log hold Python's lock for long; in the service's own process, decisions would
wait for them. The child gets one line of JSON on its standard input, which may hold a password, and
answers one line: `{"analysis": ...}` or `{"error": ...}`.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from matinee_platform.service.live_analysis import AnalysisError
from matinee_policies.errors import ConfigError, DataError, MatineeError

COMMAND = (sys.executable, "-m", "matinee_platform.service.analysis_process")
LONGEST_SECONDS = 900.0
"""After which an analysis is given up."""

_NICE = 10


class AnalysisProcess:
    """Analyses experiments of one service, one at a time; belongs to one thread.

    Args:
        data_dir: `ServiceSettings.data_dir`.
        database: `ServiceSettings.database`.
    """

    def __init__(self, data_dir: Path, database: str) -> None:
        self._data_dir, self._database = data_dir, database
        self._child: subprocess.Popen[str] | None = None
        self._closed = False
        self._changing = threading.Lock()

    def analyse(self, key: str, until_ms: int) -> dict[str, Any]:
        """The analysis of an experiment up to a time; see `analyse_experiment`.

        Raises:
            AnalysisError: with the reason why there is none.
        """
        line = json.dumps(
            {
                "data_dir": str(self._data_dir),
                "database": self._database,
                "key": key,
                "until_ms": until_ms,
            }
        )
        with self._changing:
            if self._closed:
                raise AnalysisError("the service is stopping")
            child = self._child = subprocess.Popen(  # noqa: S603 - a module of ours
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
        try:
            told, _ = child.communicate(line, timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            raise AnalysisError(f"the analysis took longer than {LONGEST_SECONDS:g} s") from None
        if child.returncode != 0:
            raise AnalysisError(f"the analysis ended with status {child.returncode}")
        answer: dict[str, Any] = json.loads(told)
        if "error" in answer:
            raise AnalysisError(answer["error"])
        analysis: dict[str, Any] = answer["analysis"]
        return analysis

    def close(self) -> None:
        """End what runs; from any thread."""
        with self._changing:
            self._closed = True
            if self._child is not None and self._child.poll() is None:
                self._child.kill()


def main() -> None:
    """Answer the one line of the standard input."""
    # What it takes to analyse is for the child alone: the service itself stays small.
    from matinee_platform.analysis.experiment.of_service import analyse_service

    os.nice(_NICE)
    asked = json.loads(sys.stdin.readline())
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
        told = {"error": f"the analysis cannot be made now: {type(error).__name__}"}
    json.dump(told, sys.stdout, allow_nan=False)


if __name__ == "__main__":
    main()
