"""Whether lists begin at even distances, from the coded repetition levels of a Parquet page.

Levels of lists are bits, 0 where a list begins, coded in runs: of one level, or of levels as they
are, eight to a byte (apache/parquet-format, `Encodings.md`, RLE / bit-packing hybrid).
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from matinee_policies.compiled import lean_kernel

UInt8Array: TypeAlias = NDArray[np.uint8]


@lean_kernel
def begins_every(runs: UInt8Array, count: int, phase: int, width: int) -> bool:
    """Whether levels are 0 where `phase` + their place is a multiple of `width`, and there alone.

    Args:
        runs: coded levels of a page, `uint8 [bytes]`.
        count: levels that they must be.
        phase: values of the page's first list that earlier pages hold.
        width: of a list.
    """
    at, since, left = 0, phase, count
    while left > 0:
        header, shift, more = 0, 0, True
        while more:
            if at >= runs.size or shift > 28:
                return False
            header += int(np.int64(runs[at] & 127)) << shift
            more = runs[at] >= 128
            shift += 7
            at += 1
        size = header >> 1
        if header & 1:
            levels = left if left < 8 * size else 8 * size
            if at + size > runs.size:
                return False
            for i in range(levels):
                begins = (runs[at + (i >> 3)] >> np.uint8(i & 7)) & np.uint8(1) == 0
                if begins != (since == 0):
                    return False
                since += 1
                if since == width:
                    since = 0
            at += size
        else:
            levels = left if left < size else size
            if at >= runs.size or levels == 0:
                return False
            # Only lists of one begin in a run; no run of other levels reaches the next beginning.
            if runs[at] == 0 and width > 1 and (levels > 1 or since != 0):
                return False
            if runs[at] != 0 and (since == 0 or since + levels > width):
                return False
            since = (since + levels) % width
            at += 1
        left -= levels
    return True
