"""Redundancy by similarity vectors, compiled: MMR and DPP, tile by tile and only when asked.

Both kinds never fall as the slate grows, so what was worked out for a shorter slate bounds the
utility of a candidate from above. A tile whose bound is below the best utility known need not be
brought up to date, and its vectors need not even be read (the lazy evaluation of Minoux 1978). What
comes out is the same to the last bit.

A kernel that hands its arrays on to another one pays for counting references to each of them, about
20 ns an array; hence none here does, and the walk calls them one by one.

DPP: rows of the Cholesky factor grow by one entry per item (Chen, Zhang and Zhou 2018, algorithm
1); cosines are in the type of the vectors, everything after them in float64. An item of which less
than `LEAST_VARIANCE` is left unexplained adds nothing to what the slate explains.
"""

import math
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray
from matinee_policies.compiled import kernel
from matinee_policies.records import PAD
from matinee_policies.redundancy_codes import CODE_DPP, LEAST_VARIANCE
from matinee_policies.similarity import STEP, TILE

CLOSED = -np.inf
BUCKETS = 128
_PART = 8


class Tiles(NamedTuple):
    """One decision's candidates in `T` tiles, and what is known of them; `P = T * TILE` places.

    Attributes:
        order: candidate at each place, `PAD` for none, `int32 [P]`.
        place: place of each candidate, `int32 [K]`.
        value: value where open, -infinity elsewhere, `float64 [P]`.
        utility: with the redundancy worked out last, -infinity where closed, `float64 [P]`.
        redundancy: as worked out last, `float64 [P]`.
        top: largest utility of each tile, `float64 [T]`.
        done: items of the slate that a tile knows of, `PAD` before its vectors are laid out,
            `int32 [T]`.
        block: vectors by tile, `[T, Q, STEP, TILE]`.
        rows: overwritten, `[TILE, Q * STEP]`.
        found: overwritten, `[TILE]`.
        shown: vectors of the slate's items, `[L, Q, STEP]`.
        variance: of DPP, unexplained share of each candidate, `float64 [P]`.
        factor: of DPP, Cholesky entries by tile, item and lane, `float64 [T, L, TILE]`.
        shown_factor: of DPP, those of the slate's items, `float64 [L, L]`.
        shown_scale: of DPP, roots of their shares, 0 for an explained item, `float64 [L]`.
        counts: overwritten, `int32 [BUCKETS + 1]`.
        part: overwritten, `float64 [_PART]`.
    """

    order: IndexArray
    place: IndexArray
    value: FloatArray
    utility: FloatArray
    redundancy: FloatArray
    top: FloatArray
    done: IndexArray
    block: AnyArray
    rows: AnyArray
    found: AnyArray
    shown: AnyArray
    variance: FloatArray
    factor: FloatArray
    shown_factor: FloatArray
    shown_scale: FloatArray
    counts: IndexArray
    part: FloatArray


@kernel
def new_tiles(candidates: int, slots: int, embeddings: AnyArray, code: int) -> Tiles:
    """Room for one decision at a time; vectors and factors only where `code` reads them."""
    tiles = max((candidates + TILE - 1) // TILE, 1)
    read = 1 if code != 0 else 0
    factored = 1 if code == CODE_DPP else 0
    steps = (embeddings.shape[1] + STEP - 1) // STEP * read
    return Tiles(
        np.full(tiles * TILE, PAD, np.int32),
        np.zeros(candidates, np.int32),
        np.empty(tiles * TILE),
        np.empty(tiles * TILE),
        np.empty(tiles * TILE),
        np.empty(tiles),
        np.empty(tiles, np.int32),
        np.empty((tiles, steps, STEP, TILE), dtype=embeddings.dtype),
        np.zeros((TILE, steps * STEP), dtype=embeddings.dtype),
        np.zeros(TILE, dtype=embeddings.dtype),
        np.zeros((slots, steps, STEP), dtype=embeddings.dtype),
        np.empty(tiles * TILE * factored),
        np.empty((tiles * factored, slots, TILE)),
        np.empty((slots * factored, slots)),
        np.empty(slots * factored),
        np.empty(BUCKETS + 1, np.int32),
        np.empty(_PART),
    )


@kernel
def start_tiles(tiles: Tiles, values: FloatArray, available: BoolArray) -> int:
    """Fill the tiles with one decision's candidates, in the order that `tiles.order` holds.

    Args:
        tiles: as `new_tiles` gives them.
        values: finite where available, `float64 [K]`.
        available: `bool [K]`.

    Returns:
        How many are open.
    """
    order, place, value, utility = tiles.order, tiles.place, tiles.value, tiles.utility
    redundancy, variance, done = tiles.redundancy, tiles.variance, tiles.done
    remaining = 0
    for p in range(order.shape[0]):
        worth = CLOSED
        if order[p] != PAD:
            k = order[p]
            place[k] = p
            if available[k]:
                worth = values[k]
                remaining += 1
        value[p] = worth
        utility[p] = worth
        redundancy[p] = 0.0
    for p in range(variance.shape[0]):
        variance[p] = 1.0
    for t in range(done.shape[0]):
        done[t] = PAD
    return remaining


@kernel
def rank_candidates(
    values: FloatArray, available: BoolArray, order: IndexArray, counts: IndexArray
) -> None:
    """Order candidates by falling value, to a 126th of their range; closed ones come last.

    Args:
        values: finite where available, `float64 [K]`.
        available: `bool [K]`.
        order: receives the candidates, `int32 [at least K]`.
        counts: overwritten, `int32 [BUCKETS + 1]`.
    """
    K = values.shape[0]
    low, high = np.inf, -np.inf
    for k in range(K):
        if available[k]:
            low, high = min(low, values[k]), max(high, values[k])
    scale = (BUCKETS - 2) / (high - low) if high > low else 0.0
    if not scale < np.inf:
        scale = 0.0
    for bucket in range(BUCKETS + 1):
        counts[bucket] = 0
    for k in range(K):
        counts[_bucket(values[k], available[k], high, scale) + 1] += 1
    for bucket in range(BUCKETS):
        counts[bucket + 1] += counts[bucket]
    for k in range(K):
        bucket = _bucket(values[k], available[k], high, scale)
        order[counts[bucket]] = k
        counts[bucket] += 1


@kernel
def _bucket(value: float, is_open: bool, high: float, scale: float) -> int:
    if not is_open:
        return BUCKETS - 1
    steps = (high - value) * scale
    # Not a number where the range overflows.
    return min(int(steps), BUCKETS - 2) if steps >= 0.0 else 0


@kernel
def set_top(utility: FloatArray, top: FloatArray, tile: int, part: FloatArray) -> None:
    """Work out the largest utility of a tile; `part` is overwritten, `float64 [8]`."""
    first = tile * TILE
    for lane in range(_PART):
        part[lane] = utility[first + lane]
    for row in range(1, TILE // _PART):
        for lane in range(_PART):
            part[lane] = max(part[lane], utility[first + row * _PART + lane])
    for lane in range(1, _PART):
        part[0] = max(part[0], part[lane])
    top[tile] = part[0]


@kernel
def best_candidate(utility: FloatArray, order: IndexArray, top: FloatArray) -> int:
    """The first candidate of the largest utility; `PAD` if none is open."""
    largest = CLOSED
    for t in range(top.shape[0]):
        largest = max(largest, top[t])
    found = PAD
    if largest > CLOSED:
        for t in range(top.shape[0]):
            if top[t] == largest:
                for p in range(t * TILE, t * TILE + TILE):
                    if utility[p] == largest and (found == PAD or order[p] < found):
                        found = order[p]
    return found


@kernel
def take_similar(found: AnyArray, redundancy: FloatArray, first: int) -> None:
    """MMR: raise the redundancies of the tile at `first` to its cosines with one item."""
    for lane in range(TILE):
        redundancy[first + lane] = max(redundancy[first + lane], np.float64(found[lane]))


@kernel
def take_explained(
    found: AnyArray,
    factor: FloatArray,
    shown_factor: FloatArray,
    shown_scale: FloatArray,
    variance: FloatArray,
    tile: int,
    item: int,
) -> None:
    """DPP: add the Cholesky entry of the slate's item to every lane of a tile.

    Args:
        found: cosines of the tile with the item, `[TILE]`.
        factor: entries, `float64 [T, L, TILE]`; receives those of the item.
        shown_factor: entries of the slate's items, `float64 [L, L]`.
        shown_scale: roots of their unexplained shares, 0 for an explained one, `float64 [L]`.
        variance: unexplained share of each place, `float64 [T * TILE]`; updated.
        tile: which.
        item: its number in the slate.
    """
    first = tile * TILE
    scale = shown_scale[item]
    if scale == 0.0:
        for lane in range(TILE):
            factor[tile, item, lane] = 0.0
        return
    for lane in range(TILE):
        factor[tile, item, lane] = found[lane]
    for before in range(item):
        weight = shown_factor[item, before]
        for lane in range(TILE):
            factor[tile, item, lane] -= weight * factor[tile, before, lane]
    for lane in range(TILE):
        entry = factor[tile, item, lane] / scale
        factor[tile, item, lane] = entry
        variance[first + lane] -= entry * entry


@kernel
def set_unexplained(
    variance: FloatArray, value: FloatArray, redundancy: FloatArray, first: int
) -> None:
    """DPP: work out the redundancies of the open candidates of the tile at `first`."""
    for p in range(first, first + TILE):
        if value[p] > CLOSED:
            fresh = -math.log(max(variance[p], LEAST_VARIANCE))
            # Never falling, whatever the last bit of the logarithm does.
            redundancy[p] = max(redundancy[p], fresh)


@kernel
def set_utilities(
    value: FloatArray, redundancy: FloatArray, utility: FloatArray, first: int, price: float
) -> None:
    """Work out the utilities of the tile at `first`."""
    for p in range(first, first + TILE):
        utility[p] = value[p] - price * redundancy[p]


@kernel
def show_vector(embeddings: AnyArray, item: int, vector: AnyArray) -> None:
    """Copy the vector of a catalogue row, `[M, m]`, to `[Q, STEP]`, which is 0 beyond it."""
    for q in range(vector.shape[0]):
        for step in range(STEP):
            f = q * STEP + step
            vector[q, step] = embeddings[item, f] if f < embeddings.shape[1] else 0.0


@kernel
def show_factor(tiles: Tiles, k: int, count: int) -> None:
    """DPP: note the Cholesky entries of candidate `k` as those of the slate's item `count`.

    Its vector must have been noted before. The sums run as in `cosines` and `take_explained`, so
    that they are the same whether its tile is up to date or not.
    """
    factor, shown_factor, shown_scale = tiles.factor, tiles.shown_factor, tiles.shown_scale
    shown, total = tiles.shown, tiles.found
    p = tiles.place[k]
    t = p // TILE
    left = 1.0
    if count > 0 and tiles.done[t] == count:
        left = tiles.variance[p]
        for j in range(count):
            shown_factor[count, j] = factor[t, j, p - t * TILE]
    else:
        for j in range(count):
            entry = 0.0
            if shown_scale[j] > 0.0:
                # In the type of the vectors, as in `cosines`.
                total[0] = 0.0
                for q in range(shown.shape[1]):
                    for step in range(STEP):
                        total[0] += shown[j, q, step] * shown[count, q, step]
                entry = np.float64(total[0])
                for before in range(j):
                    entry -= shown_factor[j, before] * shown_factor[count, before]
                entry /= shown_scale[j]
            shown_factor[count, j] = entry
            left -= entry * entry
    shown_scale[count] = math.sqrt(left) if left > LEAST_VARIANCE else 0.0
