"""Sample ratio mismatch: scipy as the oracle, false alarms and the power that is promised."""

import math

import numpy as np
import pytest
from scipy import stats

from matinee_platform.analysis.srm import srm_p_value
from matinee_policies.errors import ConfigError, ContextError

ALARM = 0.001


@pytest.mark.parametrize(
    ("units", "weights"),
    [
        ([5_000, 5_300], [0.5, 0.5]),
        ([100, 210, 690], [0.1, 0.2, 0.7]),
        ([4, 3, 5, 2, 6], [0.2] * 5),
        ([0, 10], [0.5, 0.5]),
    ],
)
def test_equals_scipy(units: list[int], weights: list[float]) -> None:
    expected = stats.chisquare(units, np.array(weights) * sum(units)).pvalue
    assert srm_p_value(units, weights) == pytest.approx(expected, rel=1e-9)


def test_without_a_doubt() -> None:
    assert srm_p_value([10], [1.0]) == 1.0
    assert srm_p_value([5, 5, 1], [0.5, 0.5, 0.0]) == 0.0
    assert srm_p_value([5, 5, 0], [0.5, 0.5, 0.0]) == 1.0
    assert math.isnan(srm_p_value([0, 0], [0.5, 0.5]))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"must sum to 1, got 0\.9"):
        srm_p_value([1, 1], [0.5, 0.4])
    with pytest.raises(ContextError, match="2 counts of at least 0, got 1, 1, 1"):
        srm_p_value([1, 1, 1], [0.5, 0.5])
    with pytest.raises(ContextError, match="at least 0, got -1, 3"):
        srm_p_value([-1, 3], [0.5, 0.5])


def test_false_alarms_are_rare() -> None:
    weights = [0.5, 0.2, 0.2, 0.05, 0.05]
    draws = np.random.default_rng(1).multinomial(30_000, weights, size=20_000)
    alarms = sum(srm_p_value(units, weights) < ALARM for units in draws.tolist())
    assert stats.binomtest(alarms, len(draws), ALARM).pvalue > 1e-4
    assert alarms / len(draws) <= 0.002


def test_a_loss_of_one_twentieth_in_one_arm_is_noticed() -> None:
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(1_000):
        first = int(rng.binomial(30_000, 0.5))
        kept = int(rng.binomial(first, 0.95))
        alarms += srm_p_value([kept, 30_000 - first], [0.5, 0.5]) < ALARM
    assert alarms / 1_000 >= 0.8
