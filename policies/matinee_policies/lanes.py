"""Vectors of 64 bytes inside kernels: 8 numbers of float64, or 16 of float32.

The compiler may not reorder a sum, so it cannot vectorise one along the summed axis. Kernels that
gain from it write the order down: `lanes` partial sums side by side, added pairwise at the end.
Every product is fused with its sum (one rounding), so the bits do not depend on how wide the
vectors of the machine are, nor on whether a number falls into a whole vector.

    total = zero_lanes(a)
    for offset in range(0, a.size, lanes_of(a)):
        total = multiply_add(load_lanes(a, offset), load_lanes(b, offset), total)
    dot = sum_lanes(total)

The functions work within kernels only. Arrays are C-contiguous and offsets count elements from
their start, in whatever number of dimensions; nothing checks that 64 bytes follow.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic, models, register_model

from matinee_policies.arrays import AnyArray
from matinee_policies.compiled import kernel

LANE_BYTES = 64
"""Size of a vector in bytes: `float64 [8]` or `float32 [16]`."""


class _LanesType(types.Type):  # type: ignore[misc]
    """Numba's type of a vector of `scalar`."""

    def __init__(self, scalar: Any) -> None:
        self.scalar = scalar
        self.count = LANE_BYTES * 8 // scalar.bitwidth
        super().__init__(name=f"Lanes({scalar})")


def _inside_kernels(describe: Callable[..., Any]) -> Callable[..., Any]:
    """Numba's decorator; callers leave out the first parameter."""
    return cast("Callable[..., Any]", intrinsic(describe))


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    """A vector is one register of LLVM."""

    def __init__(self, manager: Any, fe_type: Any) -> None:
        scalar = manager.lookup(fe_type.scalar).get_value_type()
        super().__init__(manager, fe_type, ir.VectorType(scalar, fe_type.count))


@_inside_kernels
def lanes_of(_typing: Any, array: Any) -> Any:
    """Numbers in a vector of the type of `array`."""
    count = LANE_BYTES * 8 // array.dtype.bitwidth

    def generate(context: Any, _builder: Any, _signature: Any, _arguments: Any) -> Any:
        return context.get_constant(types.intp, count)

    return types.intp(array), generate


@_inside_kernels
def zero_lanes(_typing: Any, array: Any) -> Any:
    """A vector of zeros of the type of `array`."""
    lanes = _LanesType(array.dtype)

    def generate(context: Any, _builder: Any, _signature: Any, _arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(lanes), None)

    return lanes(array), generate


@_inside_kernels
def load_lanes(_typing: Any, array: Any, offset: Any) -> Any:
    """The vector of consecutive elements of `array` from `offset` on."""
    lanes = _LanesType(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(
            _pointer(context, builder, signature, arguments),
            align=signature.args[0].dtype.bitwidth // 8,
        )

    return lanes(array, types.intp), generate


@_inside_kernels
def convert_lanes(_typing: Any, array: Any, offset: Any, like: Any) -> Any:
    """As `load_lanes`, as many elements as a vector of the type of `like` has, converted to it."""
    lanes = _LanesType(like.dtype)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given = signature.args[0].dtype
        vector = context.get_value_type(lanes)
        source = ir.VectorType(context.get_value_type(given), lanes.count)
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.bitcast(builder.gep(array.data, [arguments[1]]), source.as_pointer())
        values = builder.load(pointer, align=given.bitwidth // 8)
        if given.bitwidth == lanes.scalar.bitwidth:
            return values
        if given.bitwidth > lanes.scalar.bitwidth:
            return builder.fptrunc(values, vector)
        return builder.fpext(values, vector)

    return lanes(array, types.intp, like), generate


@_inside_kernels
def store_lanes(_typing: Any, array: Any, offset: Any, lanes: Any) -> Any:
    """Write `lanes` to consecutive elements of `array` from `offset` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments)
        builder.store(arguments[2], pointer, align=signature.args[0].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@_inside_kernels
def spread_lanes(_typing: Any, array: Any, offset: Any) -> Any:
    """A vector with the element of `array` at `offset` in every lane."""
    lanes = _LanesType(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        value = builder.load(builder.gep(array.data, [arguments[1]]))
        nothing = ir.Constant(context.get_value_type(lanes), ir.Undefined)
        one = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
        firsts = ir.Constant(ir.VectorType(ir.IntType(32), lanes.count), None)
        return builder.shuffle_vector(one, nothing, firsts)

    return lanes(array, types.intp), generate


@_inside_kernels
def multiply_add(_typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Product plus `c` with one rounding, lane by lane or of three plain numbers of one type."""
    if not a == b == c:
        return None
    suffix = f"v{a.count}f{a.scalar.bitwidth}" if isinstance(a, _LanesType) else f"f{a.bitwidth}"

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        fused = get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.{suffix}"
        )
        return builder.call(fused, arguments)

    return a(a, a, a), generate


@_inside_kernels
def add_lanes(_typing: Any, a: Any, b: Any) -> Any:
    """Sum of two vectors, lane by lane."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments)

    return a(a, b), generate


@_inside_kernels
def multiply_lanes(_typing: Any, a: Any, b: Any) -> Any:
    """Product of two vectors, lane by lane, rounded: for sums whose bits must be those of numpy."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fmul(*arguments)

    return a(a, b), generate


@_inside_kernels
def sum_lanes(_typing: Any, lanes: Any) -> Any:
    """The sum over all lanes: the upper half is added to the lower until one is left."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        vector, count = arguments[0], lanes.count
        while count > 1:
            count //= 2
            halves = [
                builder.shuffle_vector(
                    vector,
                    ir.Constant(vector.type, ir.Undefined),
                    ir.Constant(
                        ir.VectorType(ir.IntType(32), count), list(range(start, start + count))
                    ),
                )
                for start in (0, count)
            ]
            vector = builder.fadd(*halves)
        return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))

    return lanes.scalar(lanes), generate


@_inside_kernels
def double_lanes(_typing: Any, lanes: Any) -> Any:
    """Eight numbers of float64 with the same sum: the halves of a vector of float32 added."""
    wanted = _LanesType(types.float64)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        vector = arguments[0]
        if lanes.count == wanted.count:
            return vector
        halves = [_shuffled(builder, vector, vector, range(start, start + 8)) for start in (0, 8)]
        kind = context.get_value_type(wanted)
        return builder.fadd(*[builder.fpext(half, kind) for half in halves])

    return wanted(lanes), generate


@_inside_kernels
def sum_eight(_typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """The sums over the lanes of eight vectors of float64, as one vector.

    Each adds lanes 0 and 1, 2 and 3, and so on, then neighbours of these, then the two halves.
    """

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        def added(vectors: Any, even: list[int], odd: list[int]) -> list[Any]:
            return [
                builder.fadd(_shuffled(builder, one, two, even), _shuffled(builder, one, two, odd))
                for one, two in zip(vectors[::2], vectors[1::2], strict=True)
            ]

        pairs = added(arguments, [0, 8, 2, 10, 4, 12, 6, 14], [1, 9, 3, 11, 5, 13, 7, 15])
        fours = added(pairs, [0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15])
        return added(fours, [0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15])[0]

    return a(a, b, c, d, e, f, g, h), generate


@kernel
def aligned_zeros(size: int, like: AnyArray) -> AnyArray:
    """Zeros of the type of `like`, `[size]`, whose vectors do not straddle cache lines."""
    width = like.itemsize
    room = np.zeros(size + LANE_BYTES // width, like.dtype)
    start = (LANE_BYTES - room.ctypes.data % LANE_BYTES) // width
    return room[start : start + size]


def _shuffled(builder: Any, one: Any, two: Any, places: Any) -> Any:
    """The numbers at `places` of two vectors behind each other."""
    places = list(places)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)
    return builder.shuffle_vector(one, two, mask)


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Address of the first lane, seen as that of a vector."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    lanes = context.get_value_type(_LanesType(signature.args[0].dtype))
    return builder.bitcast(builder.gep(array.data, [arguments[1]]), lanes.as_pointer())
