"""Memory, open files and processor time of a running process (Linux)."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def memory_mb(process: int) -> float:
    """Memory that a process holds and no file stands behind."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == "Anonymous":
            return int(rest.split()[0]) / 1_024
    raise RuntimeError(f"the system does not tell the memory of process {process}")


def open_files(process: int) -> int:
    """How many files, sockets and pipes it has open."""
    return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())


def cpu_seconds(process: int) -> float:
    """Processor time that it has used, all threads together."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
