"""Log, for a sample of decisions or for all, what the oracle's best page would have been worth.

    RUN/regret/ARM/part-00000.arrow    one row per decision compared

Written beside the log and no part of it: neither the content hash nor any decision knows of it.
"""

from pathlib import Path

import numpy as np

from matinee_platform.engine import Decisions
from matinee_platform.part_writer import PartWriter, part_path
from matinee_policies.arrays import IndexArray, UInt64Array
from matinee_simulator.oracle import Oracle


class RegretLog:
    """Expected clicks of shown pages beside those of the best pages of the same candidates.

    Args:
        run: folder of the run.
        arm: name of the arm.
        every: one decision in so many is compared, chosen by its id; 1 for all.
    """

    def __init__(self, run: Path, arm: str, *, every: int) -> None:
        self._every = np.uint64(every)
        self._run = run
        self._arm = arm
        self._part: PartWriter | None = None
        self._called = False

    def open_day(self, day: int) -> None:
        """Start the part of `day`."""
        self._part = PartWriter(part_path(self._run, "regret", self._arm, day))

    def append(
        self, oracle: Oracle, units: IndexArray, pseudonyms: UInt64Array, decisions: Decisions
    ) -> None:
        """Compare some pages with the best ones; to be called before they are shown.

        Args:
            oracle: the truth about the arm's users, now.
            units: users decided for, `int32 [n]`.
            pseudonyms: of those users, `uint64 [n]`.
            decisions: the slates decided.
        """
        sample = np.flatnonzero(decisions.ids % self._every == 0)
        # The first call is made even for an empty sample: it compiles, and a warm-up run is small.
        if self._called and not sample.size:
            return
        self._called = True
        slates = np.ascontiguousarray(decisions.slates.items[sample])
        asked = np.ascontiguousarray(units[sample])
        best = oracle.best_page(
            asked,
            np.ascontiguousarray(decisions.contexts.candidates[sample]),
            slots=slates.shape[1],
        )
        expected = oracle.expected_clicks(asked, slates)
        if sample.size and self._part is not None:
            self._part.append(
                {
                    "decision_id": decisions.ids[sample],
                    "unit": pseudonyms[sample],
                    "expected_clicks": expected,
                    "greedy_clicks": best.greedy,
                    "bound_clicks": best.bound,
                }
            )

    def close_day(self) -> None:
        """Complete the part of the day."""
        if self._part is not None:
            self._part.close()
        self._part = None
