"""Estimators without hyper-parameters as functions of the columns' means, with their gradients.

With means `u`, `x`, `e`, `y` of one slot (see `row_columns`):

| name | value | source, for weights of the slot alone |
|---|---|---|
| `ips` | x | Horvitz and Thompson 1952; Strehl et al. 2010 |
| `snips` | x / u | Hajek 1971; Swaminathan and Joachims 2015 |
| `dm` | e | Beygelzimer and Langford 2009 |
| `dr` | e + y | Dudik, Langford and Li 2011 |
| `sndr` | e / a + y / u | Robins et al. 2007; Thomas and Brunskill 2016 |
| `replay` | x / u | Li et al. 2011, on uniform logs alone |
| `mips` | x | Saito and Joachims 2022, weights `marginal` |

`a` is the mean weight of the slots above, 1 unless weights are `cascade`. Replay averages the
rewards of the rows on which the target would have shown the logged item, each counted with that
probability; where the log is uniform this is SNIPS, as weights are in proportion.

The value of a page is the sum over its slots. By the delta method the variance of a smooth function
of means is `g' C g / n` with its gradient `g` and the covariance `C` of the columns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from matinee_platform.ope.row_columns import E, U, Weights, X, Y
from matinee_policies.arrays import FloatArray

WITHOUT_MODEL = ("ips", "snips")
WITH_MODEL = ("dm", "dr", "sndr")


def estimator_names(weights: Weights, *, model: bool) -> tuple[str, ...]:
    """Estimators that the weights allow.

    Args:
        weights: of the slots.
        model: whether there are predictions.
    """
    if weights == "marginal":
        return ("mips", "snmips")
    if weights == "slate":
        return WITHOUT_MODEL
    if weights == "cascade":
        return (*WITHOUT_MODEL, "dr", "sndr") if model else WITHOUT_MODEL
    names = (*WITHOUT_MODEL, *WITH_MODEL) if model else WITHOUT_MODEL
    return (*names, "replay")


@dataclass(frozen=True, slots=True)
class Gradient:
    """Values by slot, and how each changes with the means.

    Attributes:
        values: `float64 [L]`.
        slopes: by value, column and slot, `float64 [L, 4, L]`.
    """

    values: FloatArray
    slopes: FloatArray


def slot_values(name: str, means: FloatArray, *, weights: Weights) -> FloatArray:
    """Values of an estimator by slot; NaN or infinite where its weights are all 0.

    Args:
        name: of the estimator.
        means: of the columns u, x, e, y, `float64 [4, L]` or `[4, L, ...]`, of anything replicated.
        weights: of the slots.

    Returns:
        `float64 [L]` or `[L, ...]`.

    Example:
        >>> slot_values("snips", np.array([[0.5], [0.2], [0.0], [0.0]]), weights="slot").tolist()
        [0.4]
    """
    return _VALUES[name](means, _above(means, weights))


def slot_gradient(name: str, means: FloatArray, *, weights: Weights) -> Gradient:
    """Values with the gradient, for the delta method.

    Args:
        name: of the estimator.
        means: `float64 [4, L]`.
        weights: of the slots.
    """
    slots = np.arange(means.shape[1])
    slopes = np.zeros((slots.size, 4, slots.size))
    u, _, e, y = means
    above = _above(means, weights)
    values = slot_values(name, means, weights=weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        if name in ("ips", "mips"):
            slopes[slots, X, slots] = 1.0
        elif name in ("snips", "replay", "snmips"):
            slopes[slots, X, slots] = 1.0 / u
            slopes[slots, U, slots] = -values / u
        elif name in ("dm", "dr"):
            slopes[slots, E, slots] = 1.0
            slopes[slots, Y, slots] = 1.0 if name == "dr" else 0.0
        else:
            slopes[slots, E, slots] = 1.0 / above
            slopes[slots, Y, slots] = 1.0 / u
            slopes[slots, U, slots] = -y / u**2
            if weights == "cascade":
                slopes[slots[1:], U, slots[:-1]] += -e[1:] / above[1:] ** 2
    return Gradient(values, slopes)


def _above(means: FloatArray, weights: Weights) -> FloatArray:
    """Mean weight of the slots above each."""
    above: FloatArray = np.ones_like(means[U])
    if weights == "cascade":
        above[1:] = means[U, :-1]
    return above


def _ratio(over: FloatArray, under: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: FloatArray = over / under
    return ratio


_VALUES: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "ips": lambda m, a: m[X],
    "mips": lambda m, a: m[X],
    "snips": lambda m, a: _ratio(m[X], m[U]),
    "snmips": lambda m, a: _ratio(m[X], m[U]),
    "replay": lambda m, a: _ratio(m[X], m[U]),
    "dm": lambda m, a: m[E],
    "dr": lambda m, a: m[E] + m[Y],
    "sndr": lambda m, a: _ratio(m[E], a) + _ratio(m[Y], m[U]),
}
