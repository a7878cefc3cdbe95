"""The first of the largest among many numbers, and those that reach a threshold, eight at a time.

Arrays are `float64` and padded with -infinity to whole groups of `GROUP` numbers.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from matinee_policies.arrays import FloatArray
from matinee_policies.compiled import lean_kernel
from matinee_policies.records import PAD

GROUP = 8
"""Numbers that one comparison takes in."""


def _inside_kernels(describe: Callable[..., Any]) -> Callable[..., Any]:
    """Numba's decorator; callers leave out the first parameter."""
    return cast("Callable[..., Any]", intrinsic(describe))


@_inside_kernels
def group_reaches(_typing: Any, array: Any, offset: Any, threshold: Any) -> Any:
    """Whether one of the `GROUP` numbers from `offset` on is at least `threshold`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.DoubleType(), GROUP)
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())
        numbers = builder.load(pointer, align=8)
        nothing = ir.Constant(vector, ir.Undefined)
        one = builder.insert_element(nothing, arguments[2], ir.Constant(ir.IntType(32), 0))
        firsts = ir.Constant(ir.VectorType(ir.IntType(32), GROUP), None)
        thresholds = builder.shuffle_vector(one, nothing, firsts)
        found = builder.fcmp_ordered(">=", numbers, thresholds)
        bits = builder.bitcast(found, ir.IntType(GROUP))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(GROUP), 0))

    return types.boolean(array, types.intp, types.float64), generate


@lean_kernel
def first_largest(numbers: FloatArray) -> int:
    """Place of the first of the largest numbers, `PAD` if all are -infinity; whole groups."""
    place, largest = PAD, -np.inf
    for first in range(0, numbers.shape[0], GROUP):
        if group_reaches(numbers, first, largest):
            for k in range(first, first + GROUP):
                if numbers[k] > largest:
                    place, largest = k, numbers[k]
    return place


@lean_kernel
def next_reaching(numbers: FloatArray, start: int, threshold: float, place: int) -> int:
    """Place of the next number that comes before a threshold.

    Args:
        numbers: in whole groups.
        start: where to start.
        threshold: a number comes before it if it is larger, or equal and at a lower place.
        place: of the threshold; it is passed over itself.

    Returns:
        The place, or `PAD` if there is none.
    """
    k = start
    while k < numbers.shape[0]:
        if k % GROUP == 0 and not group_reaches(numbers, k, threshold):
            k += GROUP
            continue
        if k != place and (numbers[k] > threshold or (numbers[k] == threshold and k < place)):
            return k
        k += 1
    return PAD
