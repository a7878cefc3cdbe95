"""Sort and select float32 numbers through int32 keys of the same order.

The bits of a float32, with all but the sign flipped for negative numbers, compare as the numbers do
(minus infinity lowest, no NaN; -0 counts as less than 0).
"""

import numpy as np

from matinee_policies.arrays import IndexArray
from matinee_policies.compiled import kernel

CLOSED = np.int32(np.float32(-np.inf).view(np.int32) ^ 0x7FFFFFFF)
"""The key of minus infinity, of items that must not be chosen."""

_HIGHEST = np.int32(0x7FFFFFFF)
_STEPS = 20
_BYTE = np.uint32(0xFF)


@kernel
def flip(keys: IndexArray, size: int) -> None:
    """Turn the first `size` bit patterns of float32 numbers into keys, or back, in place."""
    for j in range(size):
        keys[j] ^= (keys[j] >> np.int32(31)) & _HIGHEST


@kernel
def lower_bound(keys: IndexArray, size: int, k: int) -> np.int32:
    """A key that at least `k` of the first `size` keys exceed, and few more; else `CLOSED`.

    Bisection between the least and the largest number, until at most k / 4 too many pass.
    """
    low, high = _HIGHEST, CLOSED
    for j in range(size):
        low = min(low, keys[j] if keys[j] > CLOSED else _HIGHEST)
        high = max(high, keys[j])
    if _count_above(keys, size, low) < k:
        return CLOSED
    ends = np.empty(3, dtype=np.int32)
    numbers = ends.view(np.float32)
    ends[0], ends[1] = low, high
    flip(ends, 2)
    for _ in range(_STEPS):
        numbers[2] = np.float32(0.5) * numbers[0] + np.float32(0.5) * numbers[1]
        middle = ends[2:]
        flip(middle, 1)
        passed = _count_above(keys, size, ends[2])
        side = 1 if passed < k else 0
        if side == 0:
            low = ends[2]
        flip(middle, 1)
        numbers[side] = numbers[2]
        if side == 0 and passed <= k + k // 4:
            break
    return low


@kernel
def sort_keys(
    keys: IndexArray, rows: IndexArray, size: int, spare_keys: IndexArray, spare_rows: IndexArray
) -> None:
    """Sort pairs by falling key, in place; equal keys keep their order (radix sort by bytes).

    Args:
        keys: `int32 [>= size]`.
        rows: what goes with the keys, `int32 [>= size]`.
        size: number of pairs.
        spare_keys: room for as many keys.
        spare_rows: room for as many rows.
    """
    places = np.zeros((4, 256), dtype=np.int32)
    for t in range(size):
        rising = np.uint32(keys[t]) ^ np.uint32(_HIGHEST)
        for byte in range(4):
            places[byte, (rising >> np.uint32(8 * byte)) & _BYTE] += 1
    for byte in range(4):
        total = np.int32(0)
        for value in range(256):
            count = places[byte, value]
            places[byte, value] = total
            total += count
        if byte % 2 == 0:
            _scatter(keys, rows, size, byte, places[byte], spare_keys, spare_rows)
        else:
            _scatter(spare_keys, spare_rows, size, byte, places[byte], keys, rows)


@kernel
def _scatter(
    keys: IndexArray,
    rows: IndexArray,
    size: int,
    byte: int,
    places: IndexArray,
    to_keys: IndexArray,
    to_rows: IndexArray,
) -> None:
    for t in range(size):
        rising = np.uint32(keys[t]) ^ np.uint32(_HIGHEST)
        value = (rising >> np.uint32(8 * byte)) & _BYTE
        to_keys[places[value]] = keys[t]
        to_rows[places[value]] = rows[t]
        places[value] += 1


@kernel
def _count_above(keys: IndexArray, size: int, key: np.int32) -> np.int32:
    count = np.int32(0)
    for j in range(size):
        count += np.int32(keys[j] > key)
    return count
