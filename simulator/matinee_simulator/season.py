"""The season: a term of the day of the week in the probability of a visit.

    season_t = A cos(2 pi (weekday(t) - peak) / 7)

It sums to zero over a week. Day 0 is a Wednesday, 1 January 2020 (`history.RUN_START`).
"""

import math

from matinee_policies.compiled import lean_kernel

_WEEK = 7
_FIRST_WEEKDAY = 2


@lean_kernel
def season_term(amplitude: float, peak: float, day: int) -> float:
    """Logit that the season adds on a day.

    Args:
        amplitude: A, the term of the peak day.
        peak: day of the week with the largest term, 0 for Monday to 6 for Sunday.
        day: day of the run, >= 0.
    """
    if amplitude == 0.0:
        return 0.0
    weekday = (day + _FIRST_WEEKDAY) % _WEEK
    return amplitude * math.cos(2.0 * math.pi * (weekday - peak) / _WEEK)


def season_reference(amplitude: float, peak: float, day: int) -> float:
    """Plain twin of `season_term`."""
    return amplitude * math.cos(math.tau * (day + _FIRST_WEEKDAY - peak) / _WEEK)
