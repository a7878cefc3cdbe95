"""The largest memory that this process has held."""

import re
import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory_mb() -> float:
    """Peak resident memory in MB.

    On Linux that of this program alone: `getrusage` would count what the process held before it
    became this program, which for a started worker is the memory of its parent.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text()) if _STATUS.exists() else None
    if found is not None:
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
