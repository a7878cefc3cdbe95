"""The day of the week in the probability of a visit."""

import datetime as dt
from collections.abc import Callable

import numpy as np
import pytest

from matinee_simulator.history import RUN_START
from matinee_simulator.season import season_reference, season_term
from matinee_simulator.simulation import Simulation

Build = Callable[..., Simulation]


@pytest.mark.parametrize("peak", range(7))
def test_terms_of_a_week_sum_to_zero_and_peak_on_their_day(peak: int) -> None:
    terms = [season_term(0.7, float(peak), day) for day in range(100, 107)]
    assert sum(terms) == pytest.approx(0.0, abs=1e-12)
    assert max(terms) == pytest.approx(0.7)
    start = dt.datetime.fromtimestamp(RUN_START, tz=dt.UTC)
    assert (start + dt.timedelta(days=100 + int(np.argmax(terms)))).weekday() == peak
    for day in range(30):
        twin = season_reference(0.7, float(peak), day)
        assert season_term(0.7, float(peak), day) == pytest.approx(twin, abs=1e-12)
        assert season_term(0.0, float(peak), day) == 0.0


def test_visits_follow_the_week(simulate: Build) -> None:
    """More visits on the peak day than four days later, no matter which day users arrived on."""
    n, changes = 3_000, {"arrival_days": 7, "churn_base": -50.0, "return_absence": 0.0}
    visits = np.zeros((2, 7))
    for row, amplitude in enumerate((0.0, 1.0)):
        simulation = simulate(n, season_amplitude=amplitude, season_peak=5, **changes)
        for day in range(35):
            units = simulation.begin_day(day)
            if day >= 7:
                visits[row, (day + 2) % 7] += units.size
            simulation.end_day()
    flat, waved = visits
    assert np.argmax(waved) == 5
    assert np.argmin(waved) in (1, 2)
    assert waved[5] > 1.5 * waved[1]
    assert abs(flat[5] - flat[1]) < 4 * np.sqrt(flat[5] + flat[1])
