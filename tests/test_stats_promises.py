"""The statistical promises in their quick form: small sizes, bars widened by four errors."""

from collections.abc import Callable

import pytest

from promises import Promise
from stats import (
    any_time,
    coverage,
    fair_arms,
    false_alarms,
    lost_exposure,
    ope_intervals,
    stated_power,
)
from stats.effort import FULL, QUICK, Effort
from stats.made_up_units import made_up_log


def _broken(promises: list[Promise]) -> list[str]:
    assert promises
    return [f"{one.name}: {one.measured}" for one in promises if not one.kept]


@pytest.mark.parametrize(
    "measure",
    [
        coverage.measure,
        ope_intervals.measure,
        stated_power.measure,
        lost_exposure.measure,
        fair_arms.measure,
    ],
    ids=["S3", "S3-ope", "S4", "S5", "S6"],
)
def test_made_up_experiments_keep_the_promises(measure: Callable[[Effort], list[Promise]]) -> None:
    assert _broken(measure(QUICK)) == []


def test_a_log_assigned_anew_keeps_the_promises() -> None:
    log = made_up_log(1, units=QUICK.users)
    assert _broken(false_alarms.measure(log, QUICK)) == []
    found = any_time.measure(log, QUICK)
    assert _broken(found) == []
    # What the view replaces would be alarmed in vain, or nothing was shown.
    assert all(float(one.measured.split()[-1].rstrip("%")) > 15 for one in found)


def test_bars_are_the_promise_itself_in_the_full_form() -> None:
    assert FULL.at_most(0.05, 0.05, trials=1_000)
    assert not FULL.at_most(0.051, 0.05, trials=1_000)
    assert QUICK.at_most(0.1, 0.05, trials=100)
    assert not QUICK.at_least(0.6, 0.8, trials=100)
