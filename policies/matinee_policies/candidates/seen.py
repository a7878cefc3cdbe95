"""Which items each unit has seen, one bit each: bit i % 64 of word i // 64 of the unit's row."""

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, IndexArray, UInt64Array
from matinee_policies.candidates.factor_model import ITEM_GROUP
from matinee_policies.compiled import lean_kernel
from matinee_policies.config import check_whole
from matinee_policies.errors import ContextError

_ONE = np.uint64(1)


def empty_seen(n_units: int, n_items: int) -> UInt64Array:
    """Nothing seen yet, `uint64 [n_units, ceil(n_items / 64)]`.

    Args:
        n_units: number of units, at least 0.
        n_items: number of items of the catalogue, at least 1.

    Example:
        >>> seen = empty_seen(2, 100)
        >>> mark_seen(seen, np.array([1], dtype=np.int32), np.array([70], dtype=np.int32))
        >>> is_seen(seen, np.array([0, 1]), np.array([70, 70])).tolist()
        [False, True]
    """
    check_whole("n_units", n_units, low=0)
    return np.zeros((n_units, seen_words(n_items)), dtype=np.uint64)


def seen_words(n_items: int) -> int:
    """Words of a unit's row over a catalogue of `n_items` items, at least 1."""
    check_whole("n_items", n_items, low=1)
    return -(-n_items // ITEM_GROUP)


def mark_seen(seen: UInt64Array, units: IndexArray, items: IndexArray) -> None:
    """Set the bits of pairs, in place; a pair may come twice.

    Args:
        seen: `uint64 [N, W]`, C-contiguous.
        units: rows of units, `int32 [n]`.
        items: rows of items, `int32 [n]`.

    Raises:
        ContextError: the arrays do not fit together or a row does not exist; then nothing is set.
    """
    if seen.dtype != np.uint64 or seen.ndim != 2 or not seen.flags.c_contiguous:
        raise ContextError(
            f"seen must be contiguous uint64 [N, W], got {seen.dtype} of shape {seen.shape}"
        )
    if units.dtype != np.int32 or items.dtype != np.int32:
        raise ContextError(f"units and items must be int32, got {units.dtype} and {items.dtype}")
    _check_pairs(seen, units, items)
    _mark(seen, np.ascontiguousarray(units), np.ascontiguousarray(items))


def is_seen(seen: UInt64Array, units: AnyArray, items: AnyArray) -> BoolArray:
    """Whether the bit of each pair is set, `bool [n]`; arguments and errors as `mark_seen`."""
    _check_pairs(seen, units, items)
    words = seen[units, items // ITEM_GROUP]
    bits: BoolArray = ((words >> (items % ITEM_GROUP).astype(np.uint64)) & _ONE).astype(np.bool_)
    return bits


def mark_seen_reference(seen: UInt64Array, units: IndexArray, items: IndexArray) -> None:
    """The same bits by numpy: the readable twin of `mark_seen`."""
    bits = _ONE << (items % ITEM_GROUP).astype(np.uint64)
    np.bitwise_or.at(seen, (units, items // ITEM_GROUP), bits)


def _check_pairs(seen: UInt64Array, units: AnyArray, items: AnyArray) -> None:
    if units.ndim != 1 or units.shape != items.shape:
        raise ContextError(
            f"units and items must be of one length, got shapes {units.shape} and {items.shape}"
        )
    for name, rows, n in (
        ("units", units, seen.shape[0]),
        ("items", items, seen.shape[1] * ITEM_GROUP),
    ):
        if rows.size and not (int(rows.min()) >= 0 and int(rows.max()) < n):
            raise ContextError(
                f"{name} must be within 0 and {n - 1}, got {int(rows.min())} to {int(rows.max())}"
            )


@lean_kernel
def _mark(seen: UInt64Array, units: IndexArray, items: IndexArray) -> None:
    for t in range(units.size):
        seen[units[t], items[t] >> 6] |= _ONE << np.uint64(items[t] & 63)
