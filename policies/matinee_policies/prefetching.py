"""Ask the memory for what a kernel will read soon, so that it need not wait for it.

The processor foresees a single stream well. A loop that reads rows of several tables side by side
waits for each of them; with the lines asked for some rows ahead it reads about as fast as memory
gives (Intel 64 Optimization Reference Manual, "Software Data Prefetching").
"""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from matinee_policies.arrays import AnyArray

LINE_BYTES = 64
"""Size of a line of the cache, which one `prefetch` asks for."""

_READ, _KEEP, _DATA = 0, 3, 1


def _describe(_typing: Any, array: Any, offset: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        line = builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        shape = ir.FunctionType(ir.VoidType(), [line.type, word, word, word])
        ask = get_or_insert_function(builder.module, shape, "llvm.prefetch.p0")
        builder.call(ask, [line, *(ir.Constant(word, value) for value in (_READ, _KEEP, _DATA))])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


prefetch = cast("Callable[[AnyArray, int], None]", intrinsic(_describe))
"""Ask for the line of element `offset`, counted from the start of a C-contiguous array; within
kernels only. An offset behind the end is harmless: nothing is read, and no error can follow."""
