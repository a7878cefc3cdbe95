"""One ridge regression over all candidates, as the state of a policy."""

import functools

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray
from matinee_policies.learning import Change
from matinee_policies.linear import (
    RidgeState,
    RidgeSums,
    check_solution,
    normal_equations,
    ridge_accumulate,
    ridge_solve,
    ridge_values,
)
from matinee_policies.records import SHARDS, ContextBatch, OutcomeBatch
from matinee_policies.snapshot import Snapshot, snapshot_array


class SharedRidge:
    """Mean x' theta, width sqrt(x' A^-1 x); see `linear.py`.

    Args:
        dimension: of the features, at least 1.
        l2: weight of the prior that all coefficients are 0, above 0.

    Attributes:
        sums: what has been observed.
        state: what follows from it.
    """

    def __init__(self, dimension: int, *, l2: float) -> None:
        self.l2 = l2
        self.sums = RidgeSums.empty(dimension)
        self.state = RidgeState.prior(dimension, l2=l2)

    @property
    def rows(self) -> int:
        """Impressions learned from."""
        return self.sums.rows

    @property
    def theta(self) -> FloatArray:
        """Coefficients of all candidates, a copy, `float64 [d]`."""
        return self.state.theta.copy()

    def item_theta(self, items: IndexArray) -> FloatArray:
        """No item has coefficients of its own: `float64 [n, 0]`."""
        return np.zeros((len(items), 0))

    def values(self, contexts: ContextBatch, *, alpha: float) -> FloatArray:
        """Mean plus `alpha` widths, `float64 [B, K]`."""
        return ridge_values(contexts.features, self.state, alpha=alpha)

    def prepared(self, outcomes: OutcomeBatch) -> Change:
        """Work out what one matured component changes.

        Raises:
            ContextError: if features break a rule.
        """
        sums = ridge_accumulate(self.sums, outcomes)
        state = ridge_solve(sums, l2=self.l2)
        return Change(sums.rows, functools.partial(self._take, sums, state))

    def learn(self, outcomes: OutcomeBatch) -> None:
        """Take in one matured component; unchanged if it breaks a rule (`ContextError`)."""
        self.prepared(outcomes).take()

    def precision(self) -> FloatArray:
        """A = l2 I + sum x x', `float64 [d, d]`."""
        return normal_equations(self.sums, l2=self.l2)[0]

    def arrays(self) -> dict[str, AnyArray]:
        """The state by name."""
        return {
            "gram": self.sums.gram,
            "moments": self.sums.moments,
            "inverse": self.state.inverse,
            "theta": self.state.theta,
        }

    def restore(self, snapshot: Snapshot, *, rows: int) -> None:
        """Take over the state of a snapshot that counts `rows`.

        Raises:
            SnapshotError: if an array is missing or of another shape or type, or the solution
                does not follow from the sums.
            ContextError: if no rows give these sums.
        """
        d = self.sums.gram.shape[1]
        sums = restored_sums(snapshot, dimension=d, rows=rows)
        state = RidgeState(
            inverse=snapshot_array(snapshot, "inverse", shape=(d, d)),
            theta=snapshot_array(snapshot, "theta", shape=(d,)),
        )
        check_solution(state, sums, l2=self.l2, kind=snapshot.kind)
        self._take(sums, state)

    def _take(self, sums: RidgeSums, state: RidgeState) -> None:
        self.sums, self.state = sums, state


def restored_sums(snapshot: Snapshot, *, dimension: int, rows: int) -> RidgeSums:
    """The arrays `gram` and `moments` of a snapshot that counts `rows`."""
    return RidgeSums(
        gram=snapshot_array(snapshot, "gram", shape=(SHARDS, dimension, dimension)),
        moments=snapshot_array(snapshot, "moments", shape=(2, SHARDS, dimension)),
        rows=rows,
    )
