"""The common part of policies that value candidates by one ridge regression over all of them."""

from typing import Any, ClassVar, TypeVar

from matinee_policies.arrays import FloatArray
from matinee_policies.config import Config, check_range, check_whole
from matinee_policies.errors import ConfigError, SnapshotError
from matinee_policies.linear import (
    RidgeState,
    RidgeSums,
    ridge_accumulate,
    ridge_solve,
    ridge_values,
)
from matinee_policies.records import SHARDS, ContextBatch, OutcomeBatch
from matinee_policies.rules import Rule
from matinee_policies.snapshot import Snapshot, snapshot_array
from matinee_policies.value_policy import ValuePolicy

C = TypeVar("C", bound=Config)


class LinearPolicy(ValuePolicy[C]):
    """Value of a candidate: its predicted reward plus `alpha` widths.

    Args:
        config: parameters, of the policy's own type.
        dimension: of the features, at least 1.
        rule: turns utilities into probabilities.
        diversity: price of redundancy in value units.
        alpha: widths to add to the prediction.
        l2: weight of the prior that all coefficients are 0.
    """

    learns: ClassVar[bool] = True

    def __init__(
        self,
        config: C,
        *,
        dimension: int,
        rule: Rule,
        diversity: float,
        alpha: float,
        l2: float,
    ) -> None:
        super().__init__(config, rule=rule, diversity=diversity)
        check_whole("dimension", dimension, low=1)
        check_range("l2", l2, low=0, low_open=True)
        self.dimension = dimension
        self._alpha = alpha
        self._l2 = l2
        self._sums = RidgeSums.empty(dimension)
        self._state = RidgeState.prior(dimension, l2=l2)

    @property
    def theta(self) -> FloatArray:
        """Coefficient of each feature, a copy, `float64 [d]`."""
        return self._state.theta.copy()

    def values(self, contexts: ContextBatch) -> FloatArray:
        """Predicted reward of each candidate plus `alpha` widths, `float64 [B, K]`."""
        return ridge_values(contexts.features, self._state, alpha=self._alpha)

    def learn(self, outcomes: OutcomeBatch) -> None:
        """See `Policy.learn`."""
        sums = ridge_accumulate(self._sums, outcomes)
        state = ridge_solve(sums, l2=self._l2)
        self._sums, self._state = sums, state

    def snapshot(self) -> Snapshot:
        """See `Policy.snapshot`."""
        plain = super().snapshot()
        return Snapshot(
            kind=plain.kind,
            version=plain.version,
            arrays={
                "gram": self._sums.gram,
                "moments": self._sums.moments,
                "inverse": self._state.inverse,
                "theta": self._state.theta,
            },
            manifest={**plain.manifest, "dimension": self.dimension, "rows": self._sums.rows},
        )

    def _restore(self, snapshot: Snapshot) -> None:
        """Take over the state of a snapshot of this dimension."""
        d = self.dimension
        self._sums = RidgeSums(
            gram=snapshot_array(snapshot, "gram", shape=(SHARDS, d, d)),
            moments=snapshot_array(snapshot, "moments", shape=(2, SHARDS, d)),
            rows=counter_of(snapshot, "rows", low=0),
        )
        self._state = RidgeState(
            inverse=snapshot_array(snapshot, "inverse", shape=(d, d)),
            theta=snapshot_array(snapshot, "theta", shape=(d,)),
        )


def counter_of(snapshot: Snapshot, name: str, *, low: int) -> int:
    """A whole number of a manifest.

    Raises:
        SnapshotError: if it is missing, no whole number or below `low`.
    """
    value: Any = snapshot.manifest.get(name)
    try:
        check_whole(name, value, low=low)
    except ConfigError as error:
        raise SnapshotError(f"snapshot of {snapshot.kind!r}: {error}") from None
    return int(value)
