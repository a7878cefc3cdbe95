"""The one place that compiles kernels with numba.

Compiled kernels are kept on disk, in one folder per kernel module, named after a digest of that
module's source and of every module of ours that it imports. Numba alone looks only at the file of
the kernel itself, so a change in a kernel that another file calls would go unnoticed.
`NUMBA_CACHE_DIR`, if set, names the parent folder; else it is the user's cache folder.

No fastmath and no threads: a kernel gives the same bits whatever the batch or the load
(docs/architecture.md, "Determinism").
"""

import functools
import hashlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config as numba_config

F = TypeVar("F", bound=Callable[..., Any])

_OWN_IMPORT = re.compile(rb"^\s*(?:from|import) (matinee_[\w.]+)", re.MULTILINE)


def kernel(function: F) -> F:
    """Compile `function` in nopython mode, cached on disk.

    The kernel keeps its annotated signature for type checkers, and drops the GIL. Division by zero
    follows IEEE 754 instead of raising.

    Args:
        function: a function of numpy arrays and scalars, within numba's subset of Python.
    """
    return _compiled(function)


def lean_kernel(function: F) -> F:
    """As `kernel`, for a function that makes no array: it leaves counts of references alone.

    A record of many arrays then costs nothing to hand on. Views of its arrays are fine as long as
    they stay within; a function that makes an array does not compile.
    """
    return _compiled(function, _nrt=False)


def inlined_kernel(function: F) -> F:
    """As `kernel`, for the body of a hot loop: it is written out where another kernel calls it.

    The compiler inlines small functions anyway, but too late for some loops to be told free of
    overlapping arrays: vectors are then made, and passed over for numbers one by one.
    """
    return _compiled(function, inline="always")


def _compiled(function: F, **options: bool | str) -> F:
    previous = numba_config.CACHE_DIR
    numba_config.CACHE_DIR = str(cache_folder(function.__module__))
    try:
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    finally:
        numba_config.CACHE_DIR = previous
    return cast("F", compiled)


def cache_folder(module: str) -> Path:
    """Where the compiled kernels of `module` live, for its source as it is now."""
    parent = os.environ.get("NUMBA_CACHE_DIR")
    root = Path(parent) if parent else _user_cache() / "kernels"
    return root / f"{module}-{_source_digest(module)}"


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "matinee"


@functools.cache
def _source_digest(module: str) -> str:
    digest = hashlib.sha256()
    for name, source in sorted(_own_sources(module).items()):
        digest.update(name.encode())
        digest.update(source)
    return digest.hexdigest()[:16]


def _own_sources(module: str) -> dict[str, bytes]:
    """Source of `module` and of all modules of ours that it imports, directly or not."""
    sources: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = getattr(sys.modules.get(name), "__file__", None)
        if name in sources or path is None:
            continue
        sources[name], imported = _read(path)
        waiting.extend(imported)
    return sources


@functools.cache
def _read(path: str) -> tuple[bytes, tuple[str, ...]]:
    """A source, and the modules of ours that it imports."""
    source = Path(path).read_bytes()
    return source, tuple(match.decode() for match in _OWN_IMPORT.findall(source))
