"""A digest of each user's rows: whether what is read back is what was written.

FNV-1a of 64 bits (Fowler, Noll, Vo) taken over words of 32 bits. It finds damage, not forgery.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from matinee_policies.arrays import AnyArray, IndexArray, UInt64Array
from matinee_policies.compiled import kernel

WORD = 4
"""Bytes of a word; a row holds whole words."""

_BASIS = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_MASK = 0xFFFFFFFFFFFFFFFF


def row_digests(columns: Mapping[str, AnyArray], rows: IndexArray) -> UInt64Array:
    """Digest of some rows over all columns, in the order of their names.

    Args:
        columns: arrays `[n, ...]` whose rows are whole words, C-contiguous.
        rows: `int32 [k]`.

    Returns:
        `uint64 [k]`.
    """
    digests = np.full(rows.size, _BASIS, dtype=np.uint64)
    for name in sorted(columns):
        _add_words(words_of(columns[name]), rows, digests)
    return digests


def words_of(column: AnyArray) -> NDArray[np.uint32]:
    """The rows of a column as words, a view, `uint32 [n, w]`."""
    return column.reshape(len(column), -1).view(np.uint32)


@kernel
def _add_words(words: NDArray[np.uint32], rows: IndexArray, digests: UInt64Array) -> None:
    prime = np.uint64(_PRIME)
    for place in range(rows.shape[0]):
        digest = digests[place]
        row = rows[place]
        for word in range(words.shape[1]):
            digest = (digest ^ np.uint64(words[row, word])) * prime
        digests[place] = digest


def row_digest_reference(columns: Mapping[str, AnyArray], row: int) -> int:
    """Plain twin of `row_digests` for one row."""
    digest = _BASIS
    for name in sorted(columns):
        for word in words_of(columns[name])[row].tolist():
            digest = ((digest ^ word) * _PRIME) & _MASK
    return digest
