"""Run a command and watch the memory of all its processes together (Linux)."""

import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PROCESSES = Path("/proc")
_FIELDS = {"Pss": "held", "Anonymous": "anonymous"}
_EVERY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Watched:
    """What a command took.

    Attributes:
        seconds: wall time.
        cpu_seconds: of all its processes.
        held_mb: largest sum over its processes of memory held, pages shared by processes counted
            once (PSS); pages of mapped files are in it while they are mapped.
        anonymous_mb: largest sum of memory that has no file behind it.
        failure: the last line of its errors, empty if it succeeded.
    """

    seconds: float
    cpu_seconds: float
    held_mb: float
    anonymous_mb: float
    failure: str


def watch(command: Sequence[str]) -> Watched:
    """Run a command to its end."""
    peaks = dict.fromkeys(_FIELDS.values(), 0.0)
    before, start = _cpu_seconds(), time.monotonic()
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as process:
            while process.poll() is None:
                for name, value in _memory_mb(process.pid).items():
                    peaks[name] = max(peaks[name], value)
                time.sleep(_EVERY_SECONDS)
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
    failure = "" if process.returncode == 0 else (said[-1] if said else "no message")
    return Watched(
        seconds=time.monotonic() - start,
        cpu_seconds=_cpu_seconds() - before,
        held_mb=peaks["held"],
        anonymous_mb=peaks["anonymous"],
        failure=failure,
    )


def _memory_mb(root: int) -> dict[str, float]:
    """Memory of a process and all that it started, now; nothing where the system does not tell."""
    totals = dict.fromkeys(_FIELDS.values(), 0.0)
    for process in _tree(root):
        for line in _lines(_PROCESSES / str(process) / "smaps_rollup"):
            name, _, rest = line.partition(":")
            if name in _FIELDS:
                totals[_FIELDS[name]] += int(rest.split()[0]) / 1_024
    return totals


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for folder in _PROCESSES.glob("[0-9]*"):
        for line in _lines(folder / "stat"):
            parent = int(line.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found, left = [], [root]
    while left:
        found.append(left.pop())
        left.extend(children.get(found[-1], []))
    return found


def _lines(path: Path) -> list[str]:
    """Lines of a file of a process that may be gone by now."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
