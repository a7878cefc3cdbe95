"""A figure with its standard error over users."""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import FloatArray


class Estimate(NamedTuple):
    """A mean and its standard error.

    Attributes:
        value: the figure.
        error: its standard error over users, NaN for fewer than two.
    """

    value: float
    error: float


def mean_of(values: FloatArray) -> Estimate:
    """Mean of one number per user; NaN where there is none.

    Example:
        >>> mean_of(np.array([1.0, 3.0]))
        Estimate(value=2.0, error=1.0)
    """
    if not values.size:
        return Estimate(float("nan"), float("nan"))
    error = float(values.std(ddof=1)) / values.size**0.5 if values.size > 1 else float("nan")
    return Estimate(float(values.mean()), error)


def ratio_of(numerators: FloatArray, denominators: FloatArray) -> Estimate:
    """Sum over users divided by sum over users, its error by the delta method.

    Args:
        numerators: one number per user, `float64 [n]`.
        denominators: one number per user, `float64 [n]`.

    Example:
        >>> ratio_of(np.array([1.0, 2.0]), np.array([2.0, 4.0]))
        Estimate(value=0.5, error=0.0)
    """
    total = float(denominators.sum())
    if not total > 0.0:
        return Estimate(float("nan"), float("nan"))
    ratio = float(numerators.sum()) / total
    rest = mean_of(numerators - ratio * denominators)
    return Estimate(ratio, rest.error * denominators.size / total)


def paired_difference(first: FloatArray, second: FloatArray) -> Estimate:
    """Mean of `first` minus `second` over the users that both know, paired user by user.

    Args:
        first: one number per user, NaN where it is not known, `float64 [n]`.
        second: of the same users.
    """
    difference = np.asarray(first, dtype=np.float64) - second
    return mean_of(difference[~np.isnan(difference)])
