"""Redundancy by similarity vectors, compiled: MMR and DPP, candidate by candidate, when asked.

Both kinds never fall as the slate grows, so what was worked out for a shorter slate bounds the
utility of a candidate from above. A candidate whose bound does not come before the best utility
known need not be brought up to date, and its vector need not even be read (the lazy evaluation of
Minoux 1978). What is worked out for a candidate is the same to the last bit whenever it is asked
for: cosines are summed in a fixed order in float64 (`similarity.py`), and every later step belongs
to one candidate and one item of the slate.

A kernel that hands its arrays on to another one pays for counting references to each of them, about
20 ns an array; hence none here does, and the walk calls them one by one.

DPP: rows of the Cholesky factor grow by one entry per item (Chen, Zhang and Zhou 2018, algorithm
1). An item of which less than `LEAST_VARIANCE` is left unexplained adds nothing to what the slate
explains.
"""

import math
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.compiled import kernel, lean_kernel
from matinee_policies.lanes import (
    add_lanes,
    aligned_zeros,
    convert_lanes,
    load_lanes,
    multiply_add,
    sum_lanes,
    zero_lanes,
)
from matinee_policies.largest import GROUP
from matinee_policies.redundancy_codes import CODE_DPP, CODE_NONE, LEAST_VARIANCE

CLOSED = -np.inf

LOG_SLACK = 1e-14
"""More than two logarithms of numbers in [`LEAST_VARIANCE`, 1] can stand in the wrong order by."""

SEEN, REPEATED, LEFT, FIRST = range(4)
"""Columns of the notes on a candidate."""

_LANES = 8


class Ledger(NamedTuple):
    """What is known of one decision's `K` candidates and its slate of up to `L` items.

    `P` places, whole groups, hold the candidates in their order.

    Attributes:
        value: value where open, -infinity elsewhere, `float64 [P]`.
        utility: as worked out last, or a bound above it, -infinity where closed, `float64 [P]`.
        redundancy: where the law is spelt out, `float64 [P]`.
        notes: what each candidate knows of the slate, `float64 [P, FIRST + L]`: how many of its
            items, the redundancy given them (`REPEATED`), of DPP the unexplained share (`LEFT`) and
            from `FIRST` on the Cholesky entries.
        shown: of each item of the slate `step` numbers behind each other: its vector, padded
            to whole lanes, and of DPP the root of its unexplained share, 0 for an explained item,
            and its Cholesky entries, `float64 [L * step]`.
    """

    value: FloatArray
    utility: FloatArray
    redundancy: FloatArray
    notes: FloatArray
    shown: FloatArray


@lean_kernel
def width(m: int) -> int:
    """Numbers of a vector of `m` dimensions in whole lanes."""
    return (m + _LANES - 1) // _LANES * _LANES


@kernel
def new_ledger(candidates: int, slots: int, m: int, code: int) -> Ledger:
    """Room for one decision at a time; notes only where `code` reads them."""
    places = max((candidates + GROUP - 1) // GROUP, 1) * GROUP
    read = 1 if code != CODE_NONE else 0
    value = np.full(places, CLOSED)
    return Ledger(
        value,
        np.full(places, CLOSED),
        np.zeros(places),
        np.empty((places * read, FIRST + slots)),
        aligned_zeros(slots * (width(m) + width(1 + slots)) * read, value),
    )


@lean_kernel
def take_in(
    k: int,
    item: int,
    count: int,
    code: int,
    single: AnyArray,
    double: AnyArray,
    notes: FloatArray,
    shown: FloatArray,
) -> float:
    """Bring a candidate up to date with all items of the slate.

    Args:
        k: the candidate.
        item: its catalogue row.
        count: items of the slate so far.
        code: `CODE_MMR` or `CODE_DPP`.
        single: vectors of the catalogue, `float32 [M, m]`, or without rows.
        double: likewise in `float64`, read where `single` is without rows.
        notes: as in `Ledger`; updated.
        shown: as in `Ledger`.

    Returns:
        The redundancy of the candidate.
    """
    is_single = single.shape[0] > 0
    m = single.shape[1] if is_single else double.shape[1]
    whole, pairs = m - m % _LANES, m - m % (2 * _LANES)
    scale = (m + _LANES - 1) // _LANES * _LANES
    entries = scale + 1
    step = scale + (notes.shape[1] - FIRST + _LANES) // _LANES * _LANES
    row = item * m
    by_dpp = code == CODE_DPP
    repeated, left = notes[k, REPEATED], notes[k, LEFT]
    for j in range(int(notes[k, SEEN]), count):
        start = j * step
        if by_dpp and shown[start + scale] == 0.0:
            notes[k, FIRST + j] = 0.0
            continue
        # Two sums side by side, one in whole lanes, then number by number.
        one, two = zero_lanes(shown), zero_lanes(shown)
        for f in range(0, pairs, 2 * _LANES):
            if is_single:
                low = convert_lanes(single, row + f, shown)
                high = convert_lanes(single, row + f + _LANES, shown)
            else:
                low = convert_lanes(double, row + f, shown)
                high = convert_lanes(double, row + f + _LANES, shown)
            one = multiply_add(low, load_lanes(shown, start + f), one)
            two = multiply_add(high, load_lanes(shown, start + f + _LANES), two)
        if pairs < whole:
            if is_single:
                low = convert_lanes(single, row + pairs, shown)
            else:
                low = convert_lanes(double, row + pairs, shown)
            one = multiply_add(low, load_lanes(shown, start + pairs), one)
        total = sum_lanes(add_lanes(one, two))
        for f in range(whole, m):
            number = np.float64(single[item, f]) if is_single else double[item, f]
            total = multiply_add(number, shown[start + f], total)
        if not by_dpp:
            repeated = max(repeated, total)
            continue
        for before in range(j):
            entry = notes[k, FIRST + before]
            total = multiply_add(-shown[start + entries + before], entry, total)
        total /= shown[start + scale]
        notes[k, FIRST + j] = total
        left -= total * total
    if by_dpp:
        repeated = -math.log(max(left, LEAST_VARIANCE))
    notes[k, SEEN] = count
    notes[k, REPEATED] = repeated
    notes[k, LEFT] = left
    return float(repeated)


@lean_kernel
def show(
    k: int,
    item: int,
    count: int,
    code: int,
    single: AnyArray,
    double: AnyArray,
    notes: FloatArray,
    shown: FloatArray,
) -> None:
    """Note candidate `k`, for DPP up to date, as item `count` of the slate; as `take_in`."""
    m = single.shape[1] if single.shape[0] > 0 else double.shape[1]
    scale = (m + _LANES - 1) // _LANES * _LANES
    step = scale + (notes.shape[1] - FIRST + _LANES) // _LANES * _LANES
    start = count * step
    for f in range(m):
        shown[start + f] = np.float64(single[item, f]) if single.shape[0] > 0 else double[item, f]
    if code == CODE_DPP:
        left = notes[k, LEFT]
        shown[start + scale] = math.sqrt(left) if left > LEAST_VARIANCE else 0.0
        for j in range(count):
            shown[start + scale + 1 + j] = notes[k, FIRST + j]
