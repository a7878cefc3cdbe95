"""Raw scores of a block of items, for two units that share every load of the items' factors.

Each sum runs over the factors in their order, every product rounded: the bits are those of adding
one factor after another in float32, whatever the block and whoever the other unit is.
"""

import numpy as np

from matinee_policies.arrays import Float32Array
from matinee_policies.candidates.factor_model import ITEM_GROUP
from matinee_policies.compiled import lean_kernel
from matinee_policies.lanes import (
    add_lanes,
    lanes_of,
    load_lanes,
    multiply_lanes,
    spread_lanes,
    store_lanes,
)


@lean_kernel
def score_pair(
    offset: Float32Array,
    factors: Float32Array,
    users: Float32Array,
    one: int,
    other: int,
    start: int,
    size: int,
    raw: Float32Array,
    at: int,
) -> None:
    """Raw scores of `size` items from `start` on.

    Args:
        offset: `float32 [M]`, M a multiple of `ITEM_GROUP`.
        factors: `float32 [f, M]`.
        users: `float32 [B, f]`.
        one: row of the first unit.
        other: row of the second, the same one if there is no second.
        start: first item, a multiple of `ITEM_GROUP`.
        size: number of items, a multiple of `ITEM_GROUP`.
        raw: receives the scores of both from `at` on, `float32 [2, >= at + size]`.
        at: where in a row of `raw` the first score goes, a multiple of `ITEM_GROUP`.
    """
    M, f, width = factors.shape[1], users.shape[1], raw.shape[1]
    lanes = lanes_of(raw)
    for group in range(0, size, ITEM_GROUP):
        item = start + group
        a0 = load_lanes(offset, item)
        a1 = load_lanes(offset, item + lanes)
        a2 = load_lanes(offset, item + 2 * lanes)
        a3 = load_lanes(offset, item + 3 * lanes)
        b0, b1, b2, b3 = a0, a1, a2, a3
        for a in range(f):
            place = a * M + item
            q0 = load_lanes(factors, place)
            q1 = load_lanes(factors, place + lanes)
            q2 = load_lanes(factors, place + 2 * lanes)
            q3 = load_lanes(factors, place + 3 * lanes)
            p = spread_lanes(users, one * f + a)
            a0 = add_lanes(a0, multiply_lanes(p, q0))
            a1 = add_lanes(a1, multiply_lanes(p, q1))
            a2 = add_lanes(a2, multiply_lanes(p, q2))
            a3 = add_lanes(a3, multiply_lanes(p, q3))
            p = spread_lanes(users, other * f + a)
            b0 = add_lanes(b0, multiply_lanes(p, q0))
            b1 = add_lanes(b1, multiply_lanes(p, q1))
            b2 = add_lanes(b2, multiply_lanes(p, q2))
            b3 = add_lanes(b3, multiply_lanes(p, q3))
        to = at + group
        store_lanes(raw, to, a0)
        store_lanes(raw, to + lanes, a1)
        store_lanes(raw, to + 2 * lanes, a2)
        store_lanes(raw, to + 3 * lanes, a3)
        store_lanes(raw, width + to, b0)
        store_lanes(raw, width + to + lanes, b1)
        store_lanes(raw, width + to + 2 * lanes, b2)
        store_lanes(raw, width + to + 3 * lanes, b3)


def score_pair_reference(
    offset: Float32Array, factors: Float32Array, users: Float32Array, start: int, size: int
) -> Float32Array:
    """The scores of `size` items from `start` on for each of `users`, `float32 [B, size]`."""
    block = slice(start, start + size)
    raw = np.tile(offset[block], (len(users), 1))
    for a in range(users.shape[1]):
        raw += users[:, a, None] * factors[a, block]
    return raw
