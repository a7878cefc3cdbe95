"""Sort and select float32 numbers through int32 keys of the same order.

The bits of a float32, with all but the sign flipped for negative numbers, compare as the numbers do
(minus infinity lowest, no NaN; -0 counts as less than 0).
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from matinee_policies.arrays import IndexArray
from matinee_policies.compiled import kernel, lean_kernel

CLOSED = np.int32(np.float32(-np.inf).view(np.int32) ^ 0x7FFFFFFF)
"""The key of minus infinity, of items that must not be chosen."""

GROUP = 16
"""Keys that `append_above` compares at a time."""

_HIGHEST = np.int32(0x7FFFFFFF)
_STEPS = 32
_BYTE = np.uint32(0xFF)
# Up to so many keys, counting the larger ones sorts faster than by bytes.
_FEW = 512


@lean_kernel
def flip(keys: IndexArray, size: int) -> None:
    """Turn the first `size` bit patterns of float32 numbers into keys, or back, in place."""
    for j in range(size):
        keys[j] ^= (keys[j] >> np.int32(31)) & _HIGHEST


@lean_kernel
def lower_bound(keys: IndexArray, size: int, k: int, maxima: IndexArray) -> np.int32:
    """A key that at least `k` of the first `size` keys exceed, and few more; else `CLOSED`.

    As many keys exceed a bound as there are columns whose largest key does, at least: with some
    columns more than `k`, bisection need look at their largest keys only.

    Args:
        keys: `int32 [>= size]`.
        size: number of keys.
        k: at least 1.
        maxima: room for the largest keys of columns; with less than twice `k` it is not used.
    """
    columns = maxima.shape[0]
    if 2 * k <= columns and 2 * columns <= size:
        for j in range(columns):
            maxima[j] = keys[j]
        for first in range(columns, size, columns):
            for j in range(min(columns, size - first)):
                key = keys[first + j]
                maxima[j] = key if key > maxima[j] else maxima[j]
        bound = _bisected(maxima, columns, k)
        if bound > CLOSED:
            return bound
    return _bisected(keys, size, k)


@lean_kernel
def _bisected(keys: IndexArray, size: int, k: int) -> np.int32:
    """Bisection between the least and the largest key, until at most k / 4 too many pass."""
    low, high = int(CLOSED), int(_HIGHEST)
    if _count_above(keys, size, CLOSED) < k:
        return CLOSED
    for _ in range(_STEPS):
        middle = (low + high) >> 1
        passed = _count_above(keys, size, np.int32(middle))
        if passed >= k:
            low = middle
            if passed <= k + k // 4:
                break
        else:
            high = middle
    return np.int32(low)


def _inside_kernels(describe: Callable[..., Any]) -> Callable[..., Any]:
    """Numba's decorator; callers leave out the first parameter."""
    return cast("Callable[..., Any]", intrinsic(describe))


_KEY = ir.IntType(32)
_GROUP_OF_KEYS = ir.VectorType(_KEY, GROUP)


def _spread(builder: Any, key: Any) -> Any:
    """A group of equal keys."""
    nothing = ir.Constant(_GROUP_OF_KEYS, ir.Undefined)
    one = builder.insert_element(nothing, key, ir.Constant(_KEY, 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(_GROUP_OF_KEYS, None))


def _passed(context: Any, builder: Any, signature: Any, arguments: Any) -> tuple[Any, Any]:
    """Which keys of a group exceed a bound, and how many, from the arguments of `group_above`."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    pointer = builder.bitcast(builder.gep(array.data, [arguments[1]]), _GROUP_OF_KEYS.as_pointer())
    above = builder.icmp_signed(">", builder.load(pointer, align=4), _spread(builder, arguments[2]))
    bits = builder.zext(builder.bitcast(above, ir.IntType(GROUP)), ir.IntType(64))
    return above, builder.ctpop(bits)


@_inside_kernels
def group_above(_typing: Any, keys: Any, first: Any, bound: Any) -> Any:
    """How many of `GROUP` keys from `first` on exceed `bound`, a key."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _passed(context, builder, signature, arguments)[1]

    return types.intp(keys, types.intp, types.int32), generate


@_inside_kernels
def append_above(_typing: Any, keys: Any, first: Any, bound: Any, places: Any, count: Any) -> Any:
    """Append the places of those of `GROUP` keys from `first` on that exceed `bound`.

    Args:
        keys: `int32 [>= first + GROUP]`.
        first: place of the first key.
        bound: a key.
        places: receives places from `count` on, `int32 [>= count + GROUP]`.
        count: places that it holds.

    Returns:
        Places that it holds now.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        above, passed = _passed(context, builder, signature, arguments)
        lanes = ir.Constant(_GROUP_OF_KEYS, list(range(GROUP)))
        numbers = builder.add(_spread(builder, builder.trunc(arguments[1], _KEY)), lanes)
        out = context.make_array(signature.args[3])(context, builder, arguments[3])
        room = builder.gep(out.data, [arguments[4]])
        kind = ir.FunctionType(ir.VoidType(), [_GROUP_OF_KEYS, room.type, above.type])
        name = f"llvm.masked.compressstore.v{GROUP}i32"
        builder.call(get_or_insert_function(builder.module, kind, name), [numbers, room, above])
        return builder.add(arguments[4], passed)

    return types.intp(keys, types.intp, types.int32, places, types.intp), generate


@_inside_kernels
def close_masked(_typing: Any, keys: Any, first: Any, word: Any) -> Any:
    """Give `CLOSED` to those of 64 keys from `first` on whose bit of `word`, `uint64`, is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.IntType(32), 64)
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())
        mask = builder.bitcast(arguments[2], ir.VectorType(ir.IntType(1), 64))
        closed = ir.Constant(vector, [int(CLOSED)] * 64)
        builder.store(builder.select(mask, closed, builder.load(pointer, align=4)), pointer, 4)
        return context.get_dummy_value()

    return types.void(keys, types.intp, types.uint64), generate


@kernel
def sort_keys(
    keys: IndexArray, rows: IndexArray, size: int, spare_keys: IndexArray, spare_rows: IndexArray
) -> None:
    """Sort pairs by falling key, in place; equal keys keep their order.

    Args:
        keys: `int32 [>= size]`.
        rows: what goes with the keys, at least 0, `int32 [>= size]`.
        size: number of pairs.
        spare_keys: room for as many keys and `GROUP` more.
        spare_rows: room for as many rows.
    """
    if size <= _FEW:
        _sort_few(keys, rows, size, spare_keys, spare_rows)
    else:
        _sort_by_bytes(keys, rows, size, spare_keys, spare_rows)


@lean_kernel
def _sort_few(
    keys: IndexArray, rows: IndexArray, size: int, spare_keys: IndexArray, spare_rows: IndexArray
) -> None:
    """A key stands behind all larger ones and behind the equal ones that came before it."""
    for t in range(size):
        spare_keys[t], spare_rows[t] = keys[t], rows[t]
        rows[t] = -1
    whole = (size + GROUP - 1) // GROUP * GROUP
    for t in range(size, whole):
        spare_keys[t] = CLOSED
    for t in range(size):
        place = _count_above(spare_keys, whole, spare_keys[t])
        while rows[place] >= 0:
            place += 1
        keys[place], rows[place] = spare_keys[t], spare_rows[t]


@kernel
def _sort_by_bytes(
    keys: IndexArray, rows: IndexArray, size: int, spare_keys: IndexArray, spare_rows: IndexArray
) -> None:
    """Radix sort."""
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


@lean_kernel
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


@lean_kernel
def _count_above(keys: IndexArray, size: int, key: np.int32) -> int:
    whole = size - size % GROUP
    count = 0
    for first in range(0, whole, GROUP):
        count += group_above(keys, first, key)
    for j in range(whole, size):
        count += int(keys[j] > key)
    return count
