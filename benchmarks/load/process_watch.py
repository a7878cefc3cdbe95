"""Memory and open files of a running process (Linux)."""

from pathlib import Path


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
