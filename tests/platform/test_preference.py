"""The preference between two interleaved rankings: closed forms, scipy, and its coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from matinee_platform.analysis.preference import preference, sign_test
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ContextError


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (7, 3), (50, 50), (40_300, 39_700)])
def test_the_sign_test_is_that_of_scipy(wins: int, losses: int) -> None:
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected, rel=1e-9)
    assert sign_test(losses, wins) == sign_test(wins, losses)


def test_the_interval_is_the_delta_method_of_a_ratio_of_sums() -> None:
    rng = np.random.default_rng(1)
    credit = rng.poisson([1.5, 1.0], size=(500, 2)).astype(np.float64)
    found = preference(credit)
    n, (top, bottom) = len(credit), (credit[:, 0] - credit[:, 1], credit.sum(axis=1))
    ratio = top.sum() / bottom.sum()
    covariance = np.cov(top, bottom)
    variance = (
        covariance[0, 0] - 2 * ratio * covariance[0, 1] + ratio**2 * covariance[1, 1]
    ) / bottom.mean() ** 2
    half = stats.t.ppf(0.975, n - 1) * math.sqrt(variance / n)
    assert found.preference == pytest.approx(ratio, rel=1e-12)
    assert (found.low, found.high) == pytest.approx((ratio - half, ratio + half), rel=1e-9)
    assert found.share == pytest.approx(credit[:, 0].sum() / bottom.sum(), rel=1e-12)
    assert found.first_wins + found.second_wins + found.ties == n


def test_swapping_the_teams_turns_the_sign() -> None:
    credit = np.random.default_rng(2).poisson(1.0, size=(200, 2)).astype(np.float64)
    one, other = preference(credit), preference(credit[:, ::-1])
    assert other.preference == pytest.approx(-one.preference, abs=1e-12)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-12)
    assert (other.first_wins, other.second_wins) == (one.second_wins, one.first_wins)


def test_no_false_preference_where_units_differ_wildly() -> None:
    rng = np.random.default_rng(3)
    runs, wrong_mean, wrong_sign = 1_000, 0, 0
    for _ in range(runs):
        # Credit of a unit: as much as it clicks, by fair coins.
        clicks = rng.poisson(rng.gamma(0.5, 4.0, size=400))
        first = rng.binomial(clicks, 0.5)
        found = preference(np.stack([first, clicks - first], axis=1).astype(np.float64))
        wrong_mean += found.p_value < 0.05
        wrong_sign += found.sign_p_value < 0.05
    error = math.sqrt(0.05 * 0.95 / runs)
    assert abs(wrong_mean / runs - 0.05) < 4 * error
    # The exact test is conservative, by as much as the binomial law is discrete.
    assert wrong_sign / runs < 0.05 + 4 * error


def test_no_credit_at_all_gives_no_number() -> None:
    found = preference(np.zeros((5, 2)))
    assert found.ties == 5
    assert math.isnan(found.preference)
    assert found.to_json()["preference"] is None


@pytest.mark.parametrize("credit", [np.zeros(3), np.zeros((3, 3)), np.array([[1.0, -1.0]])])
def test_bad_credit_is_refused(credit: FloatArray) -> None:
    with pytest.raises(ContextError, match="credit must be"):
        preference(credit)
