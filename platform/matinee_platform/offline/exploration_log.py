"""Note, for the sampled decisions of an arm, what exploring cost in the policy's own estimates.

    RUN/exploration/ARM/part-00000.arrow    one row per sampled decision

The sample is the one whose full features are logged. Written beside the log and no part of it:
neither the content hash nor any decision knows of it. A policy that has no `exploration_cost`, as
mixtures and classes of the user's own that are no `ValuePolicy`, leaves no file; nor does one whose
values are upper bounds, since what it gives up for optimism is no draw of its law.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from matinee_platform.engine import Decisions
from matinee_platform.part_writer import PartWriter, part_path
from matinee_policies.arrays import FloatArray, IndexArray, UInt64Array
from matinee_policies.policy import Policy
from matinee_policies.records import ContextBatch

CostFunction = Callable[[ContextBatch, IndexArray], FloatArray]
NO_METHOD = "its policy cannot tell"
"""Why there is no cost: no method `exploration_cost`."""

BOUNDS = "its values are upper bounds: what optimism costs is not a draw"
"""Why there is no cost: `ValuePolicy.values_are_bounds`."""


class ExplorationLog:
    """Cost of exploration of one arm.

    Decisions are held until `flush`, so that a policy is asked once for many; it must be the
    snapshot that decided them.

    Args:
        run: folder of the run.
        arm: name of the arm.
    """

    def __init__(self, run: Path, arm: str) -> None:
        self._run = run
        self._arm = arm
        self._part: PartWriter | None = None
        self._held: list[tuple[IndexArray, UInt64Array, UInt64Array, ContextBatch, IndexArray]] = []
        self._called = False

    def open_day(self, day: int) -> None:
        """Start the part of `day`."""
        self._part = PartWriter(part_path(self._run, "exploration", self._arm, day))

    def append(
        self, policy: Policy, units: IndexArray, pseudonyms: UInt64Array, decisions: Decisions
    ) -> None:
        """Hold the sampled ones of some decisions.

        Args:
            policy: that decided them.
            units: users decided for, `int32 [n]`.
            pseudonyms: of those users, `uint64 [n]`.
            decisions: the slates decided.
        """
        cost = cost_function(policy)
        if cost is None:
            return
        positions = decisions.slates.positions
        if not self._called and units.size:
            # Asked once and thrown away: it compiles, and a warm-up run is small.
            cost(decisions.contexts.rows(np.array([0])), positions[:1].copy())
            self._called = True
        sample = decisions.sampled()
        if sample.size:
            seen = decisions.contexts.rows(sample)
            ids = decisions.ids[sample]
            self._held.append((units[sample], ids, pseudonyms[sample], seen, positions[sample]))

    def flush(self, policy: Policy) -> tuple[IndexArray, FloatArray]:
        """Ask for the cost of everything held, and write it.

        Args:
            policy: that decided it.

        Returns:
            The users, `int32 [n]`, and the cost of each decision in value units, `float64 [n]`.
        """
        cost = cost_function(policy)
        if cost is None or not self._held:
            return np.empty(0, dtype=np.int32), np.empty(0)
        units, ids, pseudonyms, contexts, positions = zip(*self._held, strict=True)
        self._held = []
        costs = cost(ContextBatch.concatenate(contexts), np.concatenate(positions))
        if self._part is not None:
            self._part.append(
                {
                    "decision_id": np.concatenate(ids),
                    "unit": np.concatenate(pseudonyms),
                    "cost": costs,
                }
            )
        return np.concatenate(units), costs

    def close_day(self) -> None:
        """Complete the part of the day."""
        if self._part is not None:
            self._part.close()
        self._part = None


def cost_function(policy: Policy) -> CostFunction | None:
    """What tells the cost of a policy's exploration, if it can."""
    if why_untold(policy) is not None:
        return None
    found: CostFunction | None = getattr(policy, "exploration_cost", None)
    return found


def why_untold(policy: Policy) -> str | None:
    """Why a policy cannot tell the cost of its exploration; None if it can."""
    if getattr(policy, "exploration_cost", None) is None:
        return NO_METHOD
    return BOUNDS if getattr(policy, "values_are_bounds", False) else None
