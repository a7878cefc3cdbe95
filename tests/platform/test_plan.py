"""Plans: sizes against statsmodels, days by hand, ramps by their rules."""

import math

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower  # type: ignore[import-untyped]

from matinee_platform.analysis.planning.baseline import (
    Baseline,
    given_baseline,
    measured_baseline,
)
from matinee_platform.analysis.planning.plan import (
    LONGEST_STAGE,
    Question,
    detectable,
    detectable_in,
    ramp,
    size_for,
)
from matinee_platform.analysis.unit_metrics import unit_metric
from matinee_platform.analysis_settings import AnalysisSettings
from matinee_policies.errors import ConfigError
from stats.made_up_units import made_up_log

LOG = made_up_log(3, units=2_000, days=35)
MEAN = given_baseline(value=5.0, sd=4.0, window_days=7)


@pytest.mark.parametrize(("share", "comparisons", "power"), [(0.5, 1, 0.8), (0.2, 4, 0.9)])
def test_a_size_is_that_of_statsmodels(share: float, comparisons: int, power: float) -> None:
    question = Question(treatment_share=share, comparisons=comparisons, power=power)
    plan = size_for(MEAN, relative=0.02, question=question)
    # A lift of 2 % spreads treatment's values by 2 % as well.
    even = 1 / share + 1 / (1 - share)
    spread = 4.0 * math.sqrt((1.02**2 / share + 1 / (1 - share)) / even)
    first = NormalIndPower().solve_power(
        effect_size=0.02 * 5.0 / spread,
        alpha=0.05 / comparisons,
        power=power,
        ratio=(1 - share) / share,
    )
    assert plan.units == math.ceil(first / share - 1e-6)
    assert plan.power == pytest.approx(power, abs=1e-3)


def test_what_is_known_before_saves_units() -> None:
    plain = size_for(MEAN, relative=0.02, question=Question())
    known = given_baseline(value=5.0, sd=4.0, correlation=0.6, window_days=7)
    adjusted = size_for(known, relative=0.02, question=Question())
    assert adjusted.units == pytest.approx(plain.units * (1 - 0.36), abs=2)


def test_sizes_and_detectable_effects_are_inverse() -> None:
    question = Question(treatment_share=0.4)
    plan = size_for(MEAN, relative=0.03, question=question)
    back = detectable(MEAN, units=plan.units, question=question)
    assert back.relative == pytest.approx(0.03, rel=1e-4)


def test_days_wait_for_the_last_window() -> None:
    plan = size_for(MEAN, relative=0.03, question=Question(), traffic=1_000)
    assert plan.enrol_days == math.ceil(plan.units / 1_000)
    # Who enters on the last day needs that day and six more.
    assert plan.days == plan.enrol_days + 6
    assert plan.whole_weeks == math.ceil(plan.days / 7)
    again = detectable_in(MEAN, days=plan.days, question=Question(), traffic=1_000)
    assert again.units == plan.enrol_days * 1_000


def test_an_experiment_lasts_a_week_and_has_a_hundred_units_an_arm() -> None:
    plan = size_for(
        given_baseline(value=1.0, sd=0.1), relative=0.5, question=Question(), traffic=1e6
    )
    assert (plan.units, plan.days, plan.whole_weeks) == (200, 1, 1)


def test_reading_as_it_runs_costs_units() -> None:
    once = size_for(MEAN, relative=0.02, question=Question())
    ever = size_for(MEAN, relative=0.02, question=Question(always_valid=True))
    assert ever.units > 1.5 * once.units
    # Sequences are as narrow as they can be where the experiment tunes them, which is its own say.
    assert Question().tuned_for_units == AnalysisSettings().tuned_for_units
    tuned = Question(always_valid=True, tuned_for_units=once.units)
    assert size_for(MEAN, relative=0.02, question=tuned).units < ever.units
    few = Question(always_valid=True, tuned_for_units=100)
    assert size_for(MEAN, relative=0.02, question=few).units > ever.units
    with pytest.raises(ConfigError, match="tuned_for_units must be"):
        Question(tuned_for_units=0)


@pytest.mark.parametrize("traffic", [300.0, 5_000.0, 1e6])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_ramp_keeps_its_rules(traffic: float, share: float) -> None:
    question = Question(treatment_share=share)
    plan = size_for(MEAN, relative=0.02, question=question, traffic=traffic)
    stages = ramp(MEAN, units=plan.units, question=question, traffic=traffic)
    coverage = [stage.coverage for stage in stages]
    assert coverage == sorted(set(coverage))
    assert coverage[-1] == 1.0
    assert stages[-1].units >= plan.units
    entered = 0.0
    for stage in stages[:-1]:
        entered += stage.coverage * traffic * stage.days
        assert stage.units == math.floor(entered)
        assert min(share, 1 - share) * entered >= 100 - 1e-6
        assert 1 <= stage.days <= LONGEST_STAGE
    losses = [stage.finds for stage in stages if not math.isnan(stage.finds)]
    assert losses == sorted(losses, reverse=True)


def test_a_ramp_counts_who_has_matured_only() -> None:
    stages = ramp(MEAN, units=30_000, question=Question(), traffic=5_000)
    assert [stage.coverage for stage in stages] == [0.1, 0.5, 1.0]
    # Two days are too few for a window of seven.
    assert math.isnan(stages[0].finds)
    assert math.isnan(stages[1].finds)
    days = sum(stage.days for stage in stages) - 6
    matured = 500 * 1 + 2_500 * 1 + 5_000 * (days - 2) if days > 2 else [500, 3_000][days - 1]
    question = Question(always_valid=True)
    two_sided = detectable(MEAN, units=matured, question=question).relative
    assert 0.8 * two_sided < stages[2].finds < two_sided


def test_a_measured_baseline_is_what_the_log_holds() -> None:
    arm = LOG.arm == 1
    found = measured_baseline(LOG, "engagement_7", arm="b")
    metric = unit_metric(LOG, "engagement_7")
    values = metric.values[arm[metric.units]]
    assert found.units == values.size
    assert found.value == pytest.approx(values.mean(), rel=1e-12)
    assert found.variance == pytest.approx(values.var(ddof=1), rel=1e-12)
    assert found.window_days == 7
    known = LOG.covariates["history"][metric.units & arm]
    missing = np.isnan(known)
    design = np.stack(
        [np.ones(known.size), np.where(missing, known[~missing].mean(), known), missing], axis=1
    )
    rest = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    assert found.reduction == pytest.approx(1 - rest.var() / values.var(), rel=1e-9)
    assert measured_baseline(LOG, "engagement_7", arm="b", adjust=False).reduction == 0.0


def test_a_measured_ratio_has_the_variance_of_its_linearised_values() -> None:
    found = measured_baseline(LOG, "ctr")
    metric = unit_metric(LOG, "ctr")
    assert metric.denominators is not None
    ratio = metric.values.sum() / metric.denominators.sum()
    apart = (metric.values - ratio * metric.denominators) / metric.denominators.mean()
    assert found.value == pytest.approx(ratio, rel=1e-12)
    assert found.variance == pytest.approx(apart.var(ddof=1), rel=1e-9)
    assert 0 < measured_baseline(LOG, "d7").reduction < 1
    assert measured_baseline(LOG, "d7").proportion


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "a baseline needs a run, a rate, or a value and an sd"),
        ({"value": 1.0}, "a baseline needs a run"),
        ({"rate": 0.4, "sd": 1.0}, "got both"),
        ({"rate": 1.0}, "rate must be"),
        ({"value": 1.0, "sd": 0.0}, "sd must be > 0"),
        ({"rate": 0.4, "correlation": 1.0}, "correlation must be"),
        ({"rate": 0.4, "window_days": -1}, "window_days must be"),
    ],
)
def test_bad_numbers_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        given_baseline(**given)  # type: ignore[arg-type]


def test_bad_questions_are_refused() -> None:
    with pytest.raises(ConfigError, match="power must be"):
        Question(power=1.0)
    with pytest.raises(ConfigError, match="must not be 0"):
        size_for(MEAN, relative=0.0, question=Question())
    with pytest.raises(ConfigError, match="traffic must be"):
        size_for(MEAN, relative=0.1, question=Question(), traffic=0.0)
    with pytest.raises(ConfigError, match="days must be above the 6"):
        detectable_in(MEAN, days=6, question=Question(), traffic=100.0)
    with pytest.raises(ConfigError, match="stages must rise"):
        ramp(MEAN, units=100, question=Question(), traffic=10.0, stages=[0.5, 0.1, 1.0])
    with pytest.raises(ConfigError, match="arm must be one of a, b, got 'c'"):
        measured_baseline(LOG, "ctr", arm="c")
    with pytest.raises(ConfigError, match="variance of the metric must be"):
        Baseline(metric="m", value=1.0, variance=0.0)
