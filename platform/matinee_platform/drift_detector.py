"""Detect a lasting change in daily figures: Page-Hinkley over standardised departures.

A departure tells how far a day's figure is from its level, in standard errors, and is about
standard normal as long as nothing changes (`analysis/expected_reward.py`). The test of Page and
Hinkley (Page 1954, "Continuous inspection schemes"; Hinkley 1971, "Inference about the change-point
from cumulative sum tests") runs over the departures of each figure, on both sides. It is river's
(https://riverml.xyz, BSD), which no other module imports.

Everything is a function of the departures, day by day: a run that was interrupted gives the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matinee_policies.arrays import BoolArray, FloatArray
from matinee_policies.config import Config, check_range, check_whole

if TYPE_CHECKING:
    from river.drift import PageHinkley


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftConfig(Config):
    """Parameters of the detection of drift."""

    settle_days: int = 7
    """First days of a run, in which users arrive, that are not looked at."""

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


class DriftTests:
    """One test for each figure, fed day by day; it starts anew after an alarm.

    Args:
        thresholds: sum of departures that raises the alarm, for each of the C figures.
        config: allowance, and days to compare before an alarm.

    Example:
        >>> tests = DriftTests([6.0], config=DriftConfig())
        >>> days = np.repeat([0.0, 3.0], 20)
        >>> [day for day, x in enumerate(days) if tests.take(np.array([x])).any()]
        [22]
    """

    def __init__(self, thresholds: Sequence[float], *, config: DriftConfig) -> None:
        self._thresholds = tuple(thresholds)
        self._config = config
        self._tests = [self._new(figure) for figure in range(len(self._thresholds))]

    def take(self, departures: FloatArray) -> BoolArray:
        """Take in a day, `float64 [C]`, NaN where there is nothing; tell alarms, `bool [C]`."""
        alarms = np.zeros(departures.size, dtype=np.bool_)
        for figure, departure in enumerate(departures.tolist()):
            if not math.isfinite(departure):
                continue
            test = self._tests[figure]
            test.update(departure)  # type: ignore[no-untyped-call]
            if test.drift_detected:
                alarms[figure] = True
                self._tests[figure] = self._new(figure)
        return alarms

    def _new(self, figure: int) -> "PageHinkley":
        # Loading river takes a second, which commands that look for nothing need not wait.
        from river.drift import PageHinkley

        return PageHinkley(
            min_instances=self._config.least_days,
            delta=self._config.allowance,
            threshold=self._thresholds[figure],
            alpha=1.0,
            mode="both",
        )


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
