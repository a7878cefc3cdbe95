"""Learn how often each slot is examined while an arm runs, from its own exploration.

Every page is scored once more with two neighbours swapped, a pair by decision id, and adds the
weighted clicks of the two to sums (`examination.py`). The ratio of two neighbours starts at the
ratio of all pairs together as if `PRIOR_CLICKS` weighted clicks had said so, and that one at 1 by
`POOLED_PRIOR_CLICKS`: without exploration the curve stays flat, and nothing is corrected.
"""

from collections.abc import Mapping

import numpy as np

from matinee_platform.engine import Decisions
from matinee_platform.examination import swap_weights
from matinee_platform.logged_slates import choices
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray
from matinee_policies.policy import Policy

PRIOR_CLICKS = 50.0
"""Weighted clicks by which the ratio of one pair is held to that of all."""

POOLED_PRIOR_CLICKS = 20.0
"""Weighted clicks by which the ratio of all pairs is held to 1."""


class ExaminationTally:
    """Weighted clicks of pairs of neighbouring slots."""

    def __init__(self) -> None:
        self._sums: FloatArray = np.zeros((2, 0))

    def add(self, policy: Policy, decisions: Decisions, clicks: BoolArray) -> None:
        """Take in pages, in the order of the log; batches leave no trace.

        Args:
            policy: in the state that chose the slates.
            decisions: as decided.
            clicks: `bool [n, L]`.
        """
        slots = clicks.shape[1]
        if not self._sums.shape[1]:
            self._sums = np.zeros((2, slots - 1))
        if slots < 2:
            return
        rows = np.arange(decisions.ids.size)
        pair = (decisions.ids % np.uint64(slots - 1)).astype(np.int64)
        positions = decisions.slates.positions
        weights = swap_weights(
            policy,
            decisions.contexts,
            positions,
            decisions.slates.propensities,
            pair=pair,
            chosen=choices(decisions.contexts, positions)[1],
        )
        # Added one by one, in order: a sum by batches would show their size.
        np.add.at(self._sums[0], pair, weights * clicks[rows, pair])
        np.add.at(self._sums[1], pair, weights * clicks[rows, pair + 1])

    def curve(self, slots: int) -> FloatArray:
        """Examination of each slot in shares of the first slot's, never rising, `float64 [L]`."""
        if self._sums.shape[1] != slots - 1:
            return np.ones(slots)
        upper, lower = self._sums
        pooled = (lower.sum() + POOLED_PRIOR_CLICKS) / (upper.sum() + POOLED_PRIOR_CLICKS)
        ratio = (lower + PRIOR_CLICKS * pooled) / (upper + PRIOR_CLICKS)
        return np.cumprod(np.concatenate([[1.0], np.minimum(ratio, 1.0)]))

    def arrays(self) -> dict[str, AnyArray]:
        """The sums, for a checkpoint."""
        return {"sums": self._sums}

    def restore(self, arrays: Mapping[str, AnyArray]) -> None:
        """Take over what `arrays` gave."""
        self._sums = arrays["sums"].copy()
