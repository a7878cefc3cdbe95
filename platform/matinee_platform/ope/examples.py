"""What a reward model learns from, and what it answers: rows of single slots."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from matinee_platform.ope.unit_sums import bucket_of
from matinee_policies.arrays import AnyArray, FloatArray, Int64Array, UInt64Array
from matinee_policies.errors import ContextError

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Examples:
    """Items that were shown, each with what its slot earned.

    Attributes:
        unit: pseudonyms, `uint64 [n]`.
        rewards: finite, `float64 [n]`.
        slots: place on the page, from 0; all 0 for a log of single actions, `int64 [n]`.
        items: numbers of the items, at least 0; -1 for one without a number, `int64 [n]`. Only
            `empirical` reads them.
        features: of the item in its context, `float64 [n, d]`; without columns where there are
            none. `empirical` does not read them.

    Raises:
        ContextError: if arrays do not fit together, or a number is not finite.
    """

    unit: UInt64Array
    rewards: FloatArray
    slots: Int64Array
    items: Int64Array
    features: FloatArray

    def __post_init__(self) -> None:
        n = self.unit.shape
        vectors = (self.rewards, self.slots, self.items)
        if len(n) != 1 or any(one.shape != n for one in vectors):
            raise ContextError(f"examples must be [n] each, got {[v.shape for v in vectors]}")
        if self.features.ndim != 2 or self.features.shape[:1] != n:
            raise ContextError(f"features must be [{n[0]}, d], got {list(self.features.shape)}")
        for name, values in (("rewards", self.rewards), ("features", self.features)):
            if not np.isfinite(values).all():
                raise ContextError(f"{name} must be finite, got {values[~np.isfinite(values)][0]}")
        if n[0] and int(self.slots.min()) < 0:
            raise ContextError(f"slots must be at least 0, got {int(self.slots.min())}")

    def __len__(self) -> int:
        return int(self.unit.size)


ExampleStream: TypeAlias = Callable[[], Iterator[Examples]]
"""Examples that can be read from the start as often as needed, a bounded part at a time."""


class RewardModel(Protocol):
    """Predicts rewards; what predicts a unit's reward has not seen that unit."""

    @property
    def kind(self) -> str:
        """`ridge`, `logistic` or `empirical`."""

    def predict(
        self, unit: UInt64Array, *, slots: AnyArray | int, items: AnyArray, features: AnyArray
    ) -> FloatArray:
        """Predicted rewards of items, whether or not they were shown.

        Args:
            unit: pseudonyms, `uint64 [n]`.
            slots: place on the page of each row, from 0, `[n]`; one number for all.
            items: numbers, -1 for one without, `[n]` or, of every candidate, `[n, K]`.
            features: `[n, d]` or `[n, K, d]`.

        Returns:
            Of the shape of `items`, finite.
        """


def fold_of(unit: UInt64Array, folds: int) -> Int64Array:
    """Fold of each unit, by a hash of its pseudonym, in `[0, folds)`, `int64 [n]`."""
    return bucket_of(np.ascontiguousarray(unit, dtype=np.uint64), folds)


def slots_of(slots: AnyArray | int, n: int) -> Int64Array:
    """Slots of `n` rows, `int64 [n]`, from theirs or from one for all."""
    return np.broadcast_to(np.asarray(slots, dtype=np.int64), (n,))
