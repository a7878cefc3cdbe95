"""Arrays in the one layout for which the walk is compiled, and empty ones for what is left out.

Numba compiles anew for arrays of another layout, and for read-only ones. Tables of the catalogue
are therefore always handed over read-only, everything else writable.
"""

import numpy as np

from matinee_policies.arrays import AnyArray


def plain(array: AnyArray | None) -> AnyArray:
    """The array, or a copy that is in order and writable."""
    if array is not None and array.flags.carray:
        return array
    return np.require(array, requirements=("C", "W"))


def table(array: AnyArray) -> AnyArray:
    """The array as a read-only view; a copy if it is not in order."""
    view = array.view() if array.flags.c_contiguous else np.array(array, order="C")
    view.flags.writeable = False
    return view


NO_KEYS = np.zeros(0, dtype=np.uint64)
NO_LAWS = np.zeros((0, 0))
NO_COSTS = np.zeros(0)
NO_MEMBERS = np.zeros((0, 0, 0))
NO_PINS = np.zeros((0, 0), dtype=np.int32)
NO_INTERESTS = np.zeros((0, 0), dtype=np.float32)
NO_MASK = np.zeros((0, 0), dtype=np.bool_)
NO_SINGLES = table(np.zeros((0, 0), dtype=np.float32))
NO_DOUBLES = table(np.zeros((0, 0)))
NO_ASPECTS = table(np.zeros((0, 0), dtype=np.float32))
NO_CREATORS = table(np.zeros(0, dtype=np.int32))
