"""What exploration cost an arm: expected value given up per page, in the policy's own estimates.

At each slot the policy had a best candidate; its law gave others some probability. The cost is the
utility of the best minus the mean under the law, summed over the slots of the page: what the policy
expected to lose by not always taking its best. It is no measurement of users.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matinee_platform.analysis.compare import linearised
from matinee_platform.decision_log import read_parts


@dataclass(frozen=True, slots=True)
class ExplorationCost:
    """Cost of exploration of one arm, from a sample of its decisions.

    Attributes:
        pages: sampled.
        mean: per page, in value units.
        error: standard error over units, NaN for a single one.
    """

    pages: int
    mean: float
    error: float


def read_exploration_cost(run: Path, arm: str) -> ExplorationCost | None:
    """Read what a run noted; None if its policy could not tell, or no decision was sampled.

    Raises:
        DataError: if a part cannot be read.
    """
    parts = list(read_parts(run, "exploration", arm, ["unit", "cost"]))
    if not parts:
        return None
    unit = np.concatenate([part["unit"].to_numpy() for part in parts])
    cost = np.concatenate([part["cost"].to_numpy() for part in parts])
    units, place = np.unique(unit, return_inverse=True)
    total = np.bincount(place, weights=cost, minlength=units.size).astype(np.float64)
    pages = np.bincount(place, minlength=units.size).astype(np.float64)
    values = linearised(total, pages)
    error = float(np.sqrt(values.var(ddof=1) / units.size)) if units.size > 1 else np.nan
    return ExplorationCost(cost.size, float(cost.sum() / cost.size), error)
