"""Units of arrays: whole numbers as they are, texts by the first 64 bits of their SHA-256."""

import hashlib
from collections.abc import Sequence

import numpy as np

from matinee_policies.arrays import AnyArray, UInt64Array
from matinee_policies.errors import ContextError


def hashed_texts(texts: Sequence[str]) -> UInt64Array:
    """The first 64 bits of each text's SHA-256, `uint64 [n]`."""
    digests = b"".join(hashlib.sha256(text.encode()).digest()[:8] for text in texts)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def array_units(raw: AnyArray, rows: int) -> UInt64Array:
    """Units of an array.

    Args:
        raw: whole numbers or texts, `[rows]`.
        rows: how many there must be.

    Raises:
        ContextError: on a negative number, which is named, or another type or shape.

    Example:
        >>> array_units(np.array([3, 2**63], dtype=np.uint64), 2).tolist()
        [3, 9223372036854775808]
    """
    rule = f"unit must be {rows} whole numbers of at least 0, or texts"
    if raw.shape != (rows,) or raw.dtype.kind not in "iuU":
        first = f", first {raw.flat[0]}" if raw.size and raw.dtype.kind in "bfc" else ""
        raise ContextError(f"{rule}, got {raw.dtype} {list(raw.shape)}{first}")
    if raw.dtype.kind == "U":
        texts, places = np.unique(raw, return_inverse=True)
        return hashed_texts(texts.tolist())[places]
    if raw.min(initial=0) < 0:
        row = int(np.argmax(raw < 0))
        raise ContextError(f"{rule}, got {raw[row]} at row {row + 1}")
    return raw.astype(np.uint64)
