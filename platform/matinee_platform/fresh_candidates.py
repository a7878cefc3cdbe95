"""Places among the candidates for items that arrived after the sources were fitted.

No source knows what such an item is worth, so none would ever rank it among its best. Of those that
a unit may see, some are drawn for each visit, all with the same chance: by a keyed hash of unit and
day, so that every one of them is seen by somebody, on every day by others.
"""

import numpy as np

from matinee_policies.arrays import Float32Array, IndexArray, UInt64Array
from matinee_policies.candidates.seen import empty_seen, is_seen, mark_seen
from matinee_policies.candidates.top_k import Candidates
from matinee_policies.candidates.unit_ranker import UnitRanker
from matinee_policies.compiled import kernel
from matinee_policies.philox import stream_key, uniform
from matinee_policies.records import PAD


def fresh_key(seed: int) -> np.uint64:
    """Key of the draws; arms of one run share it, so a unit meets the same items in every arm."""
    return stream_key(seed, "fresh candidates")


def draw_fresh(
    key: np.uint64,
    units: UInt64Array,
    day: int,
    *,
    fresh: IndexArray,
    hidden: UInt64Array,
    places: int,
) -> IndexArray:
    """Items for each unit, drawn without repetition from those not hidden from it.

    Args:
        key: from `fresh_key`.
        units: pseudonyms, `uint64 [n]`.
        day: of the visit.
        fresh: items to draw from, distinct, `int32 [m]`.
        hidden: items that are no candidates, one bit each, `uint64 [n, W]`.
        places: items to draw for each unit.

    Returns:
        `int32 [n, places]`, `PAD` on the right where fewer are left.
    """
    drawn = np.empty((units.size, places), dtype=np.int32)
    _draw_fresh(key, units, np.uint64(day), fresh, np.ascontiguousarray(hidden), drawn)
    return drawn


def insert_fresh(
    ranked: Candidates, fresh: IndexArray, scores: Float32Array, *, k: int
) -> Candidates:
    """The ranking with all `fresh` items among the best `k`, and nothing else reordered.

    An item that stands lower, or nowhere, moves to the end of the best `k`.

    Args:
        ranked: `D` items per row.
        fresh: at most `k` per row, `PAD` on the right, `int32 [n, N]`.
        scores: of these by the source, `float32 [n, N]`.
        k: candidates of a page, at most `D`.
    """
    out = Candidates(np.empty_like(ranked.items), np.empty_like(ranked.scores))
    _insert_fresh(ranked.items, ranked.scores, fresh, scores, k, out.items, out.scores)
    return out


def scores_of(
    fresh: IndexArray,
    *,
    ranker: UnitRanker,
    units: IndexArray,
    vectors: Float32Array,
    n_items: int,
) -> Float32Array:
    """What the source makes of items, `float32 [n, N]`; 0 for one that it does not rank.

    Args:
        fresh: `PAD` on the right, `int32 [n, N]`.
        ranker: of the source.
        units: as the ranker numbers them, `int32 [n]`.
        vectors: of the units, `float32 [n, f]`.
        n_items: of the catalogue.
    """
    shown = empty_seen(units.size, n_items)
    rows, places = np.nonzero(fresh != PAD)
    mark_seen(shown, rows.astype(np.int32), fresh[rows, places])
    found = ranker.rank(units, vectors, ~shown, fresh.shape[1])
    match = fresh[:, :, None] == found.items[:, None, :]
    scores = np.take_along_axis(found.scores, match.argmax(axis=2), axis=1)
    return np.where(match.any(axis=2), scores, np.float32(0.0))


@kernel
def _draw_fresh(
    key: np.uint64,
    units: UInt64Array,
    day: np.uint64,
    fresh: IndexArray,
    hidden: UInt64Array,
    drawn: IndexArray,
) -> None:
    left = np.empty(fresh.shape[0], dtype=np.int32)
    for row in range(units.shape[0]):
        n = 0
        for j in range(fresh.shape[0]):
            word = hidden[row, fresh[j] >> 6]
            if (word >> np.uint64(fresh[j] & 63)) & np.uint64(1) == np.uint64(0):
                left[n] = fresh[j]
                n += 1
        for place in range(drawn.shape[1]):
            if place >= n:
                drawn[row, place] = PAD
                continue
            # One step of a Fisher-Yates shuffle.
            luck = uniform(key, units[row], (day << np.uint64(32)) | np.uint64(place))
            at = min(place + int(luck * (n - place)), n - 1)
            item = left[at]
            left[at] = left[place]
            left[place] = item
            drawn[row, place] = item


@kernel
def _insert_fresh(
    items: IndexArray,
    scores: Float32Array,
    fresh: IndexArray,
    fresh_scores: Float32Array,
    k: int,
    out_items: IndexArray,
    out_scores: Float32Array,
) -> None:
    depth = items.shape[1]
    moved = np.empty(fresh.shape[1], dtype=np.bool_)
    for row in range(items.shape[0]):
        given = 0
        while given < fresh.shape[1] and fresh[row, given] != PAD:
            given += 1
        n_moved = 0
        for f in range(given):
            moved[f] = True
            for place in range(min(k - given, depth)):
                if items[row, place] == fresh[row, f]:
                    moved[f] = False
            n_moved += int(moved[f])
        at, source, waiting = 0, 0, n_moved > 0
        while at < depth:
            ended = source == depth or items[row, source] == PAD
            if waiting and (at == k - n_moved or ended):
                for f in range(given):
                    if moved[f]:
                        out_items[row, at] = fresh[row, f]
                        out_scores[row, at] = fresh_scores[row, f]
                        at += 1
                waiting = False
            elif ended:
                out_items[row, at] = PAD
                out_scores[row, at] = 0.0
                at += 1
            else:
                kept = True
                for f in range(given):
                    if moved[f] and items[row, source] == fresh[row, f]:
                        kept = False
                if kept:
                    out_items[row, at] = items[row, source]
                    out_scores[row, at] = scores[row, source]
                    at += 1
                source += 1


def draw_fresh_reference(
    key: np.uint64, unit: int, day: int, *, fresh: IndexArray, hidden: UInt64Array, places: int
) -> list[int]:
    """Plain twin of `draw_fresh` for one unit, whose bits are `hidden`, `uint64 [W]`."""
    rows = np.zeros(fresh.size, dtype=np.int32)
    left = [int(item) for item in fresh[~is_seen(hidden[None, :], rows, fresh)]]
    for place in range(min(places, len(left))):
        luck = uniform(key, np.uint64(unit), np.uint64(day << 32 | place))
        at = place + int(luck * (len(left) - place))
        left[place], left[at] = left[at], left[place]
    return left[:places]


def insert_fresh_reference(items: list[int], fresh: list[int], k: int) -> list[int]:
    """The order of `insert_fresh` for one unit, in plain Python; no padding."""
    moved = [item for item in fresh if item not in items[: k - len(fresh)]]
    rest = [item for item in items if item not in moved]
    place = k - len(moved)
    return [*rest[:place], *moved, *rest[place:]]
