"""Arrays that a kernel hands on without counting references to them.

Numba counts a reference, by an atomic instruction of some 20 cycles, for each array of each tuple
that one kernel hands on to another. Where tuples hold dozens of arrays that takes longer than what
the kernels do. An array without an owner has no count.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

T = TypeVar("T")


def _strip(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        for place, member in enumerate(kind.types):
            held = builder.extract_value(value, place)
            stripped = _strip(context, builder, member, held)
            value = builder.insert_value(value, stripped, place)
    return value


def _describe(_typing: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _strip(context, builder, signature.args[0], arguments[0])

    return value(value), generate


unowned = cast("Callable[[T], T]", intrinsic(_describe))
"""The same array, or tuple of arrays and numbers, without an owner; inside kernels only.

To be used in a kernel on what it was given, which its caller keeps; never on what the kernel
allocates, and the result must not be returned to Python.
"""
