"""The best unseen items of units, under a factor model.

Scores of a unit are summed over factors in float32, always in the same order and always in blocks
of the same items, so that they do not depend on the batch. Items pass a threshold that at least
`k` of them exceed, and only those that pass are sorted.
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import Float32Array, IndexArray, UInt64Array
from matinee_policies.candidates.factor_model import ITEM_GROUP, FactorModel
from matinee_policies.candidates.item_scores import score_pair
from matinee_policies.candidates.ordered_keys import (
    GROUP,
    append_above,
    close_masked,
    flip,
    lower_bound,
    sort_keys,
)
from matinee_policies.candidates.seen import empty_seen, is_seen
from matinee_policies.compiled import kernel, lean_kernel
from matinee_policies.config import check_whole
from matinee_policies.errors import ContextError
from matinee_policies.records import PAD
from matinee_policies.sigmoids import fill_sigmoids, sigmoids_reference

# Items among which a unit's best are chosen at a time; its scores, 16 kB, fit the first cache.
_BLOCK = 4096
# Items whose factors stay in the first cache while they are scored, for so many units in turn; both
# a multiple of ITEM_GROUP.
_TILE = 512
_UNITS = 8


@dataclass(frozen=True, slots=True)
class Candidates:
    """The best items of `B` units, best first.

    Attributes:
        items: catalogue rows, `int32 [B, K]`; `PAD` fills a row from the right.
        scores: in (0, 1), falling, `float32 [B, K]`; 0 where padded.
    """

    items: IndexArray
    scores: Float32Array

    def __len__(self) -> int:
        return int(self.items.shape[0])


def rank(model: FactorModel, user_factors: Float32Array, seen: UInt64Array, k: int) -> Candidates:
    """The `k` unseen items of largest raw score, ties to the lowest row.

    Scores are 1 / (1 + exp(-z)) with z = (raw - score_mean) / score_scale, clipped to +-15.

    Args:
        model: the item side, `M` items.
        user_factors: vectors of the units, `float32 [B, f]`, finite.
        seen: items to leave out, one bit each, `uint64 [B, ceil(M / 64)]` (see `seen.py`).
        k: how many items, at least 1; where fewer are unseen, the rest is padding.

    Raises:
        ContextError: the arrays do not fit the model, or a vector is not finite.
        ConfigError: `k` is no whole number above 0.
    """
    check_whole("k", k, low=1)
    _check_units(model, user_factors, seen)
    items = np.empty((len(user_factors), k), dtype=np.int32)
    scores = np.empty((len(user_factors), k), dtype=np.float32)
    rank_into(
        model.padded_offset,
        model.factor_major,
        np.ascontiguousarray(user_factors),
        np.ascontiguousarray(seen),
        model.score_mean,
        model.score_scale,
        items,
        scores,
    )
    return Candidates(items, scores)


def rank_reference(
    model: FactorModel, user_factors: Float32Array, seen: UInt64Array, k: int
) -> Candidates:
    """The same by sorting all items: the readable twin of `rank`."""
    B, M = len(user_factors), model.n_items
    items = np.full((B, k), PAD, dtype=np.int32)
    scores = np.zeros((B, k), dtype=np.float32)
    rows = np.arange(M, dtype=np.int32)
    for b in range(B):
        raw = model.item_offset.copy()
        for a in range(model.n_factors):
            raw += user_factors[b, a] * model.item_factors[:, a]
        left = rows[~is_seen(seen, np.full(M, b), rows)]
        best = left[np.argsort(-raw[left], kind="stable")][:k]
        items[b, : best.size] = best
        scores[b, : best.size] = sigmoids_reference(
            raw[best], mean=model.score_mean, scale=model.score_scale
        )
    return Candidates(items, scores)


def _check_units(model: FactorModel, user_factors: Float32Array, seen: UInt64Array) -> None:
    shape = (len(user_factors), model.n_factors)
    if user_factors.dtype != np.float32 or user_factors.shape != shape:
        raise ContextError(
            f"user_factors must be float32 [B, {model.n_factors}], got {user_factors.dtype} "
            f"of shape {user_factors.shape}"
        )
    words = empty_seen(0, model.n_items).shape[1]
    if seen.dtype != np.uint64 or seen.shape != (len(user_factors), words):
        raise ContextError(
            f"seen must be uint64 of shape ({len(user_factors)}, {words}), got {seen.dtype} "
            f"of shape {seen.shape}"
        )
    if not np.isfinite(user_factors).all():
        bad = user_factors[~np.isfinite(user_factors)][0]
        raise ContextError(f"user_factors must be finite, got {bad}")


@kernel
def rank_into(
    offset: Float32Array,
    factors: Float32Array,
    users: Float32Array,
    seen: UInt64Array,
    mean: float,
    scale: float,
    items: IndexArray,
    scores: Float32Array,
) -> None:
    """Fill `items` and `scores`; `scores` holds sortable keys, then raws, then the scores."""
    B, k = items.shape
    kept = scores.view(np.int32)
    raw = np.empty((_UNITS // 2, 2, _BLOCK), dtype=np.float32)
    room = k + _BLOCK + GROUP
    keys = np.empty(room, dtype=np.int32)
    rows = np.empty(room, dtype=np.int32)
    spare_keys = np.empty(room, dtype=np.int32)
    spare_rows = np.empty(room, dtype=np.int32)
    maxima = np.empty(_columns(k), dtype=np.int32)
    filled = np.zeros(B, dtype=np.int64)
    powers, parts = np.empty(k, dtype=np.int64), np.empty(k)
    for first in range(0, B, _UNITS):
        last = min(first + _UNITS, B)
        for start in range(0, offset.size, _BLOCK):
            size = min(_BLOCK, offset.size - start)
            for at in range(0, size, _TILE):
                tile = min(_TILE, size - at)
                for one in range(first, last, 2):
                    other, pair = min(one + 1, last - 1), raw[(one - first) // 2]
                    score_pair(offset, factors, users, one, other, start + at, tile, pair, at)
            for b in range(first, last):
                block = raw[(b - first) // 2, (b - first) % 2].view(np.int32)
                flip(block, size)
                _close_seen(seen[b], start, size, block)
                n = filled[b]
                # Items must beat the worst kept one; before k are kept, a bound will do.
                bound = kept[b, k - 1] if n == k else lower_bound(block, size, k, maxima)
                passed = 0
                for j in range(0, size, GROUP):
                    passed = append_above(block, j, bound, spare_rows, passed)
                if passed == 0:
                    continue
                for t in range(n):
                    keys[t], rows[t] = kept[b, t], items[b, t]
                for t in range(passed):
                    place = spare_rows[t]
                    keys[n + t], rows[n + t] = block[place], start + place
                sort_keys(keys, rows, n + passed, spare_keys, spare_rows)
                n = min(n + passed, k)
                for t in range(n):
                    kept[b, t], items[b, t] = keys[t], rows[t]
                filled[b] = n
    for b in range(B):
        flip(kept[b], filled[b])
        fill_sigmoids(scores[b], filled[b], mean, scale, powers, parts)
        for t in range(filled[b], k):
            items[b, t], scores[b, t] = PAD, 0.0


@lean_kernel
def _columns(k: int) -> int:
    """Columns whose largest keys bound the `k` best of a block closely."""
    columns = 64
    while columns < 4 * k:
        columns *= 2
    return min(columns, _BLOCK)


@lean_kernel
def _close_seen(seen: UInt64Array, start: int, size: int, block: IndexArray) -> None:
    """Give the lowest key to items whose bit is set."""
    for group in range(0, size, ITEM_GROUP):
        word = seen[(start + group) // ITEM_GROUP]
        if word != 0:
            close_masked(block, group, word)
