"""Sample ratio mismatch: did the arms get the units that their weights promise?

A small p-value says that exposure itself differs between arms (a broken hash, a crash, a lost
log); no metric of such an experiment can be trusted.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from matinee_platform.assignment import check_weights
from matinee_policies.errors import ContextError

SRM_ALARM = 0.001
"""A smaller p-value says that the split is not the declared one."""


def srm_p_value(units: Sequence[int], weights: Sequence[float]) -> float:
    """Chi-square test of the units per arm against the declared weights (Pearson 1900).

    Args:
        units: exposed units of each arm.
        weights: declared share of each arm, summing to one.

    Returns:
        The p-value; 1 with a single arm, 0 if an arm of weight zero has units, NaN without units.

    Raises:
        ConfigError: on weights that do not sum to one.
        ContextError: when the lengths differ or a count is negative.

    Example:
        >>> round(srm_p_value([5_000, 5_300], [0.5, 0.5]), 4)
        0.0031
    """
    check_weights(weights)
    if len(units) != len(weights) or min(units) < 0:
        raise ContextError(
            f"units must be {len(weights)} counts of at least 0, got {', '.join(map(str, units))}"
        )
    observed, share = np.array(units, dtype=np.float64), np.array(weights, dtype=np.float64)
    total = observed.sum()
    if not total:
        return math.nan
    used = share > 0
    if observed[~used].any():
        return 0.0
    expected = total * share[used]
    statistic = ((observed[used] - expected) ** 2 / expected).sum()
    freedom = int(used.sum()) - 1
    return float(special.chdtrc(freedom, statistic)) if freedom else 1.0
