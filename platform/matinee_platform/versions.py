"""What a run ran on: versions that its determinism is stated for."""

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "matinee",
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "implicit",
    "pandas",
    "pyarrow",
    "vowpalwabbit",
)


def versions() -> dict[str, str]:
    """Versions of Python, the machine type and the packages that numbers pass through."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
