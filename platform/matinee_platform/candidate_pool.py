"""The candidates of one visit: ranked once; each page takes the best that it has not shown yet."""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import BoolArray, Float32Array, IndexArray
from matinee_policies.compiled import lean_kernel
from matinee_policies.records import PAD


@dataclass(frozen=True, slots=True)
class PageCandidates:
    """Candidates of `n` pages.

    Attributes:
        items: catalogue rows by falling score, `int32 [n, K]`, `PAD` on the right.
        scores: candidate scores, `float32 [n, K]`.
        places: where in the pool each candidate stands, `int32 [n, K]`.
    """

    items: IndexArray
    scores: Float32Array
    places: IndexArray


class CandidatePool:
    """Ranked items of `a` visits, and which were shown already during the visit.

    Args:
        items: catalogue rows by falling score, `int32 [a, P]`, `PAD` on the right.
        scores: their scores, `float32 [a, P]`.
    """

    def __init__(self, items: IndexArray, scores: Float32Array) -> None:
        self._items = items
        self._scores = scores
        self._shown: BoolArray = items == PAD

    def take(self, visits: IndexArray, k: int) -> PageCandidates:
        """The `k` best items of each of `visits` that the visit has not shown yet."""
        shape = (visits.size, k)
        page = PageCandidates(
            items=np.empty(shape, dtype=np.int32),
            scores=np.empty(shape, dtype=np.float32),
            places=np.empty(shape, dtype=np.int32),
        )
        _take(visits, self._items, self._scores, self._shown, page.items, page.scores, page.places)
        return page

    def mark_shown(self, visits: IndexArray, page: PageCandidates, positions: IndexArray) -> None:
        """Remember the slates shown.

        Args:
            visits: distinct visits, `int32 [n]`.
            page: candidates that `take` gave for these visits.
            positions: index into those candidates per slot, `int32 [n, L]`, `PAD` for none.
        """
        rows, slots = np.nonzero(positions != PAD)
        self._shown[visits[rows], page.places[rows, positions[rows, slots]]] = True


@lean_kernel
def _take(
    visits: IndexArray,
    items: IndexArray,
    scores: Float32Array,
    shown: BoolArray,
    out_items: IndexArray,
    out_scores: Float32Array,
    out_places: IndexArray,
) -> None:
    k = out_items.shape[1]
    for row in range(visits.shape[0]):
        visit = visits[row]
        taken = 0
        for place in range(items.shape[1]):
            if taken == k:
                break
            if not shown[visit, place]:
                out_items[row, taken] = items[visit, place]
                out_scores[row, taken] = scores[visit, place]
                out_places[row, taken] = place
                taken += 1
        for empty in range(taken, k):
            out_items[row, empty] = PAD
            out_scores[row, empty] = 0.0
            out_places[row, empty] = PAD


def take_reference(visits: IndexArray, items: IndexArray, shown: BoolArray, k: int) -> IndexArray:
    """Plain twin of `CandidatePool.take`: the items it gives, `int32 [n, k]`."""
    out = np.full((visits.size, k), PAD, dtype=np.int32)
    for row, visit in enumerate(visits):
        left = items[visit][~shown[visit]][:k]
        out[row, : left.size] = left
    return out
