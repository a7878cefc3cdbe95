"""The candidates of a live page: ranked by the arm's source, or named by the caller.

The source's candidates are those of an offline run: what the unit has watched or rests from when
its visit begins is hidden for the visit, and so is what the visit has shown; pinned items join on
its first page.
"""

from collections.abc import Sequence

import numpy as np

from matinee_platform.page_rules import PageRules
from matinee_platform.serving_model import ServingModel
from matinee_policies.arrays import BoolArray, Float32Array, IndexArray, UInt64Array
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.top_k import Candidates
from matinee_policies.compiled import kernel
from matinee_policies.errors import ContextError
from matinee_policies.records import PAD
from matinee_policies.sigmoids import fill_sigmoids, sigmoids_reference


class CatalogueCandidates:
    """Candidates of an arm with a catalogue.

    Args:
        model: with the arm's source and rules alone.
        source: name of the source.
        item_ids: the items as callers name them, by catalogue row.
        rules: of the arm's pages; None if it has none.
        candidates: of a page, `K`.

    Attributes:
        item_ids: as given.
    """

    def __init__(
        self,
        model: ServingModel,
        *,
        source: str,
        item_ids: tuple[str, ...],
        rules: PageRules | None,
        candidates: int,
    ) -> None:
        self.item_ids = item_ids
        self._model: FactorModel = model.sources[source]
        self._ranker = model.ranker(source, np.zeros(0, dtype=np.uint64))
        self._factors = np.ascontiguousarray(self._model.item_factors)
        self._rules = rules
        self._candidates = candidates
        self._row = {name: row for row, name in enumerate(item_ids)}

    def rows_of(self, ids: Sequence[str]) -> list[int]:
        """Catalogue rows of items.

        Raises:
            ContextError: naming the first that is not in the catalogue.
        """
        try:
            return list(map(self._row.__getitem__, ids))
        except KeyError as unknown:
            raise ContextError(
                f"candidates must be items of the arm's catalogue, got {unknown.args[0]!r}"
            ) from None

    def rank(
        self, vectors: Float32Array, hidden: UInt64Array, *, first_pages: BoolArray
    ) -> Candidates:
        """The best `K` items of some units' pages.

        Args:
            vectors: of the units, `float32 [n, f]`.
            hidden: one bit per item, `uint64 [n, W]`.
            first_pages: which of the pages begin a visit, `bool [n]`.
        """
        units = np.arange(len(vectors), dtype=np.int32)
        k, rules = self._candidates, self._rules
        if rules is not None:
            hidden = rules.hide(hidden)
        ranked = self._ranker.rank(units, vectors, hidden, k)
        if rules is None or not rules.pins.size or not first_pages.any():
            return ranked
        first = units[first_pages]
        here = Candidates(ranked.items[first], ranked.scores[first])
        pinned = rules.with_pins(here, self._ranker, first, vectors[first], k)
        ranked.items[first], ranked.scores[first] = pinned.items, pinned.scores
        return ranked

    def scores_of(self, vectors: Float32Array, candidates: IndexArray) -> Float32Array:
        """What the source makes of given items, `float32 [n, K]`, 0 at padding.

        Args:
            vectors: of the units, `float32 [n, f]`.
            candidates: catalogue rows, `int32 [n, K]`.
        """
        scores = np.empty(candidates.shape, dtype=np.float32)
        model = self._model
        _score(
            self._factors,
            model.item_offset,
            vectors,
            candidates,
            model.score_mean,
            model.score_scale,
            scores,
        )
        return scores


@kernel
def _score(
    factors: Float32Array,
    offset: Float32Array,
    vectors: Float32Array,
    candidates: IndexArray,
    mean: float,
    scale: float,
    scores: Float32Array,
) -> None:
    n, K = candidates.shape
    raw = np.empty(K, dtype=np.float32)
    powers, parts = np.empty(K, dtype=np.int64), np.empty(K)
    for b in range(n):
        for k in range(K):
            item = candidates[b, k]
            total = np.float32(0.0)
            if item >= 0:
                total = offset[item]
                for f in range(vectors.shape[1]):
                    total += vectors[b, f] * factors[item, f]
            raw[k] = total
        fill_sigmoids(raw, K, mean, scale, powers, parts)
        for k in range(K):
            scores[b, k] = raw[k] if candidates[b, k] >= 0 else np.float32(0.0)


def scores_reference(
    model: FactorModel, vectors: Float32Array, candidates: IndexArray
) -> Float32Array:
    """Plain twin of `CatalogueCandidates.scores_of`."""
    items = np.maximum(candidates, 0)
    raw = model.item_offset[items] + np.einsum("nf,nkf->nk", vectors, model.item_factors[items])
    scores = sigmoids_reference(raw, mean=model.score_mean, scale=model.score_scale)
    return np.where(candidates == PAD, 0.0, scores).astype(np.float32)
