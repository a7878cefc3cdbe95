"""Choose among settings of an estimator that trade bias for variance, without knowing the bias.

SLOPE (Su, Srinath and Krishnamurthy 2020, "Adaptive estimator selection for off-policy
evaluation", algorithm 1). From the unbiased end on, go to ever more biased and less noisy settings
for as long as their intervals have a point in common with all before; where they have none, the
bias has shown.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from matinee_platform.analysis.inference.effect import check_confidence
from matinee_policies.arrays import AnyArray, BoolArray
from matinee_policies.config import check_range
from matinee_policies.errors import ContextError

REACH = 2.0
"""Half an interval's width, in the deviations that a value stays within: `2 CNF` of the paper."""


@dataclass(frozen=True, slots=True, eq=False)
class SlopeChoice:
    """What was chosen of a grid.

    Attributes:
        index: of the setting, in the grid's own order.
        value: of it.
        low: lower end of what the accepted intervals have in common.
        high: its upper end.
        accepted: settings whose intervals were met on the way, `bool [settings]`.
        passed_over: more biased settings that were noisier than one before, so of no use whatever
            their bias, `bool [settings]`.
    """

    index: int
    value: float
    low: float
    high: float
    accepted: BoolArray
    passed_over: BoolArray


def slope(
    values: AnyArray, errors: AnyArray, *, confidence: float = 0.95, reach: float = REACH
) -> SlopeChoice:
    """The most biased setting whose interval still agrees with those of all less biased ones.

    All deviations are within `z se` at once with this confidence, `z` the normal quantile at
    `(1 - confidence) / (2 M)`; intervals are `value +- reach z se`. The chosen value is then off
    by at most a constant times the best trade of bias and deviation in the grid (theorem 3), for
    a bias that grows along it.

    Args:
        values: of the settings, from the most biased and least noisy to the unbiased and noisiest,
            `float64 [M]`.
        errors: their standard errors, >= 0, `float64 [M]`.
        confidence: that all deviations hold together, within (0, 1).
        reach: half an interval's width in deviations, > 0.

    Raises:
        ContextError: on grids that are empty, of different length or not finite.
        ConfigError: on a setting out of its range.

    Example:
        >>> slope(np.array([0.30, 0.52, 0.50]), np.array([0.01, 0.03, 0.20])).index
        1
    """
    check_confidence(confidence)
    check_range("reach", reach, low=0, low_open=True)
    value, error = (np.asarray(some, dtype=np.float64) for some in (values, errors))
    if value.ndim != 1 or not value.size or value.shape != error.shape:
        raise ContextError(
            f"a grid needs as many errors as values, got {list(value.shape)}, {list(error.shape)}"
        )
    if not (np.isfinite(value).all() and np.isfinite(error).all() and (error >= 0).all()):
        raise ContextError(f"a grid must be finite with errors >= 0, got {value} and {error}")
    half = reach * special.ndtri(1 - (1 - confidence) / (2 * value.size)) * error
    accepted, passed_over = np.zeros((2, value.size), dtype=np.bool_)
    low, high, least, index = -np.inf, np.inf, np.inf, value.size - 1
    for i in range(value.size - 1, -1, -1):
        if error[i] > least:
            passed_over[i] = True
            continue
        some = max(low, value[i] - half[i]), min(high, value[i] + half[i])
        if some[0] > some[1]:
            break
        low, high = some
        least, index = error[i], i
        accepted[i] = True
    return SlopeChoice(index, float(value[index]), float(low), float(high), accepted, passed_over)
