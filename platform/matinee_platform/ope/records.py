"""The form between any log and any estimator: rewards, probabilities and predictions per slot."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from matinee_policies.arrays import FloatArray, Int64Array, UInt64Array


@dataclass(frozen=True, slots=True)
class LoggedBatch:
    """Part of a log under a logging law and a target policy: `n` decisions of `L` slots.

    A log of single actions has `L` = 1. An empty slot, and one that a pin filled, has probability
    1 under both and its reward as it came. All probabilities are conditional on the items that the
    log shows above the slot, so products over slots are those of whole slates.

    Attributes:
        unit: pseudonyms, `uint64 [n]`: rows of one unit are not independent.
        time: of the decision, UTC, milliseconds since 1970, not falling, `int64 [n]`.
        rewards: of each slot, finite, `float64 [n, L]`.
        logged: probability of the item shown under the policy that chose it, in (0, 1],
            `float64 [n, L]`.
        target: the same under the evaluated policy, in [0, 1], `float64 [n, L]`.
        unreachable: mass that the target's law at that slot puts on items that the logging law
            could not show, in [0, 1], `float64 [n, L]`.
        predicted: cross-fitted prediction of the reward of the item shown, `float64 [n, L]`; None
            without a reward model.
        expected: expectation of the predictions under the target's law at that slot,
            `float64 [n, L]`; None without a reward model.
        marginal: ratio of the target's to the logging law's mass on the cluster (embedding) of the
            item shown, at least 0, `float64 [n, L]`; None where no clusters are given. Only MIPS
            reads it.
        largest: largest weight that the slot could have had, whichever item had been drawn there:
            the most of `target / logged` over all items that could be shown, `float64 [n, L]`; None
            where laws are not known. Intervals read it: it is known before the draw.
    """

    unit: UInt64Array
    time: Int64Array
    rewards: FloatArray
    logged: FloatArray
    target: FloatArray
    unreachable: FloatArray
    predicted: FloatArray | None = None
    expected: FloatArray | None = None
    marginal: FloatArray | None = None
    largest: FloatArray | None = None

    def __len__(self) -> int:
        return int(self.unit.size)


LoggedStream: TypeAlias = Callable[[], Iterator[LoggedBatch]]
"""A log that can be read from its start as often as needed, a bounded part at a time."""
