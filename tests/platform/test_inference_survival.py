"""Survival by day: lifelines, statsmodels and definitions as oracles, coverage by simulation."""

import math

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight, survdiff  # type: ignore[import-untyped]

from matinee_platform.analysis.inference.kaplan_meier import kaplan_meier
from matinee_platform.analysis.inference.life_table import LifeTable
from matinee_platform.analysis.inference.log_rank import log_rank
from matinee_platform.analysis.inference.restricted_mean import (
    restricted_mean,
    restricted_mean_difference,
)
from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ConfigError, ContextError

TREATMENT = LifeTable(np.array([0, 9, 0, 14, 6, 5, 0, 4]), np.array([0, 2, 3, 0, 1, 5, 20, 31]))
CONTROL = LifeTable(np.array([0, 15, 8, 11, 9, 7, 2, 3]), np.array([0, 1, 0, 4, 2, 6, 18, 14]))

# Printed by benchmarks/peers/lifelines_survival.py with lifelines 0.30.3, of the tables above.
SURVIVAL = {
    "treatment": [
        *(1.0, 0.9099999999999994, 0.9099999999999994, 0.7618604651162788),
        *(0.6983720930232553, 0.6446511627906972, 0.6446511627906972, 0.5709767441860463),
    ],
    "control": [
        *(1.0, 0.8499999999999998, 0.7690476190476191, 0.657738095238095),
        *(0.560694769711163, 0.4821975019516002, 0.4561327721163786, 0.3756387535076058),
    ],
}
LOW = {
    "treatment": [
        *(1.0, 0.8341843405610065, 0.8341843405610065, 0.6635365628683243),
        *(0.5956795980299573, 0.5397078876239413, 0.5397078876239413, 0.45485615979894545),
    ],
    "control": [
        *(1.0, 0.7635875578354097, 0.673209287806311, 0.5554958804114684),
        *(0.4563240991048813, 0.37869861816692935, 0.35269627399159265, 0.259809334267081),
    ],
}
HIGH = {
    "treatment": [
        *(1.0, 0.9521246117319925, 0.9521246117319925, 0.8349673886356838),
        *(0.7797480985712071, 0.7315752039910957, 0.7315752039910957, 0.6712173603802677),
    ],
    "control": [
        *(1.0, 0.9067191275528408, 0.8400667660686683, 0.741890622641884),
        *(0.6526719056460943, 0.5781581268860557, 0.5536294940913956, 0.49100726351618407),
    ],
}
RESTRICTED_MEAN = {"treatment": 4.92488372093023, "control": 4.319677985948477}
LOG_RANK = (7.310775205699687, 0.0068542351830920495)


@pytest.mark.parametrize(("name", "table"), [("treatment", TREATMENT), ("control", CONTROL)])
def test_curves_equal_lifelines(name: str, table: LifeTable) -> None:
    curve = kaplan_meier(table)
    np.testing.assert_allclose(curve.survival, SURVIVAL[name], rtol=1e-9)
    np.testing.assert_allclose(curve.low, LOW[name], rtol=1e-9)
    np.testing.assert_allclose(curve.high, HIGH[name], rtol=1e-9)
    mean, _ = restricted_mean(table, horizon=6)
    assert mean == pytest.approx(RESTRICTED_MEAN[name], rel=1e-9)


def test_log_rank_equals_lifelines() -> None:
    for found in (log_rank(TREATMENT, CONTROL), log_rank(CONTROL, TREATMENT)):
        assert (found.statistic, found.p_value) == pytest.approx(LOG_RANK, rel=1e-9)


def made_up(seed: int, *, n: int, leaving: float) -> tuple[AnyArray, AnyArray]:
    """Days until a unit leaves or its data end, and whether it left."""
    rng = np.random.default_rng(seed)
    leave, end = rng.geometric(leaving, size=n), rng.integers(0, 30, size=n)
    return np.minimum(leave, end), leave <= end


@pytest.mark.parametrize("seed", range(3))
def test_variances_and_log_rank_equal_statsmodels(seed: int) -> None:
    samples = [made_up(seed, n=80, leaving=0.1), made_up(seed + 100, n=50, leaving=0.15)]
    tables = [LifeTable.of(*sample) for sample in samples]
    for (days, left), table in zip(samples, tables, strict=True):
        curve = kaplan_meier(table)
        peer = SurvfuncRight(days.astype(float), left.astype(int))
        at = peer.surv_times.astype(int)
        np.testing.assert_array_equal(curve.at_risk[at], peer.n_risk)
        np.testing.assert_allclose(curve.survival[at], peer.surv_prob, rtol=1e-9)
        left_over = peer.surv_prob > 0
        np.testing.assert_allclose(
            np.sqrt(curve.variance[at])[left_over], peer.surv_prob_se[left_over], rtol=1e-9
        )
    statistic, p_value = survdiff(
        np.concatenate([days for days, _ in samples]).astype(float),
        np.concatenate([left for _, left in samples]).astype(int),
        np.repeat([0, 1], [80, 50]),
    )
    found = log_rank(*tables)
    assert (found.statistic, found.p_value) == pytest.approx((statistic, p_value), rel=1e-9)


@pytest.mark.parametrize("horizon", [1, 7, 28, 60])
def test_without_censoring_it_is_the_mean_of_days_cut_off(horizon: int) -> None:
    days = np.random.default_rng(51).geometric(0.08, size=400)
    table = LifeTable.of(days, np.ones(400, dtype=bool))
    mean, variance = restricted_mean(table, horizon=horizon)
    cut = np.minimum(days, horizon)
    assert mean == pytest.approx(cut.mean(), rel=1e-9)
    assert variance == pytest.approx(cut.var() / 400, rel=1e-9)
    curve = kaplan_meier(table)
    for day in (0, 5, 20):
        share = (days > day).mean()
        assert curve.survival[day] == pytest.approx(share, rel=1e-9)
        assert curve.variance[day] == pytest.approx(share * (1 - share) / 400, rel=1e-9)


def test_restricted_means_cover_the_truth_with_units_under_way() -> None:
    horizon, runs, covered, alarms = 14, 1_000, 0, 0
    means = {leaving: sum((1 - leaving) ** k for k in range(horizon)) for leaving in (0.08, 0.1)}
    for seed in range(runs):
        treatment = LifeTable.of(*made_up(seed, n=400, leaving=0.08))
        control = LifeTable.of(*made_up(seed + runs, n=300, leaving=0.1))
        found = restricted_mean_difference(treatment, control, horizon=horizon)
        covered += found.low < means[0.08] - means[0.1] < found.high
        same = LifeTable.of(*made_up(seed + 2 * runs, n=300, leaving=0.1))
        alarms += log_rank(same, control).p_value < 0.05
    assert abs(covered / runs - 0.95) < 4 * math.sqrt(0.95 * 0.05 / runs)
    assert abs(alarms / runs - 0.05) < 4 * math.sqrt(0.95 * 0.05 / runs)


def test_a_difference_of_restricted_means_is_normal() -> None:
    (first, part), (second, other) = (
        restricted_mean(table, horizon=6) for table in (TREATMENT, CONTROL)
    )
    found = restricted_mean_difference(TREATMENT, CONTROL, horizon=6)
    error = math.sqrt(part + other)
    assert found.difference == pytest.approx(first - second, rel=1e-12)
    assert found.high - found.low == pytest.approx(2 * 1.959963984540054 * error, rel=1e-9)
    assert found.p_value == pytest.approx(math.erfc((first - second) / error / math.sqrt(2)))
    assert found.relative_low < found.relative < found.relative_high


def test_what_was_not_followed_has_no_value() -> None:
    mean, variance = restricted_mean(CONTROL, horizon=9)
    assert math.isnan(mean)
    assert math.isnan(variance)
    found = restricted_mean_difference(TREATMENT, CONTROL, horizon=9)
    assert found.reason == "no unit of treatment was followed for 9 days"
    # The share after the last day counts until the next one.
    assert math.isfinite(restricted_mean(CONTROL, horizon=8)[0])
    none = LifeTable.of(np.array([], dtype=np.int64), np.array([], dtype=bool))
    assert kaplan_meier(none).survival.size == 0
    assert math.isnan(restricted_mean(none, horizon=1)[0])
    empty = log_rank(none, CONTROL)
    assert math.isnan(empty.p_value)
    assert empty.observed == 0


def test_everybody_gone_stays_gone() -> None:
    table = LifeTable(np.array([0, 2, 2]), np.zeros(3, dtype=np.int64)).padded(5)
    curve = kaplan_meier(table)
    assert curve.survival.tolist() == [1.0, 0.5, 0.0, 0.0, 0.0]
    assert curve.variance[2:].tolist() == [0.0, 0.0, 0.0]
    assert (curve.low[3], curve.high[3]) == (0.0, 0.0)
    assert restricted_mean(table, horizon=5)[0] == 1.5


def test_bad_tables_are_refused() -> None:
    with pytest.raises(ContextError, match=r"got \[2\] and \[3\]"):
        LifeTable(np.zeros(2, dtype=np.int64), np.zeros(3, dtype=np.int64))
    with pytest.raises(ContextError, match="must be >= 0, got -1"):
        LifeTable(np.array([1, -1]), np.array([0, 0]))
    with pytest.raises(ContextError, match="days must be whole and >= 0, got float64"):
        LifeTable.of(np.array([1.5]), np.array([True]))
    with pytest.raises(ContextError, match="got 2, 1"):
        LifeTable.of(np.array([1, 2]), np.array([True]))
    with pytest.raises(ConfigError, match="horizon of a restricted mean"):
        restricted_mean(CONTROL, horizon=0)
    with pytest.raises(ConfigError, match="confidence must be"):
        kaplan_meier(CONTROL, confidence=1.0)
