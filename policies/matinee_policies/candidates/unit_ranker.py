"""Rank items for units by a fitted source: by its model, or by what it has for a unit alone."""

from typing import TypeAlias

from matinee_policies.arrays import Float32Array, IndexArray, UInt64Array
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.score_table import ABSENT, ScoreTable, rank_table
from matinee_policies.candidates.top_k import Candidates, rank
from matinee_policies.candidates.unit_vectors import UnitVectors

OwnCandidates: TypeAlias = ScoreTable | UnitVectors
"""What a source has for single units."""


class UnitRanker:
    """Ranks items for the units of one arm.

    Args:
        model: of the source.
        own: what the source has for single units.
        keys: keys of the units, `uint64 [n]`.
    """

    def __init__(self, model: FactorModel, own: OwnCandidates | None, *, keys: UInt64Array) -> None:
        self._model = model
        self._own = own
        self._rows = own.rows_of(keys) if own is not None else None

    def rank(
        self, units: IndexArray, vectors: Float32Array, hidden: UInt64Array, k: int
    ) -> Candidates:
        """The `k` best items of units, without what is hidden from them.

        Args:
            units: places among the keys, `int32 [B]`.
            vectors: folded in from what each unit did, `float32 [B, f]`.
            hidden: one bit per item, `uint64 [B, W]`.
            k: how many items; where fewer are left, the rest is padding.
        """
        if self._own is None or self._rows is None:
            return rank(self._model, vectors, hidden, k)
        rows = self._rows[units]
        if isinstance(self._own, ScoreTable):
            return rank_table(
                self._own, rows, fallback=self._model, vectors=vectors, hidden=hidden, k=k
            )
        given = rows != ABSENT
        used = vectors.copy()
        used[given] = self._own.vectors[rows[given]]
        return rank(self._model, used, hidden, k)
