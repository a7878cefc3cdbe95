"""The candidates of one visit: ranked once; each page takes the best that it has not shown yet.

Most visits are short, so they are ranked no deeper than their first pages need; those that go on
are ranked again, deeper (`CandidatePool.deepened`).
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import BoolArray, Float32Array, IndexArray
from matinee_policies.candidates.top_k import Candidates
from matinee_policies.compiled import lean_kernel
from matinee_policies.errors import ContextError
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
        ranked: items of each visit by falling score, `P` of them, `PAD` on the right.
    """

    def __init__(self, ranked: Candidates) -> None:
        self._items = ranked.items
        self._scores = ranked.scores
        self._shown: BoolArray = ranked.items == PAD

    def deepened(self, visits: IndexArray, ranked: Candidates) -> "CandidatePool":
        """The pool of some of the visits, ranked deeper; visits are numbered as they are given.

        Args:
            visits: distinct visits, `int32 [n]`.
            ranked: their items, at least as many as here; what is here must come first.

        Raises:
            ContextError: if something else comes first.
        """
        depth = self._items.shape[1]
        if (ranked.items[:, :depth] != self._items[visits]).any():
            raise ContextError("a deeper ranking must begin with the items of the first one")
        pool = CandidatePool(ranked)
        pool._shown[:, :depth] |= self._shown[visits]
        return pool

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
        _mark(visits, page.places, positions, self._shown)

    def mark_items(self, visits: IndexArray, items: IndexArray) -> None:
        """Remember items shown, wherever in the pool they stand, or if they do not.

        Args:
            visits: distinct visits, `int32 [n]`.
            items: catalogue rows, `int32 [n, L]`, `PAD` for none.
        """
        for slot in range(items.shape[1]):
            self._shown[visits] |= self._items[visits] == items[:, slot, None]


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


@lean_kernel
def _mark(visits: IndexArray, places: IndexArray, positions: IndexArray, shown: BoolArray) -> None:
    for row in range(visits.shape[0]):
        for slot in range(positions.shape[1]):
            position = positions[row, slot]
            if position != PAD:
                shown[visits[row], places[row, position]] = True


def take_reference(visits: IndexArray, items: IndexArray, shown: BoolArray, k: int) -> IndexArray:
    """Plain twin of `CandidatePool.take`: the items it gives, `int32 [n, k]`."""
    out = np.full((visits.size, k), PAD, dtype=np.int32)
    for row, visit in enumerate(visits):
        left = items[visit][~shown[visit]][:k]
        out[row, : left.size] = left
    return out
