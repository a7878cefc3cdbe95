"""What a day's slots would earn if users responded as before, and how far they depart from it.

Who still comes, how often and how sated, and what a policy shows, change from day to day without
any drift. So a slot's reward y is compared with what slots with the same features earned on earlier
days: z'theta, z being the features and their squares, theta least squares over all days before.
For a figure (all items, or a genre, whose items count by their share of it) the mean residual m of
the day is compared with the level M of the days since the figure last changed, both under that
theta:

    x = (m - M) / sqrt(s^2 + S^2 + d'Vd)

s and S are the standard errors of m and M over users, d is by how much the mean of z moved, and V
the covariance of theta (the sandwich of Liang and Zeger 1986, "Longitudinal data analysis using
generalized linear models", with users of a day as clusters). Without drift x is about standard
normal. An s below what days of that size had so far is taken to be that: where clicks are few, a
day without any looks surer than it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from matinee_platform.analysis.shown_slots import ShownSlots
from matinee_policies.arrays import AnyArray, BoolArray, Float32Array, FloatArray

_RIDGE = 1.0
"""As much as one slot: it keeps least squares solvable and otherwise does nothing."""

_AT_ONCE = 16_384
"""Slots whose terms are in memory at once."""


@dataclass(frozen=True, slots=True)
class Departures:
    """How far the figures of one day depart from their levels, NaN where there is none.

    Attributes:
        gap: mean residual of the day less that of its level, in value units, `float64 [C]`.
        error: standard error of the day's mean over users, `float64 [C]`.
        departure: the gap in its own standard errors, `float64 [C]`.
    """

    gap: FloatArray
    error: FloatArray
    departure: FloatArray


def terms(features: Float32Array) -> FloatArray:
    """Features `[r, d]`, the first of which is the constant 1, and the squares of the others.

    Returns:
        `float64 [r, 2 d - 1]`.
    """
    wide = features.astype(np.float64)
    return np.concatenate([wide, wide[:, 1:] ** 2], axis=1)


class ExpectedReward:
    """The regression over all days so far, and the level of each figure.

    Args:
        features: d.
        genres: G; there are 1 + G figures, the first of which is over all items.
    """

    def __init__(self, *, features: int, genres: int) -> None:
        width = 2 * features - 1
        self._fit = _Fit(_RIDGE * np.eye(width), np.zeros(width))
        self._spread = np.zeros((width, width))
        self._level = _Level.empty(1 + genres, width)
        self._last = self._level
        self._started = False

    def take(self, slots: ShownSlots) -> Departures:
        """Tell how a day departs from the days before, and learn it."""
        fit, own = _summed(slots)
        theta = (self._fit if self._started else self._fit.plus(fit)).coefficients()
        variance, spread = _errors(slots, theta, own)
        day = _Level(own.size, own.reward, own.terms, own.size**2 * variance)
        found = self._departures(day, theta)
        self._fit = self._fit.plus(fit)
        self._spread = self._spread + spread
        self._level = self._level.plus(day)
        self._last, self._started = day, True
        return found

    def restart(self, figures: BoolArray) -> None:
        """Let the levels of some figures, `bool [C]`, start anew with the day taken last."""
        self._level = self._level.where(~figures, self._last)

    def _departures(self, day: "_Level", theta: FloatArray) -> Departures:
        level = self._level
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = day.residual(theta) - level.residual(theta)
            own = day.squares / day.size**2
            usual = level.squares / (level.size * day.size)
            inverse = np.linalg.inv(self._fit.gram)
            covariance = inverse @ self._spread @ inverse
            moved = day.terms / day.size[:, None] - level.terms / level.size[:, None]
            from_theta = ((moved @ covariance) * moved).sum(axis=1)
            variance = np.maximum(own, usual) + level.squares / level.size**2 + from_theta
            known = (level.size > 0.0) & (own > 0.0)
            departure = gap / np.sqrt(variance)
            error = np.sqrt(own)
        return Departures(*(np.where(known, one, np.nan) for one in (gap, error, departure)))


@dataclass(frozen=True, slots=True)
class _Fit:
    """Normal equations of a regression: `gram` is `[p, p]`, `moment` is `[p]`."""

    gram: FloatArray
    moment: FloatArray

    def plus(self, other: "_Fit") -> "_Fit":
        return _Fit(self.gram + other.gram, self.moment + other.moment)

    def coefficients(self) -> FloatArray:
        found: FloatArray = np.linalg.solve(self.gram, self.moment).astype(np.float64, copy=False)
        return found


@dataclass(frozen=True, slots=True)
class _Level:
    """Sums over some days by figure, from which its mean residual follows under any coefficients.

    Attributes:
        size: slots, an item's shared by its genres, `float64 [C]`.
        reward: `float64 [C]`.
        terms: `float64 [C, p]`.
        squares: sum over days of the squared (size times standard error), `float64 [C]`.
    """

    size: FloatArray
    reward: FloatArray
    terms: FloatArray
    squares: FloatArray

    @classmethod
    def empty(cls, figures: int, width: int) -> "_Level":
        none = np.zeros(figures)
        return cls(none, none, np.zeros((figures, width)), none)

    def plus(self, other: "_Level") -> "_Level":
        return _Level(
            self.size + other.size,
            self.reward + other.reward,
            self.terms + other.terms,
            self.squares + other.squares,
        )

    def where(self, kept: BoolArray, other: "_Level") -> "_Level":
        """Its own figures where `kept`, else those of the other."""
        return _Level(
            np.where(kept, self.size, other.size),
            np.where(kept, self.reward, other.reward),
            np.where(kept[:, None], self.terms, other.terms),
            np.where(kept, self.squares, other.squares),
        )

    def residual(self, theta: FloatArray) -> FloatArray:
        found: FloatArray = (self.reward - (self.terms * theta).sum(axis=1)) / self.size
        return found


def _blocks(slots: ShownSlots) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
    """Places, terms and shares (1 for all items, then genres) of some slots at a time."""
    for start in range(0, len(slots), _AT_ONCE):
        here = slice(start, start + _AT_ONCE)
        share = np.ones((slots.genres[here].shape[0], 1 + slots.genres.shape[1]))
        share[:, 1:] = slots.genres[here]
        yield here, terms(slots.features[here]), share


def _summed(slots: ShownSlots) -> tuple[_Fit, _Level]:
    """Normal equations of a day, and its sums by figure; their squares are not known yet."""
    width = 2 * slots.features.shape[1] - 1
    gram, moment = np.zeros((width, width)), np.zeros(width)
    size, reward = np.zeros(1 + slots.genres.shape[1]), np.zeros(1 + slots.genres.shape[1])
    means = np.zeros((size.size, width))
    for here, z, share in _blocks(slots):
        y = slots.rewards[here]
        gram += z.T @ z
        moment += z.T @ y
        size += share.sum(axis=0)
        reward += share.T @ y
        means += share.T @ z
    return _Fit(gram, moment), _Level(size, reward, means, np.zeros(size.size))


def _errors(slots: ShownSlots, theta: FloatArray, day: _Level) -> tuple[FloatArray, FloatArray]:
    """Squared standard errors of the mean residuals over users, and the middle of the sandwich.

    Returns:
        `float64 [C]`, 0 for fewer than two users, and `float64 [p, p]`.
    """
    users, place = np.unique(slots.units, return_inverse=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(day.size > 0.0, day.residual(theta), 0.0)
    gaps, scores = np.zeros((users.size, day.size.size)), np.zeros((users.size, theta.size))
    for here, z, share in _blocks(slots):
        residual = slots.rewards[here] - (z * theta).sum(axis=1)
        by_user = _by_user(place[here], users.size)
        gaps += by_user @ (share * (residual[:, None] - mean))
        scores += by_user @ (z * residual[:, None])
    factor = users.size / max(users.size - 1, 1) if users.size > 1 else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(day.size > 0.0, factor * (gaps**2).sum(axis=0) / day.size**2, 0.0)
    return variance, scores.T @ scores


def _by_user(place: AnyArray, users: int) -> csr_array:
    """The matrix that sums rows by user, `[users, rows]`."""
    rows = np.arange(place.size)
    return csr_array((np.ones(place.size), (place, rows)), shape=(users, place.size))
