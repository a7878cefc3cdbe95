"""What a run ran on: versions that its determinism is stated for."""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from matinee_policies.plugins import module_digests

_PACKAGES = (
    "matinee",
    "cmaes",
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "implicit",
    "pandas",
    "pyarrow",
    "river",
    "vowpalwabbit",
)


def versions(modules: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python, the machine type and the packages that numbers pass through.

    Args:
        modules: names of the config, of which each `module:Class` adds the SHA-256 of its module's
            file as `module NAME`.

    Raises:
        ConfigError: if such a class is not there.
    """
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    digests = module_digests(modules)
    return found | {f"module {name}": digest for name, digest in digests.items()}
