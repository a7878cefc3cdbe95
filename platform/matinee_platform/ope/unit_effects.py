"""How much more a mean varies by unit than by row, where the mean weight is known to be 1.

The laws of the Cressie-Read interval have mean weight 1, so its width is that of the gain less what
weights explain of it. Much of a gain's variance is that of its weight, which rows of one unit do
not share; in what is left of it they may resemble each other far more.
"""

import numpy as np

from matinee_platform.ope.row_columns import E, U, Weights, X, Y
from matinee_platform.ope.unit_sums import UnitTotals, influence_error
from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.arrays import FloatArray

_NOTHING = 1e-9
"""Share of a square below which a variance is rounding."""


def rest_effect(sums: WeightedSums, *, gain: FloatArray, weight: FloatArray) -> float:
    """Variance by unit over that by rows of the mean gain less what weights explain, at least 1.

    Args:
        sums: of rows, or of pages.
        gain: what each group of units adds to the mean gain, `float64 [m]`.
        weight: to the mean weight, likewise.
    """
    n = float(sums.rows)
    means = np.array([sums.weight, sums.gain], dtype=np.float64) / n
    squares = np.array([sums.weight2, sums.weight_gain, sums.gain2], dtype=np.float64) / n
    # Of weights whose squares overflow nothing is told here: there is no value.
    with np.errstate(over="ignore", invalid="ignore"):
        variance = squares[0] - means[0] ** 2
        cross = squares[1] - means[0] * means[1]
        slope = cross / variance if variance > _NOTHING * squares[0] else 0.0
        rest = squares[2] - means[1] ** 2 - slope * cross
        error = influence_error(gain - slope * weight)
        if error is None or not rest > _NOTHING * squares[2] or not np.isfinite(error):
            return 1.0
        return max(1.0, float(error**2 * n / rest))


def gain_influence(units: UnitTotals, *, columns: tuple[int, ...], slot: int | None) -> FloatArray:
    """What each group adds to the mean of some columns, of one slot or of all, `float64 [m]`."""
    slopes = np.zeros((4, units.slots))
    slopes[list(columns), slice(None) if slot is None else slot] = 1.0
    return units.influence(slopes)


def weight_influence(units: UnitTotals, *, slot: int | None) -> FloatArray:
    """What each group adds to the mean weight of one slot, or of pages, `float64 [m]`."""
    slopes = np.zeros((4, units.slots))
    slopes[U, slice(None) if slot is None else slot] = 1.0 / (units.slots if slot is None else 1)
    return units.influence(slopes)


def term_influences(
    units: UnitTotals, *, weights: Weights, model: bool, current: UnitTotals | None
) -> tuple[FloatArray, FloatArray]:
    """What each group adds to a page's term and to its weight (`page_terms`), both `float64 [m]`.

    Args:
        units: of the weights of the term.
        weights: `"slot"` or `"cascade"`.
        model: whether the term has predictions.
        current: of the policy that logged, for differences from it; None for values.
    """
    gain = gain_influence(units, columns=(E, Y) if model else (X,), slot=None)
    slopes = np.zeros((4, units.slots))
    slopes[U] = 1.0 / units.slots
    if model and weights == "cascade":
        # Half of it is the mean of the weights above each slot, of which the first is 1.
        slopes[U, -1] /= 2.0
    weight = units.influence(slopes)
    if current is None:
        return gain, weight
    return gain - gain_influence(current, columns=(X,), slot=None), weight / 2.0
