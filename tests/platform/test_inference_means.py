"""Welch, ratios, CUPED and lifts from sums: scipy, tea-tasting and definitions as oracles."""

import math

import numpy as np
import pandas as pd
import pytest
import tea_tasting  # type: ignore[import-untyped]
from scipy import stats

from matinee_platform.analysis.compare import (
    difference_of_means,
    linearised,
    paired_difference,
)
from matinee_platform.analysis.inference.cuped import (
    adjusted,
    cuped,
    with_missing_indicator,
)
from matinee_platform.analysis.inference.effect import Effect
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.ratio import linearise, ratio, stickiness
from matinee_platform.analysis.inference.relative import fieller, log_delta_lift
from matinee_platform.analysis.inference.welch import welch
from matinee_policies.errors import ConfigError, ContextError

CONFIDENCE = 0.9
METRICS = {
    "mean": tea_tasting.Mean("orders", confidence_level=CONFIDENCE),
    "ratio": tea_tasting.RatioOfMeans("orders", "sessions", confidence_level=CONFIDENCE),
    "cuped": tea_tasting.Mean("orders", "orders_covariate", confidence_level=CONFIDENCE),
    "ratio cuped": tea_tasting.RatioOfMeans(
        "orders",
        "sessions",
        "orders_covariate",
        "sessions_covariate",
        confidence_level=CONFIDENCE,
    ),
}


@pytest.fixture(scope="module")
def users() -> pd.DataFrame:
    """A thousand users, 40 % of them in treatment, with what they did before."""
    rng = np.random.default_rng(11)
    n = 1_000
    keen = rng.gamma(2.0, 1.0, size=n)
    before = rng.poisson(1 + 4 * keen)
    variant = (rng.random(n) < 0.4).astype(int)
    sessions = rng.poisson(1 + 4 * keen)
    return pd.DataFrame(
        {
            "variant": variant,
            "sessions": sessions,
            "orders": rng.binomial(sessions, np.where(variant, 0.35, 0.3)),
            "sessions_covariate": before,
            "orders_covariate": rng.binomial(before, 0.3),
        }
    )


def arms(users: pd.DataFrame, *columns: str) -> tuple[Moments, Moments]:
    first, second = (users[users["variant"] == variant] for variant in (1, 0))
    return tuple(  # type: ignore[return-value]
        Moments.of(*(part[column].to_numpy() for column in columns)) for part in (first, second)
    )


def ours(users: pd.DataFrame, name: str) -> tuple[Effect, tuple[float, float]]:
    if name == "mean":
        pair = arms(users, "orders")
        return welch(*pair, confidence=CONFIDENCE), log_delta_lift(*pair, confidence=CONFIDENCE)
    if name == "ratio":
        pair = arms(users, "orders", "sessions")
        values = linearise(pair[0]), linearise(pair[1])
        return ratio(*pair, confidence=CONFIDENCE), log_delta_lift(*values, confidence=CONFIDENCE)
    if name == "cuped":
        pair, ratios = arms(users, "orders", "orders_covariate"), 0
    else:
        pair = arms(users, "orders", "sessions", "orders_covariate", "sessions_covariate")
        ratios = 2
    after = adjusted(*pair, ratios=ratios)
    return (
        cuped(*pair, ratios=ratios, confidence=CONFIDENCE),
        log_delta_lift(after.treatment, after.control, confidence=CONFIDENCE),
    )


@pytest.mark.parametrize("name", list(METRICS))
def test_equals_tea_tasting(users: pd.DataFrame, name: str) -> None:
    peer = tea_tasting.Experiment({name: METRICS[name]}).analyze(users)[name]
    found, lift = ours(users, name)
    expected = peer._asdict()
    assert found.treatment == pytest.approx(expected["treatment"], rel=1e-9)
    assert found.control == pytest.approx(expected["control"], rel=1e-9)
    assert found.difference == pytest.approx(expected["effect_size"], rel=1e-9)
    assert found.low == pytest.approx(expected["effect_size_ci_lower"], rel=1e-9)
    assert found.high == pytest.approx(expected["effect_size_ci_upper"], rel=1e-9)
    assert found.p_value == pytest.approx(expected["pvalue"], rel=1e-9)
    assert found.relative == pytest.approx(expected["rel_effect_size"], rel=1e-9)
    assert lift[0] == pytest.approx(expected["rel_effect_size_ci_lower"], rel=1e-9)
    assert lift[1] == pytest.approx(expected["rel_effect_size_ci_upper"], rel=1e-9)
    assert found.standard_error == pytest.approx(
        expected["effect_size"] / expected["statistic"], rel=1e-9
    )
    # Fieller's and the delta method's agree where the control is far from 0.
    assert (found.relative_low, found.relative_high) == pytest.approx(lift, abs=0.01)


@pytest.mark.parametrize(("n", "m", "confidence"), [(2, 2, 0.95), (7, 40, 0.9), (500, 300, 0.99)])
def test_welch_equals_scipy_beside_a_large_mean(n: int, m: int, confidence: float) -> None:
    rng = np.random.default_rng(n)
    apart, around = rng.gamma(2.0, 3.0, size=n), rng.normal(5.0, 1.0, size=m)
    expected = stats.ttest_ind(apart, around, equal_var=False)
    interval = expected.confidence_interval(confidence)
    for shift, tolerance in ((0.0, 1e-9), (1e6, 1e-8)):
        found = welch(Moments.of(apart + shift), Moments.of(around + shift), confidence=confidence)
        assert (found.low, found.high) == pytest.approx(
            (interval.low, interval.high), rel=tolerance
        )
        assert found.p_value == pytest.approx(expected.pvalue, rel=tolerance)


def test_the_ratio_of_sums_is_that_of_linearised_units(users: pd.DataFrame) -> None:
    first, second = (users[users["variant"] == variant] for variant in (1, 0))
    vectors = [
        linearised(part["orders"].to_numpy(float), part["sessions"].to_numpy(float))
        for part in (first, second)
    ]
    expected = difference_of_means(vectors[0], vectors[1])
    found = ratio(*arms(users, "orders", "sessions"))
    assert found.low == pytest.approx(expected.low, rel=1e-9)
    assert found.p_value == pytest.approx(expected.p_value, rel=1e-9)
    assert found.relative_high == pytest.approx(expected.relative_high, rel=1e-9)


def test_several_covariates_are_a_regression_over_both_arms(users: pd.DataFrame) -> None:
    names = ("orders", "orders_covariate", "sessions_covariate")
    found = adjusted(*arms(users, *names))
    table = users[list(names[1:])].to_numpy(float)
    design = np.column_stack([np.ones(len(users)), table])
    theta = np.linalg.lstsq(design, users["orders"].to_numpy(float))[0][1:]
    np.testing.assert_allclose(found.theta, theta, rtol=1e-9)
    values = users["orders"].to_numpy(float) - (table - table.mean(axis=0)) @ theta
    treated = users["variant"].to_numpy() == 1
    expected = difference_of_means(values[treated], values[~treated])
    effect = cuped(*arms(users, *names))
    assert effect.low == pytest.approx(expected.low, rel=1e-9)
    plain = welch(*arms(users, "orders"))
    assert found.reduction == pytest.approx(
        1 - (effect.standard_error / plain.standard_error) ** 2, rel=1e-9
    )
    assert found.reduction > 0.2


def test_new_units_stay_and_shift_nothing() -> None:
    rng = np.random.default_rng(12)
    before = rng.normal(100.0, 10.0, size=2_000)
    before[rng.random(2_000) < 0.3] = np.nan
    after = np.where(np.isnan(before), 5.0, 0.1 * before) + rng.normal(size=2_000)
    filled, missing = with_missing_indicator(before)
    pair = [
        Moments.of(after[side], filled[side], missing[side])
        for side in (slice(0, 900), slice(900, None))
    ]
    found = adjusted(pair[0], pair[1])
    # What is left is the noise: the share foretold is that of a regression with both columns.
    design = np.column_stack([np.ones(2_000), filled, missing])
    rest = after - design @ np.linalg.lstsq(design, after)[0]
    assert found.reduction == pytest.approx(1 - rest.var() / after.var(), abs=0.05)
    assert found.treatment.n + found.control.n == 2_000


def test_covariates_that_say_nothing_change_nothing() -> None:
    rng = np.random.default_rng(13)
    pair = []
    for n in (50, 60):
        value, known = rng.normal(3.0, 1.0, size=n), rng.normal(size=n)
        pair.append(
            (Moments.of(value, known), Moments.of(value, known, 2 * known, np.full(n, 7.1)))
        )
    lean = cuped(pair[0][0], pair[1][0])
    full = cuped(pair[0][1], pair[1][1])
    assert full.difference == pytest.approx(lean.difference, rel=1e-9)
    assert full.p_value == pytest.approx(lean.p_value, rel=1e-9)
    pair = []
    for n in (300, 200):
        known, other = rng.normal(size=n), rng.gamma(2.0, 50.0, size=n)
        value = rng.normal(3.0, 1.0, size=n) + known + 0.01 * other
        both = 0.1 * known + 0.3 * other
        pair.append((Moments.of(value, known, other), Moments.of(value, known, other, both)))
    lean, full = cuped(pair[0][0], pair[1][0]), cuped(pair[0][1], pair[1][1])
    assert full.p_value == pytest.approx(lean.p_value, rel=1e-6)
    assert np.abs(adjusted(pair[0][1], pair[1][1]).theta).max() < 2
    constant = [Moments.of(part[0], part[1]) for part in [(np.arange(4.0), np.ones(4))] * 2]
    assert adjusted(constant[0], constant[1]).theta.tolist() == [0.0]
    with pytest.raises(ContextError, match="at least one covariate"):
        adjusted(constant[0].select(0), constant[1].select(0))


def test_stickiness_is_days_active_of_users_active() -> None:
    days = np.array([0, 3, 28, 0, 11])
    top, bottom = stickiness(days)
    assert top.sum() / bottom.sum() == pytest.approx(42 / (28 * 3))
    with pytest.raises(ContextError, match="within 0 and 28, got 0 to 29"):
        stickiness(np.array([0, 29]))
    with pytest.raises(ConfigError, match="window of stickiness"):
        stickiness(days, window=0)


def test_fieller_allows_the_ratios_that_a_test_allows() -> None:
    rng = np.random.default_rng(14)
    for _ in range(200):
        top, bottom = rng.normal(1.0, 2.0, size=2)
        parts = rng.uniform(0.01, 0.3, size=2)
        covariance = rng.uniform(-0.9, 0.9) * math.sqrt(parts[0] * parts[1])
        low, high = fieller(
            top, bottom, error2=(parts[0], parts[1]), covariance=covariance, critical=1.5
        )
        if bottom**2 <= 1.5**2 * parts[1]:
            assert math.isnan(low)
            continue
        for end in (low, high):
            error2 = parts[0] + end**2 * parts[1] - 2 * end * covariance
            assert (top - end * bottom) ** 2 == pytest.approx(1.5**2 * error2, rel=1e-6)
        assert low <= top / bottom <= high


@pytest.mark.parametrize("seed", range(20))
def test_lift_and_difference_leave_0_out_together(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = welch(
        Moments.of(rng.normal(1.25, 1.0, size=80)), Moments.of(rng.normal(1.0, 1.0, size=80))
    )
    out = found.low > 0 or found.high < 0
    assert out == (found.p_value < 0.05)
    assert out == (found.relative_low > 0 or found.relative_high < 0)


def test_the_lift_is_the_ratio_of_the_arms_less_one() -> None:
    rng = np.random.default_rng(17)
    arms = [Moments.of(rng.normal(3.0, 1.0, size=n)) for n in (40, 55)]
    found = welch(arms[0], arms[1])
    low, high = fieller(
        found.treatment,
        found.control,
        error2=(arms[0].error2, arms[1].error2),
        critical=(found.high - found.difference) / found.standard_error,
    )
    assert (found.relative_low, found.relative_high) == pytest.approx((low - 1, high - 1), rel=1e-9)


def test_lifts_are_covered_as_promised() -> None:
    rng = np.random.default_rng(15)
    runs, covered = 4_000, 0
    for _ in range(runs):
        treatment = rng.exponential(1.2, size=200)
        found = welch(Moments.of(treatment), Moments.of(rng.exponential(1.0, size=200)))
        covered += found.relative_low < 0.2 < found.relative_high
    # Four standard errors of a share of 0.95, and what 200 skewed units leave.
    assert abs(covered / runs - 0.95) < 4 * math.sqrt(0.95 * 0.05 / runs) + 0.005


def test_a_control_that_may_be_0_has_no_interval_of_the_lift() -> None:
    found = welch(Moments.of(np.array([1.0, 2, 3])), Moments.of(np.array([-1.0, 0, 1.1])))
    assert math.isfinite(found.low)
    assert math.isnan(found.relative_low)
    assert math.isnan(found.relative_high)


def test_paired_lift_is_that_of_the_pairs() -> None:
    rng = np.random.default_rng(16)
    control = rng.normal(1e3, 10.0, size=50)
    found = paired_difference(control * 1.02 + rng.normal(0.0, 0.01, size=50), control)
    assert found.relative_low < 0.02 < found.relative_high
    assert found.relative_high - found.relative_low < 1e-4


@pytest.mark.parametrize(("n", "m"), [(0, 5), (1, 5), (5, 1), (0, 0)])
def test_too_few_units_are_told(n: int, m: int) -> None:
    pair = [Moments.of(np.ones(k), np.ones(k), np.ones(k)) for k in (n, m)]
    short = n if n < 2 else m
    for found in (
        welch(pair[0], pair[1]),
        ratio(pair[0], pair[1]),
        cuped(pair[0], pair[1]),
        cuped(pair[0], pair[1], ratios=1),
    ):
        assert f"has {short} unit" in found.reason
        assert np.isnan([found.low, found.high, found.p_value, found.relative_low]).all()


def test_units_that_agree_tell_no_error() -> None:
    found = welch(Moments.of(np.full(3, 2.0)), Moments.of(np.full(4, 1.0)))
    assert (found.difference, found.relative) == (1.0, 1.0)
    assert np.isnan([found.low, found.high, found.p_value, found.relative_low]).all()
    assert "all alike" in found.reason
    assert math.isnan(welch(Moments.of(np.zeros(3)), Moments.of(np.zeros(3))).relative)


def test_denominators_of_0_are_told() -> None:
    some = Moments.of(np.arange(4.0), np.ones(4), np.arange(4.0))
    none = Moments.of(np.zeros(4), np.zeros(4), np.arange(4.0))
    assert ratio(some, none).reason == "control has no value: its denominators sum to 0"
    assert ratio(none, some).reason == "treatment has no value: its denominators sum to 0"
    assert cuped(none, some, ratios=1).reason.startswith("treatment has no value")
    with pytest.raises(ContextError, match="1 ratios need 2 columns, got 1"):
        ratio(some.select(0), some.select(0))


@pytest.mark.parametrize("confidence", [0.0, 1.0, math.nan])
def test_a_bad_confidence_is_refused(confidence: float) -> None:
    arm = Moments.of(np.arange(3.0))
    with pytest.raises(ConfigError, match="confidence must be"):
        welch(arm, arm, confidence=confidence)
