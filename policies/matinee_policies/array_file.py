"""Named arrays and a JSON header in one `.npz` file, without pickle.

The same bytes always give the same digest, which is the version of what the file holds.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matinee_policies.arrays import AnyArray
from matinee_policies.errors import DataError

_HEADER = "header"
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def content_digest(arrays: Mapping[str, AnyArray], header: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 over names, types, shapes, bytes and header.

    Args:
        arrays: named arrays of numbers; their order does not matter.
        header: JSON values.

    Example:
        >>> content_digest({"x": np.zeros(2)}, {}) == content_digest({"x": np.zeros(2)}, {})
        True
        >>> content_digest({"x": np.zeros(2)}, {}) == content_digest({"x": np.ones(2)}, {})
        False
    """
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"\x1f{name}\x1f{array.dtype.str}\x1f{array.shape}\x1f".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def write_arrays(
    path: Path, *, kind: str, arrays: Mapping[str, AnyArray], header: Mapping[str, Any]
) -> None:
    """Write a file that appears whole or not at all.

    Args:
        path: file to write; an older one is replaced.
        kind: what the file holds, e.g. `"catalogue"`; reading asks for the same word.
        arrays: named arrays of numbers or truth values.
        header: JSON values stored beside them.
    """
    text = json.dumps({"kind": kind, "content": header}, sort_keys=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        stored = {_HEADER: np.frombuffer(text.encode(), dtype=np.uint8), **arrays}
        np.savez(file, allow_pickle=False, **stored)
    partial.replace(path)


def read_arrays(
    path: Path, *, kind: str, names: Sequence[str] | None
) -> tuple[dict[str, AnyArray], dict[str, Any]]:
    """Read what `write_arrays` wrote.

    Args:
        path: the file.
        kind: what it must hold.
        names: the arrays it must hold, and no others; None takes any.

    Raises:
        DataError: the file is missing, damaged, of another kind or has other arrays.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header = json.loads(arrays.pop(_HEADER).tobytes())
    except FileNotFoundError:
        raise DataError(path, rule="file must exist") from None
    except (*_UNREADABLE, TypeError, AttributeError) as error:
        raise DataError(path, rule=f"must be an undamaged {kind} file ({error})") from None
    if not isinstance(header, dict) or header.get("kind") != kind:
        got = header.get("kind") if isinstance(header, dict) else header
        raise DataError(path, rule=f"must be a file of kind {kind!r}", value=got)
    if names is None:
        names = list(arrays)
    if set(arrays) != set(names) or not isinstance(header.get("content"), dict):
        raise DataError(
            path, rule=f"must hold the arrays {', '.join(sorted(names))}", value=sorted(arrays)
        )
    return arrays, header["content"]
