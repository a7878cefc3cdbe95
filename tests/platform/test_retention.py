"""Retention: maturity by exposure, a reader's example, a plain loop and statsmodels as oracles."""

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

from matinee_platform.analysis.retention import (
    UnitValues,
    classic,
    rate_of,
    retention_curve,
    smoothed,
    wilson_interval,
    within,
)
from matinee_platform.analysis.unit_table import UnitTable
from matinee_policies.arrays import BoolArray
from matinee_policies.errors import ConfigError


def table_of(active: BoolArray) -> UnitTable:
    zeros = np.zeros(active.shape[0], dtype=np.int64)
    units = np.arange(active.shape[0], dtype=np.uint64) + np.uint64(100)
    return UnitTable(units, active, zeros, zeros, zeros, zeros.astype(np.float64))


def visits(*days: str) -> UnitTable:
    """One text per unit, `x` for a day with a visit."""
    return table_of(np.array([[sign == "x" for sign in unit] for unit in days]))


def random_table(units: int, days: int, seed: int, *, rate: float = 0.3) -> UnitTable:
    rng = np.random.default_rng(seed)
    active = rng.random((units, days)) < rate
    active[np.arange(units), rng.integers(0, days, size=units)] = True
    return table_of(active)


def by_unit(metric: UnitValues) -> dict[int, float]:
    return dict(zip(metric.unit.tolist(), metric.values.tolist(), strict=True))


EXAMPLE = visits(
    "xx.....x",  # back on days 1 and 7
    "x.......",  # never back: stays in every denominator
    ".x.....x",  # back on day 6; day 7 is not over yet
    "......xx",  # back on day 1
    ".......x",  # too new for any rate
)


def test_classic_by_hand() -> None:
    day_1 = rate_of(classic(EXAMPLE, 1), exposed=5)
    assert (day_1.returned, day_1.eligible, day_1.rate, day_1.matured) == (2, 4, 0.5, 0.8)
    day_7 = rate_of(classic(EXAMPLE, 7), exposed=5)
    assert (day_7.returned, day_7.eligible, day_7.rate, day_7.matured) == (1, 2, 0.5, 0.4)
    assert classic(EXAMPLE, 7).unit.tolist() == [100, 101]


def test_within_by_hand() -> None:
    assert within(EXAMPLE, 6).values.tolist() == [1.0, 0.0, 1.0]
    assert within(EXAMPLE, 7).values.tolist() == [1.0, 0.0]


def test_smoothed_by_hand() -> None:
    found = smoothed(EXAMPLE, first=5, last=7)
    assert found.unit.tolist() == [100, 101]
    np.testing.assert_allclose(found.values, [1 / 3, 0.0])


def test_nothing_has_matured() -> None:
    rate = rate_of(classic(EXAMPLE, 28), exposed=5)
    assert (rate.returned, rate.eligible, rate.matured) == (0, 0, 0.0)
    assert math.isnan(rate.rate)
    none = rate_of(UnitValues(np.zeros(0, dtype=np.uint64), np.zeros(0)), exposed=0)
    assert math.isnan(none.matured)


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_plain_loop(seed: int) -> None:
    table = random_table(60, 34, seed)
    for day in (1, 7, 28):
        expected: dict[str, dict[int, float]] = {"classic": {}, "within": {}, "smoothed": {}}
        for unit, visited in zip(table.unit.tolist(), table.active.tolist(), strict=True):
            after = visited[visited.index(True) :]
            if len(after) > day:
                expected["classic"][unit] = float(after[day])
                expected["within"][unit] = float(any(after[1 : day + 1]))
            if len(after) > day + 1:
                expected["smoothed"][unit] = sum(after[day - 1 : day + 2]) / 3
        found = {
            "classic": classic(table, day),
            "within": within(table, day),
            "smoothed": smoothed(table, first=day - 1, last=day + 1),
        }
        for name, metric in found.items():
            assert by_unit(metric) == pytest.approx(expected[name])


def test_a_longer_run_adds_units_and_changes_none() -> None:
    table = random_table(200, 40, 9, rate=0.03)
    seen = table.active[:, :30].any(axis=1)
    early = by_unit(classic(table_of(table.active[seen, :30]), 7))
    late = by_unit(classic(table_of(table.active[seen]), 7))
    assert early.items() <= late.items()
    assert len(early) < len(late)


def test_curve_joins_the_classic_rates() -> None:
    table = random_table(80, 20, 4)
    curve = retention_curve(table)
    assert curve.day.tolist() == list(range(curve.day.size))
    assert curve.rate[0] == 1.0
    assert (np.diff(curve.eligible) <= 0).all()
    for day in (1, 5, int(curve.day[-1])):
        rate = rate_of(classic(table, day), exposed=80)
        assert (curve.rate[day], curve.eligible[day]) == (rate.rate, rate.eligible)
    assert classic(table, int(curve.day[-1]) + 1).unit.size == 0


def test_curve_without_units_is_empty() -> None:
    assert retention_curve(table_of(np.zeros((0, 5), dtype=np.bool_))).day.size == 0


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_wilson_interval_equals_statsmodels(confidence: float) -> None:
    successes, trials = np.array([0.0, 1, 5, 10, 700]), np.array([10, 10, 10, 10, 1000])
    low, high = proportion_confint(successes, trials, alpha=1 - confidence, method="wilson")
    found = wilson_interval(successes, trials, confidence=confidence)
    np.testing.assert_allclose(found, (low, high), atol=1e-12)


def test_bad_days_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be >= 0, got -1"):
        classic(EXAMPLE, -1)
    with pytest.raises(ConfigError, match="must be >= 1, got 0"):
        within(EXAMPLE, 0)
    with pytest.raises(ConfigError, match="must be >= 29, got 27"):
        smoothed(EXAMPLE, first=29, last=27)
