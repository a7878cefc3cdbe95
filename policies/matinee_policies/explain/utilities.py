"""Redundancy and utility of every candidate along one slate, by the walk's own compiled functions.

The walk (`slate_walk.py`) keeps them to itself. Here the same functions are asked in the same
order, for every open candidate, so the numbers are those of the walk to the last bit; that the
law of `rules.fill_law` on them is the walk's, bit for bit, is tested.
"""

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray
from matinee_policies.diversity import Calibrated
from matinee_policies.records import PAD
from matinee_policies.redundancy_aspects import (
    new_lists,
    set_divergences,
    set_uncovered,
    show_aspects,
    start_lists,
)
from matinee_policies.redundancy_codes import (
    CODE_CALIBRATED,
    CODE_DPP,
    CODE_MMR,
    CODE_NONE,
    diversity_code,
)
from matinee_policies.redundancy_vectors import (
    LEFT,
    REPEATED,
    SEEN,
    new_ledger,
    show,
    take_in,
)
from matinee_policies.slate_problem import SlateProblem
from matinee_policies.walk_arrays import NO_ASPECTS, NO_DOUBLES, plain, table


class SlateUtilities:
    """What the only decision of a problem costs and is worth, slot by slot.

    Args:
        problem: of one decision.
        slots: of the slate.
    """

    def __init__(self, problem: SlateProblem, *, slots: int) -> None:
        self._problem = problem
        self._price = float(problem.kind().price)
        self._code = diversity_code(problem.kind())
        self._shown: list[int] = []
        contexts = problem.contexts
        self._candidates = plain(contexts.candidates)[0]
        self._vectors = table(contexts.embeddings)
        # A code of one kind makes no room for the other's tables.
        by_vectors = self._code in (CODE_MMR, CODE_DPP)
        K, m = problem.values.shape[1], self._vectors.shape[1]
        if by_vectors:
            self._ledger = new_ledger(K, slots, m, self._code)
            notes = self._ledger.notes
            notes[:, SEEN], notes[:, REPEATED], notes[:, LEFT] = 0.0, 0.0, 1.0
        elif self._code != CODE_NONE:
            # The problem refuses contexts that lack them.
            traits, interests = contexts.traits, contexts.interests
            aspects = NO_ASPECTS if traits is None else table(traits.aspects)
            self._lists = new_lists(K, aspects.shape[1])
            mix = np.zeros(0, np.float32) if interests is None else plain(interests)[0]
            start_lists(self._lists, self._candidates, aspects, mix, self._code)

    def redundancy(self, is_open: BoolArray) -> FloatArray:
        """Redundancy of open candidates given the items shown, `float64 [K]`; NaN elsewhere."""
        found = np.zeros(len(self._candidates))
        if self._code in (CODE_MMR, CODE_DPP):
            if self._shown:
                for k in np.flatnonzero(is_open).tolist():
                    found[k] = self._taken_in(k)
        elif self._code == CODE_CALIBRATED:
            set_divergences(self._lists, len(self._shown), self._smoothing(), found)
        elif self._code != CODE_NONE:
            set_uncovered(self._lists, found)
        return np.where(is_open, found, np.nan)

    def utility(self, redundancy: FloatArray) -> FloatArray:
        """Value minus the price of redundancy, `float64 [K]`; NaN where redundancy is."""
        if self._code == CODE_NONE:
            return np.where(np.isnan(redundancy), np.nan, self._problem.values[0])
        utility: FloatArray = self._problem.values[0] - self._price * redundancy
        return utility

    def votes(self, redundancy: FloatArray) -> IndexArray | None:
        """Members that like each candidate best of those open, `int32 [K]`; None without any."""
        if self._problem.members is None:
            return None
        is_open = ~np.isnan(redundancy)
        members = self._problem.members[0] - self._price * np.where(is_open, redundancy, 0.0)
        best = np.where(is_open, members, -np.inf).argmax(axis=1)
        votes = np.bincount(best, minlength=len(redundancy)).astype(np.int32)
        return np.where(is_open, votes, 0).astype(np.int32)

    def show(self, position: int) -> None:
        """Go on after the slot at which a candidate is shown, or nothing (`PAD`)."""
        if position == PAD:
            return
        count = len(self._shown)
        if self._code in (CODE_MMR, CODE_DPP):
            if self._code == CODE_DPP and self._ledger.notes[position, SEEN] < count:
                self._taken_in(position)
            item, ledger = int(self._candidates[position]), self._ledger
            show(position, item, count, self._code, *self._tables(), ledger.notes, ledger.shown)
        elif self._code != CODE_NONE:
            show_aspects(self._lists, position, self._code)
        self._shown.append(position)

    def _taken_in(self, k: int) -> float:
        item, ledger = int(self._candidates[k]), self._ledger
        return take_in(
            k, item, len(self._shown), self._code, *self._tables(), ledger.notes, ledger.shown
        )

    def _tables(self) -> tuple[AnyArray, AnyArray]:
        return self._vectors, NO_DOUBLES

    def _smoothing(self) -> float:
        kind = self._problem.kind()
        return kind.smoothing if isinstance(kind, Calibrated) else 0.0
