"""Contexts from unit state and candidates: pure, and repeated when a log is re-scored."""

from dataclasses import dataclass

import numpy as np

from matinee_platform.page_rules import PageRules
from matinee_platform.unit_interests import interests
from matinee_policies.arrays import Float32Array, IndexArray
from matinee_policies.features import ItemFeatures, UnitStateBatch, compute_features
from matinee_policies.records import ContextBatch, ItemTraits


@dataclass(frozen=True, slots=True)
class ContextBuilder:
    """Builds what the policy of one arm sees.

    Attributes:
        items: per-item features, with the embeddings that diversity is measured by.
        traits: genres and creators of the catalogue.
        rules: of the arm's pages; None if it has none.
    """

    items: ItemFeatures
    traits: ItemTraits
    rules: PageRules | None = None

    def build(
        self,
        state: UnitStateBatch,
        candidates: IndexArray,
        scores: Float32Array,
        *,
        with_features: bool = True,
    ) -> ContextBatch:
        """Contexts of `n` pages, the same to the bit whenever they are built.

        Args:
            state: unit state as seen.
            candidates: catalogue rows, `int32 [n, K]`.
            scores: candidate scores, `float32 [n, K]`.
            with_features: whether the policy reads features; else they have no columns.
        """
        contexts = ContextBatch(
            candidates=candidates,
            features=self.features(state, candidates, scores)
            if with_features
            else np.empty((*candidates.shape, 0), dtype=np.float32),
            scores=scores,
            embeddings=self.items.embeddings,
            traits=self.traits,
            interests=interests(state.genre_history),
        )
        return contexts if self.rules is None else self.rules.apply(contexts)

    def features(
        self, state: UnitStateBatch, candidates: IndexArray, scores: Float32Array
    ) -> Float32Array:
        """Features of every candidate, `float32 [n, K, d]`; arguments as `build`."""
        return compute_features(self.items, state, candidates, scores)
