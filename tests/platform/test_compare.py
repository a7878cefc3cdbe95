"""Differences between arms: scipy as the oracle, and the promised error rates by simulation."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from matinee_platform.analysis.compare import (
    difference_of_means,
    linearised,
    paired_difference,
)
from matinee_platform.analysis.inference.effect import Effect
from matinee_platform.assignment import assign
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ConfigError, ContextError


@pytest.mark.parametrize(("n", "m", "confidence"), [(2, 2, 0.95), (7, 40, 0.9), (500, 300, 0.99)])
def test_difference_of_means_equals_scipy(n: int, m: int, confidence: float) -> None:
    rng = np.random.default_rng(n)
    treatment, control = rng.gamma(2.0, 3.0, size=n), rng.normal(5.0, 1.0, size=m)
    found = difference_of_means(treatment, control, confidence=confidence)
    expected = stats.ttest_ind(treatment, control, equal_var=False)
    interval = expected.confidence_interval(confidence)
    assert found.difference == pytest.approx(treatment.mean() - control.mean(), rel=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.relative == pytest.approx(treatment.mean() / control.mean() - 1, rel=1e-9)


def test_paired_difference_equals_scipy() -> None:
    rng = np.random.default_rng(3)
    control = rng.normal(size=60)
    treatment = control + rng.normal(0.2, 0.3, size=60)
    found = paired_difference(treatment, control)
    expected = stats.ttest_rel(treatment, control)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)


def test_linearised_ratio_has_the_variance_of_the_delta_method() -> None:
    rng = np.random.default_rng(4)
    shown = rng.poisson(30, size=400).astype(np.float64)
    clicks = rng.binomial(shown.astype(np.int64), rng.beta(2, 8, size=400)).astype(np.float64)
    values = linearised(clicks, shown)
    ratio = clicks.sum() / shown.sum()
    (clicks_var, both), (_, shown_var) = np.cov(clicks, shown)
    variance = (clicks_var - 2 * ratio * both + ratio**2 * shown_var) / shown.mean() ** 2
    assert values.mean() == pytest.approx(ratio, rel=1e-12)
    assert values.var(ddof=1) == pytest.approx(variance, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(0, 5), (1, 5), (5, 1), (0, 0)])
def test_too_few_units_give_no_interval(n: int, m: int) -> None:
    found = difference_of_means(np.ones(n), np.zeros(m))
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(found.p_value)
    assert math.isnan(found.difference) == (n == 0 or m == 0)


@pytest.mark.parametrize("compare", [difference_of_means, paired_difference])
def test_units_that_all_agree_tell_no_error(compare: Callable[..., Effect]) -> None:
    """Five units a side that agree are no proof: no interval, and p is not 0."""
    for value in (1.0, 3.0):
        found = compare(np.full(5, value), np.ones(5))
        assert found.difference == value - 1.0
        assert all(math.isnan(x) for x in (found.low, found.high, found.p_value))
        assert "all alike" in found.reason


def test_a_control_of_zero_has_no_relative_difference() -> None:
    assert math.isnan(difference_of_means(np.ones(3), np.zeros(3)).relative)


def test_a_ratio_without_denominator_is_unknown() -> None:
    values = linearised(np.zeros(4), np.zeros(4))
    assert math.isnan(difference_of_means(values, np.ones(4)).p_value)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="confidence must be < 1, got 1"):
        difference_of_means(np.ones(3), np.ones(3), confidence=1.0)
    with pytest.raises(ContextError, match="in pairs, got 3 and 2"):
        paired_difference(np.ones(3), np.ones(2))


def population(count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Impressions, clicks and a return of each unit; units differ far more than chance would."""
    rng = np.random.default_rng(11)
    shown = (10 + 10 * rng.geometric(0.2, size=count)).astype(np.float64)
    taste = rng.beta(0.8, 5.0, size=count)
    clicks = rng.binomial(shown.astype(np.int64), taste).astype(np.float64)
    return shown, clicks, (rng.random(count) < 0.12).astype(np.float64)


def test_false_positives_keep_their_promise_under_reassignment() -> None:
    """Units of one log, re-assigned with 1,000 salts: nothing differs, 5 % of tests may say so."""
    shown, clicks, returned = population(3_000)
    units = [f"unit-{number}" for number in range(shown.size)]
    rejected = dict.fromkeys(("mean", "ratio", "retention", "impressions"), 0)
    salts = 1_000
    for salt in range(salts):
        arm = assign(units, salt=f"salt-{salt}", weights=[0.4, 0.6])
        a, b = arm == 0, arm == 1
        ratios = [linearised(clicks[side], shown[side]) for side in (a, b)]
        rejected["mean"] += difference_of_means(clicks[a], clicks[b]).p_value < 0.05
        rejected["ratio"] += difference_of_means(*ratios).p_value < 0.05
        rejected["retention"] += difference_of_means(returned[a], returned[b]).p_value < 0.05
        rejected["impressions"] += z_test_of_impressions(clicks, shown, a) < 0.05
    for metric in ("mean", "ratio", "retention"):
        assert stats.binomtest(rejected[metric], salts, 0.05).pvalue > 1e-3, (metric, rejected)
    # The population is a hard one: taking impressions as independent is wrong far more often.
    assert rejected["impressions"] > 0.15 * salts


def z_test_of_impressions(clicks: FloatArray, shown: FloatArray, arm: np.ndarray) -> float:
    """The wrong test: it takes every impression as independent."""
    rates = [clicks[side].sum() / shown[side].sum() for side in (arm, ~arm)]
    rate = clicks.sum() / shown.sum()
    error = math.sqrt(rate * (1 - rate) * (1 / shown[arm].sum() + 1 / shown[~arm].sum()))
    return float(2 * stats.norm.sf(abs(rates[0] - rates[1]) / error))


@pytest.mark.parametrize("metric", ["mean", "ratio", "proportion"])
def test_intervals_cover_the_truth(metric: str) -> None:
    """2,000 experiments with a known lift: 95 % intervals cover it in 93 to 97 %."""
    rng = np.random.default_rng(17)
    covered, runs = 0, 2_000
    for _ in range(runs):
        if metric == "proportion":
            arms = [(rng.random(400) < rate).astype(np.float64) for rate in (0.15, 0.10)]
            truth = 0.05
        else:
            shown = [(10 * rng.geometric(0.3, size=400)).astype(np.float64) for _ in range(2)]
            tastes = [rng.beta(2.0, odds, size=400) for odds in (6.0, 8.0)]
            clicks = [
                rng.binomial(pages.astype(np.int64), taste).astype(np.float64)
                for pages, taste in zip(shown, tastes, strict=True)
            ]
            truth = 0.25 - 0.2
            arms = [linearised(*pair) for pair in zip(clicks, shown, strict=True)]
            if metric == "mean":
                truth *= 10 / 0.3
                arms = clicks
        found = difference_of_means(arms[0], arms[1])
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / runs <= 0.97
