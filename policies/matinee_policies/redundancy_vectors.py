"""Redundancy by similarity vectors, compiled: MMR and DPP, tile by tile and only when asked.

Both kinds never fall as the slate grows, so what was worked out for a shorter slate bounds the
utility of a candidate from above. A tile whose bound is below the best utility known need not be
brought up to date, and its vectors need not even be read (the lazy evaluation of Minoux 1978). What
comes out is the same to the last bit.

DPP: rows of the Cholesky factor grow by one entry per item (Chen, Zhang and Zhou 2018, algorithm
1); cosines are in the type of the vectors, everything after them in float64. An item of which less
than `LEAST_VARIANCE` is left unexplained adds nothing to what the slate explains.
"""

import math
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray
from matinee_policies.compiled import kernel
from matinee_policies.records import PAD
from matinee_policies.redundancy_codes import CODE_DPP, LEAST_VARIANCE
from matinee_policies.similarity import STEP, TILE, cosines, gather_tile

CLOSED = -np.inf
_BUCKETS = 128
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
        counts: overwritten, `int32 [_BUCKETS + 1]`.
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
        np.empty(_BUCKETS + 1, np.int32),
        np.empty(_PART),
    )


@kernel
def start_tiles(tiles: Tiles, values: FloatArray, available: AnyArray, ranked: bool) -> None:
    """Fill the tiles with one decision's candidates, roughly by falling value if `ranked`.

    Args:
        tiles: as `new_tiles` gives them.
        values: finite where available, `float64 [K]`.
        available: `bool [K]`.
        ranked: whether tiles of low value are likely to be left alone.
    """
    K = values.shape[0]
    if ranked:
        _rank(values, available, tiles.order, tiles.counts)
    else:
        for k in range(K):
            tiles.order[k] = k
    for p in range(tiles.order.shape[0]):
        value = CLOSED
        if p < K:
            k = tiles.order[p]
            tiles.place[k] = p
            if available[k]:
                value = values[k]
        tiles.value[p] = value
        tiles.utility[p] = value
        tiles.redundancy[p] = 0.0
    for p in range(tiles.variance.shape[0]):
        tiles.variance[p] = 1.0
    for t in range(tiles.top.shape[0]):
        tiles.done[t] = PAD
        tiles.top[t] = _largest(tiles.utility, t * TILE, tiles.part)


@kernel
def close_candidate(tiles: Tiles, k: int) -> int:
    """Take a candidate out; 1 if it was open, else 0."""
    p = tiles.place[k]
    if tiles.value[p] == CLOSED:
        return 0
    tiles.value[p] = CLOSED
    tiles.utility[p] = CLOSED
    t = p // TILE
    tiles.top[t] = _largest(tiles.utility, t * TILE, tiles.part)
    return 1


@kernel
def show_item(
    tiles: Tiles, k: int, shown: int, candidates: IndexArray, embeddings: AnyArray, code: int
) -> None:
    """Add candidate `k` to the slate, as its item number `shown`; redundancies wait."""
    item = candidates[k]
    if code == CODE_DPP:
        # Its own row of the factor must be complete before others are measured by it.
        t = tiles.place[k] // TILE
        _catch_up(tiles, t, shown, candidates, embeddings, code)
        lane = tiles.place[k] - t * TILE
        left = tiles.variance[t * TILE + lane]
        tiles.shown_scale[shown] = math.sqrt(left) if left > LEAST_VARIANCE else 0.0
        for j in range(shown):
            tiles.shown_factor[shown, j] = tiles.factor[t, j, lane]
    f = 0
    for q in range(tiles.shown.shape[1]):
        for step in range(STEP):
            tiles.shown[shown, q, step] = embeddings[item, f] if f < embeddings.shape[1] else 0.0
            f += 1


@kernel
def refresh(
    tiles: Tiles,
    shown: int,
    candidates: IndexArray,
    embeddings: AnyArray,
    code: int,
    price: float,
    lazy: bool,
) -> float:
    """Bring utilities up to a slate of `shown` items, where `lazy` only those that can be best.

    Returns:
        The largest utility of all open candidates; -infinity if there are none.
    """
    best = CLOSED
    for t in range(tiles.top.shape[0]):
        if lazy and tiles.top[t] < best:
            continue
        if shown > 0 and tiles.done[t] < shown:
            _catch_up(tiles, t, shown, candidates, embeddings, code)
            first = t * TILE
            for p in range(first, first + TILE):
                tiles.utility[p] = tiles.value[p] - price * tiles.redundancy[p]
            tiles.top[t] = _largest(tiles.utility, first, tiles.part)
        best = max(best, tiles.top[t])
    return best


@kernel
def lowest_with(tiles: Tiles, utility: float) -> int:
    """The first candidate of this utility, the largest of all; `PAD` if there is none."""
    found = tiles.place.shape[0]
    for t in range(tiles.top.shape[0]):
        if tiles.top[t] == utility:
            for p in range(t * TILE, t * TILE + TILE):
                if tiles.utility[p] == utility and tiles.order[p] < found and tiles.order[p] != PAD:
                    found = tiles.order[p]
    return found if found < tiles.place.shape[0] else PAD


@kernel
def _catch_up(
    tiles: Tiles, t: int, shown: int, candidates: IndexArray, embeddings: AnyArray, code: int
) -> None:
    """Bring the redundancies of one tile up to a slate of `shown` items."""
    first = t * TILE
    if tiles.done[t] == PAD:
        gather_tile(candidates, tiles.order, first, embeddings, tiles.rows, tiles.block[t])
        tiles.done[t] = 0
    if code == CODE_DPP:
        for j in range(tiles.done[t], shown):
            if tiles.shown_scale[j] > 0.0:
                cosines(tiles.block[t], tiles.shown[j], tiles.found)
            _extend_factor(tiles, t, j)
        if tiles.done[t] < shown:
            for p in range(first, first + TILE):
                if tiles.value[p] > CLOSED:
                    fresh = -math.log(max(tiles.variance[p], LEAST_VARIANCE))
                    tiles.redundancy[p] = max(tiles.redundancy[p], fresh)
    else:
        for j in range(tiles.done[t], shown):
            cosines(tiles.block[t], tiles.shown[j], tiles.found)
            for lane in range(TILE):
                tiles.redundancy[first + lane] = max(
                    tiles.redundancy[first + lane], np.float64(tiles.found[lane])
                )
    tiles.done[t] = shown


@kernel
def _extend_factor(tiles: Tiles, t: int, j: int) -> None:
    """Add the Cholesky entry of the slate's item `j` to every lane of a tile."""
    first = t * TILE
    scale = tiles.shown_scale[j]
    if scale == 0.0:
        for lane in range(TILE):
            tiles.factor[t, j, lane] = 0.0
        return
    for lane in range(TILE):
        tiles.factor[t, j, lane] = tiles.found[lane]
    for i in range(j):
        weight = tiles.shown_factor[j, i]
        for lane in range(TILE):
            tiles.factor[t, j, lane] -= weight * tiles.factor[t, i, lane]
    for lane in range(TILE):
        entry = tiles.factor[t, j, lane] / scale
        tiles.factor[t, j, lane] = entry
        tiles.variance[first + lane] -= entry * entry


@kernel
def _largest(numbers: FloatArray, first: int, part: FloatArray) -> float:
    """Largest of the `TILE` numbers from `first` on."""
    for lane in range(_PART):
        part[lane] = numbers[first + lane]
    for row in range(1, TILE // _PART):
        for lane in range(_PART):
            part[lane] = max(part[lane], numbers[first + row * _PART + lane])
    best = float(part[0])
    for lane in range(1, _PART):
        best = max(best, part[lane])
    return best


@kernel
def _rank(values: FloatArray, available: AnyArray, order: IndexArray, counts: IndexArray) -> None:
    """Order candidates by falling value, to a 127th of their range; closed ones come last."""
    K = values.shape[0]
    low, high = np.inf, -np.inf
    for k in range(K):
        if available[k]:
            low, high = min(low, values[k]), max(high, values[k])
    scale = (_BUCKETS - 2) / (high - low) if high > low else 0.0
    if not scale < np.inf:
        scale = 0.0
    for bucket in range(_BUCKETS + 1):
        counts[bucket] = 0
    for k in range(K):
        counts[_bucket(values[k], available[k], high, scale) + 1] += 1
    for bucket in range(_BUCKETS):
        counts[bucket + 1] += counts[bucket]
    for k in range(K):
        bucket = _bucket(values[k], available[k], high, scale)
        order[counts[bucket]] = k
        counts[bucket] += 1


@kernel
def _bucket(value: float, is_open: bool, high: float, scale: float) -> int:
    if not is_open:
        return _BUCKETS - 1
    steps = (high - value) * scale
    # Not a number where the range overflows.
    return min(int(steps), _BUCKETS - 2) if steps >= 0.0 else 0
