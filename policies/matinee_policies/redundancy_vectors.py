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

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray
from matinee_policies.compiled import kernel
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

_LANES = 8


class Ledger(NamedTuple):
    """What is known of one decision's `K` candidates and its slate of up to `L` items.

    `P` places, whole groups, hold the candidates in their order.

    Attributes:
        value: value where open, -infinity elsewhere, `float64 [P]`.
        utility: as worked out last, or a bound above it, -infinity where closed, `float64 [P]`.
        redundancy: as worked out last, `float64 [P]`.
        seen: items of the slate that these know of, `int32 [P]`.
        vectors: those of the slate's items behind each other, `float64 [L * width]`.
        variance: of DPP, unexplained share of each candidate, `float64 [P]`.
        factor: of DPP, Cholesky entries of each candidate, `float64 [P, L]`.
        shown_factor: of DPP, those of the slate's items, `float64 [L, L]`.
        shown_scale: of DPP, roots of their shares, 0 for an explained item, `float64 [L]`.
    """

    value: FloatArray
    utility: FloatArray
    redundancy: FloatArray
    seen: IndexArray
    vectors: FloatArray
    variance: FloatArray
    factor: FloatArray
    shown_factor: FloatArray
    shown_scale: FloatArray


@kernel
def row_width(features: int) -> int:
    """Numbers from one vector of the slate's items to the next: whole lanes."""
    return (features + _LANES - 1) // _LANES * _LANES


@kernel
def new_ledger(candidates: int, slots: int, features: int, code: int) -> Ledger:
    """Room for one decision at a time; vectors and factors only where `code` reads them."""
    places = max((candidates + GROUP - 1) // GROUP, 1) * GROUP
    read = 1 if code != CODE_NONE else 0
    factored = 1 if code == CODE_DPP else 0
    value = np.full(places, CLOSED)
    return Ledger(
        value,
        np.full(places, CLOSED),
        np.zeros(places),
        np.zeros(places, np.int32),
        aligned_zeros(slots * row_width(features) * read, value),
        np.empty(places * factored),
        np.empty((places * factored, slots)),
        np.empty((slots * factored, slots)),
        np.empty(slots * factored),
    )


@kernel
def take_in(
    k: int,
    item: int,
    shown: int,
    code: int,
    single: AnyArray,
    double: AnyArray,
    vectors: FloatArray,
    seen: IndexArray,
    redundancy: FloatArray,
    variance: FloatArray,
    factor: FloatArray,
    shown_factor: FloatArray,
    shown_scale: FloatArray,
) -> float:
    """Bring a candidate up to date with all items of the slate.

    Args:
        k: the candidate.
        item: its catalogue row.
        shown: items of the slate so far.
        code: `CODE_MMR` or `CODE_DPP`.
        single: vectors of the catalogue, `float32 [M, m]`, or without rows.
        double: likewise in `float64`, read where `single` is without rows.
        vectors: as in `Ledger`, and all that follow.
        seen: updated.
        redundancy: updated.
        variance: updated.
        factor: updated.
        shown_factor: of the items so far.
        shown_scale: of the items so far.

    Returns:
        The redundancy of the candidate.
    """
    is_single = single.shape[0] > 0
    m = single.shape[1] if is_single else double.shape[1]
    whole, pairs = m - m % _LANES, m - m % (2 * _LANES)
    width = (m + _LANES - 1) // _LANES * _LANES
    row = np.int64(item) * m
    by_dpp = code == CODE_DPP
    for j in range(seen[k], shown):
        if by_dpp and shown_scale[j] == 0.0:
            factor[k, j] = 0.0
            continue
        # Two sums side by side, one in whole lanes, then number by number.
        start = j * width
        one, two = zero_lanes(vectors), zero_lanes(vectors)
        for f in range(0, pairs, 2 * _LANES):
            if is_single:
                left = convert_lanes(single, row + f, vectors)
                right = convert_lanes(single, row + f + _LANES, vectors)
            else:
                left = convert_lanes(double, row + f, vectors)
                right = convert_lanes(double, row + f + _LANES, vectors)
            one = multiply_add(left, load_lanes(vectors, start + f), one)
            two = multiply_add(right, load_lanes(vectors, start + f + _LANES), two)
        if pairs < whole:
            if is_single:
                left = convert_lanes(single, row + pairs, vectors)
            else:
                left = convert_lanes(double, row + pairs, vectors)
            one = multiply_add(left, load_lanes(vectors, start + pairs), one)
        total = sum_lanes(add_lanes(one, two))
        for f in range(whole, m):
            number = np.float64(single[item, f]) if is_single else double[item, f]
            total = multiply_add(number, vectors[start + f], total)
        if not by_dpp:
            redundancy[k] = max(redundancy[k], total)
            continue
        for before in range(j):
            total = multiply_add(-shown_factor[j, before], factor[k, before], total)
        total /= shown_scale[j]
        factor[k, j] = total
        variance[k] -= total * total
    seen[k] = shown
    if by_dpp:
        redundancy[k] = -math.log(max(variance[k], LEAST_VARIANCE))
    return float(redundancy[k])


@kernel
def show_vector(
    item: int, count: int, single: AnyArray, double: AnyArray, vectors: FloatArray
) -> None:
    """Note the vector of a catalogue row as that of the slate's item `count`."""
    if single.shape[0] > 0:
        start = count * row_width(single.shape[1])
        for f in range(single.shape[1]):
            vectors[start + f] = single[item, f]
    else:
        start = count * row_width(double.shape[1])
        for f in range(double.shape[1]):
            vectors[start + f] = double[item, f]


@kernel
def show_factor(
    k: int,
    count: int,
    variance: FloatArray,
    factor: FloatArray,
    shown_factor: FloatArray,
    shown_scale: FloatArray,
) -> None:
    """DPP: note the Cholesky entries of candidate `k`, up to date, as those of item `count`."""
    for j in range(count):
        shown_factor[count, j] = factor[k, j]
    left = variance[k]
    shown_scale[count] = math.sqrt(left) if left > LEAST_VARIANCE else 0.0
