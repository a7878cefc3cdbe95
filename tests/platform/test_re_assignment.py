"""A/A: p-values of many salts at once are those of each salt alone, by other libraries."""

import math

import numpy as np
import pytest
from scipy import stats

from matinee_platform.analysis.compare import difference_of_means, linearised
from matinee_platform.analysis.planning.moment_sums import MomentSums
from matinee_platform.analysis.planning.re_assignment import SPLIT, FalseAlarms, re_assigned
from matinee_platform.analysis.unit_metrics import unit_metric
from matinee_platform.assignment import assign
from matinee_policies.errors import ConfigError, ContextError
from stats.made_up_units import made_up_log

LOG = made_up_log(2, units=900, days=30)
IDS = [f"{unit:016x}" for unit in LOG.unit.tolist()]
SALTS = [f"again-{number}" for number in range(12)]
NAMES = ("ctr", "engagement_per_user", "d7", "d28")
WEIGHTS = (0.7, 0.3)


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str], FalseAlarms]:
    tests = re_assigned(
        IDS,
        [unit_metric(LOG, name) for name in NAMES],
        salts=SALTS,
        covariates=LOG.covariates,
        weights=WEIGHTS,
    )
    return {(test.metric, test.method): test for test in tests}


@pytest.mark.parametrize("name", NAMES)
def test_p_values_are_those_of_each_salt_alone(
    found: dict[tuple[str, str], FalseAlarms], name: str
) -> None:
    metric = unit_metric(LOG, name)
    method = "welch" if metric.denominators is None else "ratio"
    for salt, p_value in zip(SALTS, found[name, method].p_values, strict=True):
        arm = assign(IDS, salt=salt, weights=WEIGHTS)[metric.units]
        if metric.denominators is None:
            test = stats.ttest_ind(
                metric.values[arm == 1], metric.values[arm == 0], equal_var=False
            )
            expected = float(test.pvalue)
        else:
            arms = [
                linearised(metric.values[arm == one], metric.denominators[arm == one])
                for one in (1, 0)
            ]
            expected = difference_of_means(*arms).p_value
        assert p_value == pytest.approx(expected, rel=1e-9)


def test_adjusted_p_values_are_those_of_a_regression(
    found: dict[tuple[str, str], FalseAlarms],
) -> None:
    metric = unit_metric(LOG, "engagement_per_user")
    known = LOG.covariates["history"]
    missing = np.isnan(known)
    filled = np.where(missing, known[~missing].mean(), known)
    design = np.stack([np.ones(len(LOG)), filled, missing], axis=1)
    theta = np.linalg.lstsq(design, metric.values, rcond=None)[0]
    rest = metric.values - design[:, 1:] @ theta[1:]
    for salt, p_value in zip(SALTS, found[metric.name, "cuped"].p_values, strict=True):
        arm = assign(IDS, salt=salt, weights=WEIGHTS)
        expected = stats.ttest_ind(rest[arm == 1], rest[arm == 0], equal_var=False).pvalue
        assert p_value == pytest.approx(float(expected), rel=1e-9)


def test_the_split_is_tested_against_its_weights(
    found: dict[tuple[str, str], FalseAlarms],
) -> None:
    for salt, p_value in zip(SALTS, found[SPLIT, "chi-square"].p_values, strict=True):
        counts = np.bincount(assign(IDS, salt=salt, weights=WEIGHTS), minlength=2)
        expected = stats.chisquare(counts, np.array(WEIGHTS) * len(IDS)).pvalue
        assert p_value == pytest.approx(float(expected), rel=1e-9)


def test_alarms_are_counted_and_judged() -> None:
    alarms = FalseAlarms("m", "welch", np.array([0.01, 0.2, math.nan, 0.04, 0.9]), 0.05)
    assert (alarms.tested, alarms.alarms, alarms.share) == (4, 2, 0.5)
    assert alarms.binomial_p == pytest.approx(stats.binomtest(2, 4, 0.05).pvalue)
    nothing = FalseAlarms("m", "welch", np.array([math.nan]), 0.05).to_json()
    assert (nothing["share"], nothing["binomial_p"]) == (None, None)


def test_sums_keep_their_digits_where_a_mean_is_large() -> None:
    metric = unit_metric(LOG, "engagement_per_user")
    shifted = type(metric)(metric.name, metric.units, metric.values + 1e9)
    columns = MomentSums(shifted, {})
    found = columns.moments(columns.rows(slice(None)).sum(axis=0))
    assert found.variance == pytest.approx(float(metric.values.var(ddof=1)), rel=1e-6)


def test_units_that_do_not_fit_are_refused() -> None:
    metric = unit_metric(LOG, "ctr")
    with pytest.raises(ContextError, match="metrics must be of the 10 units"):
        re_assigned(IDS[:10], [metric], salts=SALTS)
    with pytest.raises(ContextError, match="covariates must be of the 900 units"):
        re_assigned(IDS, [metric], salts=SALTS, covariates={"x": np.zeros(3)})
    with pytest.raises(ConfigError, match="weights of the arms must sum to 1"):
        re_assigned(IDS, [metric], salts=SALTS, weights=(0.5, 0.6))
