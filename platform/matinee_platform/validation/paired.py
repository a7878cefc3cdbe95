"""Differences between rankers on the same users, over several populations."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from matinee_policies.arrays import FloatArray
from matinee_simulator.rollout import Played

PerUser = Callable[[Played], FloatArray]


class Gap(NamedTuple):
    """A difference of means with its standard error.

    Attributes:
        first: mean of the first.
        second: mean of the second.
        error: standard error of first minus second, paired by user.
    """

    first: float
    second: float
    error: float

    @property
    def difference(self) -> float:
        """First minus second."""
        return self.first - self.second

    @property
    def clear(self) -> float:
        """The difference in its standard errors; NaN without error."""
        return self.difference / self.error if self.error > 0 else float("nan")

    def p_value(self, *, above: bool) -> float:
        """One-sided, by the normal law: how likely if the first were not above (or below)."""
        return float(ndtr(-self.clear if above else self.clear))


def gap(first: Sequence[Played], second: Sequence[Played], value: PerUser) -> Gap:
    """Difference of a mean over all users of all populations.

    Args:
        first: one rollout per population.
        second: of the same populations.
        value: one number per user, NaN where it is not known.
    """
    one = np.concatenate([value(played) for played in first])
    other = np.concatenate([value(played) for played in second])
    known = ~(np.isnan(one) | np.isnan(other))
    return _gap(one[known], other[known])


def ctr_gap(first: Sequence[Played], second: Sequence[Played]) -> Gap:
    """Difference of clicks per item shown, by the delta method, paired by user."""
    one, other = _linearised(first), _linearised(second)
    return _gap(one, other)


def clicks(played: Played) -> FloatArray:
    """Clicks of each user."""
    return played.user_clicks.astype(np.float64)


def sessions(played: Played) -> FloatArray:
    """Sessions of each user."""
    return played.user_sessions.astype(np.float64)


def day_28(played: Played) -> FloatArray:
    """Share of days 27 to 29 on which each user came."""
    return played.smoothed_on(28)


def _gap(one: FloatArray, other: FloatArray) -> Gap:
    error = float((one - other).std(ddof=1)) / np.sqrt(one.size)
    return Gap(float(one.mean()), float(other.mean()), float(error))


def _linearised(runs: Sequence[Played]) -> FloatArray:
    """One number per user whose mean is the ratio and whose spread is that of its error."""
    clicked = np.concatenate([clicks(played) for played in runs])
    shown = np.concatenate([played.user_impressions.astype(np.float64) for played in runs])
    ratio = clicked.sum() / shown.sum()
    return np.asarray(ratio + (clicked - ratio * shown) / shown.mean())
