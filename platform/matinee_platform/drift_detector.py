"""Detect a change in the level of a daily figure: Page-Hinkley over standardised departures.

A day's figure m with standard error s is compared with the level so far: the mean M of the days
since the last alarm, weighted by their sizes, with the standard error S,

    x = (m - M) / sqrt(s^2 + S^2)

which is about standard normal as long as nothing changes, whatever the figure is and however the
number of users moves. An s below what days of that size had so far is taken to be that: where
clicks are few, a day without any looks surer than it is. The test of Page and Hinkley (Page 1954,
"Continuous inspection schemes"; Hinkley 1971, "Inference about the change-point from cumulative sum
tests") runs over x, on both sides. It is river's (https://riverml.xyz, BSD), which no other module
imports.

Everything is a function of the figures, day by day: a run that was interrupted gives the same.
"""

import math
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import BoolArray, FloatArray
from matinee_policies.config import Config, check_range, check_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftConfig(Config):
    """Parameters of the detection of drift."""

    settle_days: int = 7
    """First days of a run, in which users arrive and policies learn, that are not looked at."""

    allowance: float = 0.5
    """Departure per day, in standard errors, that is never counted; half of the smallest that
    should be found. At least 0."""

    threshold: float = 8.0
    """Sum of departures beyond the allowance, in standard errors, that raises the alarm, for the
    figure over all items; above 0."""

    genre_threshold: float = 10.0
    """The same for the figure of each genre, of which there are many; above 0."""

    least_days: int = 3
    """Days with a level to compare with before an alarm, at least 1."""

    def __post_init__(self) -> None:
        check_whole("settle_days", self.settle_days, low=0)
        check_range("allowance", self.allowance, low=0)
        check_range("threshold", self.threshold, low=0, low_open=True)
        check_range("genre_threshold", self.genre_threshold, low=0, low_open=True)
        check_whole("least_days", self.least_days, low=1)


@dataclass(frozen=True, slots=True)
class Detected:
    """What was found in a figure of `n` days.

    Attributes:
        departure: x of each day, NaN where there is nothing to compare, `float64 [n]`.
        alarm: days on which the alarm was raised, `bool [n]`.
    """

    departure: FloatArray
    alarm: BoolArray


def detect(
    mean: FloatArray, error: FloatArray, size: FloatArray, *, config: DriftConfig, threshold: float
) -> Detected:
    """Look for changes in the level of a daily figure.

    Args:
        mean: of each day, NaN where there is none, `float64 [n]`.
        error: its standard error, `float64 [n]`.
        size: what it is the mean of, in units or slots, `float64 [n]`.
        config: settle and least days, allowance.
        threshold: sum of departures that raises the alarm.

    Example:
        >>> mean = np.repeat([0.0, 3.0], 20)
        >>> found = detect(
        ...     mean, np.ones(40), np.ones(40), config=DriftConfig(settle_days=0), threshold=6.0
        ... )
        >>> np.flatnonzero(found.alarm).tolist()
        [22]
    """
    # Loading river takes a second, which commands that look for nothing need not wait.
    from river.drift import PageHinkley

    def new() -> PageHinkley:
        return PageHinkley(
            min_instances=config.least_days,
            delta=config.allowance,
            threshold=threshold,
            alpha=1.0,
            mode="both",
        )

    departure = np.full(mean.size, np.nan)
    alarm = np.zeros(mean.size, dtype=np.bool_)
    level, test = _Level(), new()
    for day in range(config.settle_days, mean.size):
        if not (math.isfinite(mean[day]) and error[day] > 0.0):
            continue
        if level.size > 0.0:
            departure[day] = level.departure(mean[day], error[day], size[day])
            test.update(float(departure[day]))  # type: ignore[no-untyped-call]
            alarm[day] = test.drift_detected
        if alarm[day]:
            level, test = _Level(), new()
        level.add(mean[day], error[day], size[day])
    return Detected(departure, alarm)


def page_hinkley_reference(
    values: FloatArray, *, allowance: float, threshold: float, least: int
) -> int:
    """The first place at which the test of Page and Hinkley raises the alarm, -1 for none.

    With the running mean x_n of values x_1 .. x_n, the sums of x_i - x_i_mean - allowance and of
    x_i - x_i_mean + allowance are compared with their smallest and largest so far: the twin of
    what river computes.
    """
    up = down = total = 0.0
    lowest, highest = math.inf, -math.inf
    for place, value in enumerate(values.tolist()):
        total += value
        gap = value - total / (place + 1)
        up, down = up + gap - allowance, down + gap + allowance
        lowest, highest = min(lowest, up), max(highest, down)
        if place + 1 >= least and max(up - lowest, highest - down) > threshold:
            return place
    return -1


@dataclass(slots=True)
class _Level:
    """The mean of some days, weighted by size, and its standard error."""

    size: float = 0.0
    total: float = 0.0
    variance: float = 0.0

    def add(self, mean: float, error: float, size: float) -> None:
        self.size += size
        self.total += size * mean
        self.variance += (size * error) ** 2

    def departure(self, mean: float, error: float, size: float) -> float:
        own = math.sqrt(self.variance) / self.size
        # A day on which few users did nothing has an error near 0; it is no surer than the others.
        usual = self.variance / (self.size * size)
        return (mean - self.total / self.size) / math.sqrt(max(error**2, usual) + own**2)
