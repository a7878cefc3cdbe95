"""Corrections, guardrails, gates and power: statsmodels and simulation as oracles."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]
from statsmodels.stats.power import NormalIndPower, normal_power_het  # type: ignore[import-untyped]
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW  # type: ignore[import-untyped]

from matinee_platform.analysis.inference.confidence_sequence import (
    Tuning,
    effective_units,
    p_values,
)
from matinee_platform.analysis.inference.corrections import benjamini_hochberg, holm
from matinee_platform.analysis.inference.effect import NO_VARIANCE
from matinee_platform.analysis.inference.gates import (
    Outcome,
    days_gate,
    several_arms_gate,
    split_gate,
    units_gate,
)
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.non_inferiority import Verdict, non_inferiority
from matinee_platform.analysis.inference.power import (
    Design,
    minimum_detectable_effect,
    power,
    sample_size,
)
from matinee_platform.analysis.inference.ratio import linearise
from matinee_platform.analysis.inference.welch import welch
from matinee_platform.analysis.srm import srm_p_value
from matinee_policies.errors import ConfigError, ContextError


@pytest.mark.parametrize("seed", range(10))
def test_corrections_equal_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p_values = rng.random(rng.integers(1, 30)).round(2) ** 2
    for ours, theirs in ((holm, "holm"), (benjamini_hochberg, "fdr_bh")):
        expected = multipletests(p_values, method=theirs)[1]
        np.testing.assert_allclose(ours(p_values), expected, rtol=1e-9)
    gaps = np.insert(p_values, p_values.size // 2, np.nan)
    at = np.isnan(gaps)
    assert np.isnan(holm(gaps)[at]).all()
    np.testing.assert_array_equal(holm(gaps)[~at], holm(p_values))
    np.testing.assert_array_equal(benjamini_hochberg(gaps)[~at], benjamini_hochberg(p_values))
    # A family of which seven cannot be tested yet: they might all be 1.
    for ours in (holm, benjamini_hochberg):
        padded = ours(np.concatenate([p_values, np.ones(7)]))[: p_values.size]
        found = ours(gaps, family=p_values.size + 7)[~at]
        np.testing.assert_allclose(found, padded, rtol=1e-12)


def test_corrections_refuse_what_is_no_p_value() -> None:
    assert holm(np.array([])).size == 0
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()
    with pytest.raises(ContextError, match=r"within 0 and 1, got 1\.5"):
        holm(np.array([0.1, 1.5]))
    with pytest.raises(ContextError, match=r"a row of numbers, got \[2, 2\]"):
        benjamini_hochberg(np.ones((2, 2)))
    with pytest.raises(ContextError, match="family of 1 comparisons cannot hold 2 tests"):
        holm(np.array([0.1, 0.5]), family=1)


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_a_guardrail_equals_a_one_sided_test_of_statsmodels(higher_is_better: bool) -> None:
    rng = np.random.default_rng(41)
    treatment, control = rng.normal(9.9, 2.0, size=300), rng.normal(10.0, 3.0, size=200)
    pair = CompareMeans(DescrStatsW(treatment), DescrStatsW(control))
    sign = 1 if higher_is_better else -1
    side = "larger" if higher_is_better else "smaller"
    _, expected, _ = pair.ttest_ind(alternative=side, usevar="unequal", value=-sign * 0.5)
    found = non_inferiority(
        Moments.of(treatment), Moments.of(control), margin=0.5, higher_is_better=higher_is_better
    )
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert found.loss == pytest.approx(sign * (control.mean() - treatment.mean()), rel=1e-9)
    bounds = pair.tconfint_diff(alpha=0.1, usevar="unequal")
    ends = sorted(-sign * bound for bound in bounds)
    assert (found.loss_low, found.loss_high) == pytest.approx(ends, rel=1e-9)


@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize("level", [10.0, -10.0])
def test_a_relative_margin_is_a_test_against_a_scaled_control(
    level: float, higher_is_better: bool
) -> None:
    rng = np.random.default_rng(42)
    treatment, control = rng.normal(level, 2.0, size=250), rng.normal(level, 3.0, size=200)
    # Control as bad as the margin allows: lower if higher is better.
    worse = 1 - 0.05 * (1 if (level > 0) == higher_is_better else -1)
    expected = stats.ttest_ind(
        treatment,
        worse * control,
        equal_var=False,
        alternative="greater" if higher_is_better else "less",
    )
    found = non_inferiority(
        Moments.of(treatment),
        Moments.of(control),
        margin=0.05,
        relative=True,
        higher_is_better=higher_is_better,
    )
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.margin == pytest.approx(0.05 * abs(control.mean()), rel=1e-9)
    assert (found.verdict is Verdict.HELD) == (found.p_value < 0.05)


@pytest.mark.parametrize("tuning", [None, Tuning(2_000)])
def test_verdicts(tuning: Tuning | None) -> None:
    rng = np.random.default_rng(43)
    control = Moments.of(rng.normal(10.0, 1.0, size=1_000))
    verdicts = {
        mean: non_inferiority(
            Moments.of(rng.normal(mean, 1.0, size=1_000)), control, margin=0.3, tuning=tuning
        )
        for mean in (10.0, 9.72, 9.0)
    }
    assert [found.verdict for found in verdicts.values()] == ["held", "open", "broken"]
    assert [found.p_value < 0.05 for found in verdicts.values()] == [True, False, False]


def test_a_guardrail_at_its_margin_is_held_by_mistake_as_often_as_allowed() -> None:
    rng = np.random.default_rng(44)
    runs, held, any_time = 4_000, 0, 0
    for _ in range(runs):
        control = Moments.of(rng.exponential(1.0, size=300))
        treatment = Moments.of(rng.exponential(0.9, size=300))
        for tuning in (None, Tuning(600)):
            found = non_inferiority(treatment, control, margin=0.1, relative=True, tuning=tuning)
            held += tuning is None and found.verdict is Verdict.HELD
            any_time += tuning is not None and found.verdict is Verdict.HELD
    assert abs(held / runs - 0.05) < 4 * math.sqrt(0.05 * 0.95 / runs)
    assert any_time < held


def test_guardrails_without_units_stay_open() -> None:
    found = non_inferiority(Moments.none(1), Moments.of(np.ones(3)), margin=0.1)
    assert found.verdict is Verdict.OPEN
    assert found.reason == "treatment has 0 units, an interval needs 2"
    # Units that are all alike tell no error: neither held for certain nor broken for certain.
    same, less = Moments.of(np.ones(3)), Moments.of(np.zeros(3))
    for pair in ((same, same), (less, same)):
        for tuning in (None, Tuning(10.0)):
            alike = non_inferiority(*pair, margin=0.1, tuning=tuning)
            assert (alike.verdict, alike.reason) == (Verdict.OPEN, NO_VARIANCE)
            assert math.isnan(alike.p_value)
            assert math.isnan(alike.loss_high)
    with pytest.raises(ConfigError, match=r"margin of a guardrail must be >= 0, got -0\.1"):
        non_inferiority(same, same, margin=-0.1)


def test_gates() -> None:
    assert split_gate([[5_000, 5_100]], [0.5, 0.5], running=False).outcome is Outcome.PASSED
    broken = split_gate([[5_000, 5_100], [9_000, 9_900]], [0.5, 0.5], running=True)
    assert broken.outcome is Outcome.FAILED
    assert broken.words.startswith("9,000 : 9,900 units for declared 0.5 : 0.5, p = ")
    assert split_gate([], [0.5, 0.5], running=True).outcome is Outcome.FAILED
    assert split_gate([[0, 0]], [0.5, 0.5], running=True).outcome is Outcome.FAILED
    assert split_gate([[0, 0]], [0.5, 0.5], running=False).outcome is Outcome.FAILED
    assert several_arms_gate(0, 1_000).outcome is Outcome.PASSED
    assert several_arms_gate(9, 1_000).outcome is Outcome.WARNED
    assert several_arms_gate(10, 1_000).outcome is Outcome.FAILED
    assert several_arms_gate(0, 0).outcome is Outcome.FAILED
    assert units_gate([100, 3_000], ["a", "b"]).outcome is Outcome.PASSED
    few = units_gate([3_000, 99], ["a", "b"])
    assert (few.outcome, few.value) == (Outcome.FAILED, 99.0)
    assert few.words == "smallest arm b has 99 units, 100 are needed"
    assert days_gate(7.0).outcome is Outcome.PASSED
    assert days_gate(6.9).words == "6 full days, short: 7 are needed"
    assert days_gate(6.9).outcome is Outcome.WARNED


def test_a_split_that_runs_past_its_end_is_held_to_both_tests() -> None:
    weights = [0.5, 0.5]
    # 3.7 standard errors: enough at the end (p = 2e-4), too little for who looks every day.
    counts = [[1_000 * day, round(1_000 * day * 0.95)] for day in range(1, 12)]
    assert split_gate(counts, weights, running=True).outcome is Outcome.PASSED
    failed = split_gate(counts, weights, running=True, end=11)
    assert failed.outcome is Outcome.FAILED
    assert failed.value == srm_p_value(counts[-1], weights)
    assert "at any look and" in failed.words
    # The end alone counts, not what came after it; a sequence that alarmed stays alarmed.
    later = [*counts, [11_500, 11_400]]
    assert split_gate(later, weights, running=True, end=11).value == failed.value
    assert split_gate(later, weights, running=True, end=12).outcome is Outcome.PASSED
    broken = [[1_000, 5_000], [9_000, 9_000]]
    assert split_gate(broken, weights, running=True, end=2).outcome is Outcome.FAILED


@pytest.mark.parametrize("side", ["two-sided", "larger"])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_power_of_means_equals_statsmodels(share: float, side: str) -> None:
    design = Design(
        value=3.0, variance=4.0, treatment_share=share, alpha=0.02, two_sided=side == "two-sided"
    )
    peer = NormalIndPower()
    # Their first sample is our treatment, their ratio the second over the first.
    ratio = (1 - share) / share
    for units, effect in ((400, 0.3), (9_000, 0.11), (9_000, 0.02)):
        args = {"alpha": 0.02, "ratio": ratio, "alternative": side}
        expected = peer.power(effect / 2.0, nobs1=units * share, **args)
        assert power(design, effect=effect, units=units) == pytest.approx(expected, rel=1e-9)
        wanted = max(expected, 0.3)
        found = minimum_detectable_effect(design, units=units, wanted=wanted)
        assert power(design, effect=found, units=units) == pytest.approx(wanted, rel=1e-9)
        size = sample_size(design, effect=effect, wanted=wanted)
        assert power(design, effect=effect, units=size) == pytest.approx(wanted, rel=1e-9)
        nobs1 = peer.solve_power(effect / 2.0, power=wanted, **args)
        assert size == pytest.approx(nobs1 / share, rel=1e-6)


@pytest.mark.parametrize("effect", [0.02, -0.03])
@pytest.mark.parametrize("side", ["two-sided", "larger"])
def test_power_of_proportions_equals_statsmodels(effect: float, side: str) -> None:
    design = Design(
        value=0.3,
        variance=0.21,
        spread="share",
        treatment_share=0.4,
        two_sided=side == "two-sided",
    )
    rate = 0.3 + effect
    sd = math.sqrt(0.3 * 0.7 / 0.6 + rate * (1 - rate) / 0.4)
    expected = normal_power_het(
        abs(effect), 5_000, 0.05, std_null=sd, std_alternative=sd, alternative=side
    )
    found = power(design, effect=effect, units=5_000)
    assert found == pytest.approx(expected, rel=1e-9)
    size = sample_size(design, effect=effect, wanted=0.9)
    assert power(design, effect=effect, units=size) == pytest.approx(0.9, rel=1e-9)
    least = minimum_detectable_effect(design, units=5_000, wanted=0.9)
    assert power(design, effect=least, units=5_000) == pytest.approx(0.9, rel=1e-9)


def test_a_known_lift_is_found_with_the_stated_power() -> None:
    rng = np.random.default_rng(45)
    past_shown = rng.poisson(8 * rng.gamma(2.0, 1.0, size=20_000)) + 1
    past = linearise(Moments.of(rng.binomial(past_shown, 0.2), past_shown))
    design = Design(value=past.value, variance=past.variance, treatment_share=0.3)
    effect = minimum_detectable_effect(design, units=1_500)
    runs, found = 1_500, 0
    for _ in range(runs):
        arms = []
        for n, rate in ((450, past.value + effect), (1_050, past.value)):
            shown = rng.poisson(8 * rng.gamma(2.0, 1.0, size=n)) + 1
            arms.append(linearise(Moments.of(rng.binomial(shown, rate), shown)))
        found += welch(arms[0], arms[1]).p_value < 0.05
    # S4: within five points of the stated power.
    assert abs(found / runs - 0.8) < 0.05


def test_cuped_enters_the_size() -> None:
    plain = Design(value=1.0, variance=2.0)
    lean = Design(value=1.0, variance=2.0, reduction=0.4)
    ratio = sample_size(lean, effect=0.1) / sample_size(plain, effect=0.1)
    assert ratio == pytest.approx(0.6, rel=1e-9)


@pytest.mark.parametrize("tuned", [200.0, 6_000.0, 1e6])
@pytest.mark.parametrize("two_sided", [True, False])
def test_a_sequence_is_planned_as_it_will_be_tuned(tuned: float, two_sided: bool) -> None:
    tuning = Tuning(tuned)
    design = Design(
        value=1.0,
        variance=2.0,
        treatment_share=0.3,
        alpha=0.02,
        two_sided=two_sided,
        tuning=tuning,
    )
    units = sample_size(design, effect=0.1)
    assert power(design, effect=0.1, units=units) == pytest.approx(0.8, rel=1e-9)
    least = minimum_detectable_effect(design, units=units)
    assert least == pytest.approx(0.1, rel=1e-9)
    # By simulation of the estimate of so many units, judged as a corrected p-value is.
    t = effective_units(0.3 * units, 0.7 * units)
    error = math.sqrt(design.unit_variance(0.1) / units)
    z = np.random.default_rng(46).normal(0.1 / error, size=20_000)
    share = (p_values(z, t, tuning=tuning, two_sided=two_sided) < 0.02).mean()
    assert abs(share - 0.8) < 4 * math.sqrt(0.8 * 0.2 / 20_000)


def test_a_sequence_costs_least_where_it_is_tuned() -> None:
    plain = sample_size(Design(value=1.0, variance=2.0), effect=0.1)
    sizes = {
        tuned: sample_size(Design(value=1.0, variance=2.0, tuning=Tuning(tuned)), effect=0.1)
        for tuned in (100.0, 12_000.0, 1e7)
    }
    # What may be read daily costs about twice the units where it is narrowest.
    assert 1.9 < sizes[12_000.0] / plain < 1.95
    assert min(sizes[100.0], sizes[1e7]) > 1.2 * sizes[12_000.0]


@pytest.mark.parametrize("effect", [0.3, -0.3])
def test_a_rise_that_multiplies_spreads_treatment_too(effect: float) -> None:
    design = Design(value=2.0, variance=5.0, spread="scaled", treatment_share=0.2)
    factor = (1 + 0.15) ** 2 if effect > 0 else 1.0
    sd = math.sqrt(5.0 * (factor / 0.2 + 1 / 0.8))
    expected = normal_power_het(abs(effect), 2_000, 0.05, std_null=sd, std_alternative=sd)
    assert power(design, effect=effect, units=2_000) == pytest.approx(expected, rel=1e-9)
    size = sample_size(design, effect=effect, wanted=0.9)
    assert power(design, effect=effect, units=size) == pytest.approx(0.9, rel=1e-9)
    least = minimum_detectable_effect(design, units=2_000, wanted=0.9)
    assert power(design, effect=least, units=2_000) == pytest.approx(0.9, rel=1e-9)
    # Where spread grows as fast as the effect, no rise is found.
    assert math.isnan(minimum_detectable_effect(design, units=20))
    with pytest.raises(ConfigError, match="no rise that multiplies"):
        Design(value=0.0, variance=1.0, spread="scaled")


def test_bad_designs_are_refused() -> None:
    design = Design(value=1.0, variance=2.0)
    with pytest.raises(ConfigError, match="variance of the metric must be > 0, got 0"):
        Design(value=1.0, variance=0.0)
    with pytest.raises(ConfigError, match="must be within 0 and 1, got 1"):
        Design(value=1.0, variance=0.1, spread="share")
    with pytest.raises(ConfigError, match="reduction must be < 1, got 1"):
        Design(value=1.0, variance=1.0, reduction=1.0)
    with pytest.raises(ConfigError, match="effect to size for must not be 0"):
        sample_size(design, effect=0.0)
    with pytest.raises(ConfigError, match=r"wanted power must be above 0\.05, got 0\.04"):
        minimum_detectable_effect(design, units=10, wanted=0.04)
    with pytest.raises(ConfigError, match="units must be > 0, got 0"):
        power(design, effect=0.1, units=0)
    with pytest.raises(ConfigError, match="rate with the effect must be <= 1"):
        power(Design(value=0.9, variance=0.09, spread="share"), effect=0.2, units=10)
    half = Design(value=0.5, variance=0.25, spread="share")
    assert math.isnan(minimum_detectable_effect(half, units=4))
