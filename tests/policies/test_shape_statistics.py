"""Statistics of shape against closed forms and plain definitions."""

import numpy as np
import pytest
from scipy import stats

from matinee_policies.datasets.shape_statistics import (
    gini,
    hill_exponent,
    kolmogorov_distance,
    top_share,
    zipf_slope,
)
from matinee_policies.errors import ContextError


def test_gini_is_half_the_relative_mean_difference() -> None:
    counts = np.random.default_rng(0).integers(0, 50, 200)
    difference = np.abs(counts[:, None] - counts[None, :]).mean()
    assert abs(gini(counts) - difference / (2 * counts.mean())) < 1e-12


def test_gini_of_the_exponential_law_is_one_half() -> None:
    n = 200_000
    # The standard error of the estimate is below 1 / sqrt(12 n).
    sample = np.random.default_rng(1).exponential(1.0, n)
    assert abs(gini(sample) - 0.5) < 4 / np.sqrt(12 * n)


def test_top_share_of_equal_counts_is_the_share() -> None:
    assert top_share(np.ones(200), 0.1) == pytest.approx(0.1)
    assert top_share(np.arange(1, 101), 0.01) == pytest.approx(100 / 5050)


@pytest.mark.parametrize("slope", [0.3, 1.0, 1.7])
def test_zipf_slope_recovers_a_power_of_the_rank(slope: float) -> None:
    counts = 1e6 * np.arange(1, 1001) ** -slope
    shuffled = np.random.default_rng(2).permutation(counts)
    assert zipf_slope(shuffled) == pytest.approx(slope)


def test_zipf_slope_equals_scipys_regression() -> None:
    counts = np.sort(np.random.default_rng(3).pareto(1.5, 800) + 1)[::-1]
    fit = stats.linregress(np.log(np.arange(5, 501)), np.log(counts[4:500]))
    assert zipf_slope(counts) == pytest.approx(-fit.slope)


@pytest.mark.parametrize(("first", "last"), [(0, 10), (5, 5), (5, 11)])
def test_zipf_slope_refuses_ranks_that_do_not_exist(first: int, last: int) -> None:
    with pytest.raises(ContextError, match="ranks must satisfy"):
        zipf_slope(np.arange(1, 11), first=first, last=last)


@pytest.mark.parametrize("alpha", [1.8, 2.0, 2.5])
def test_hill_exponent_recovers_a_power_law(alpha: float) -> None:
    # Whole numbers from the power law by rounding a continuous one (Clauset et al., D.6).
    n = 50_000
    uniform = np.random.default_rng(4).random(n)
    counts = np.floor(9.5 * (1 - uniform) ** (-1 / (alpha - 1)) + 0.5)
    # The standard error is (alpha - 1) / sqrt(n); the approximation adds some tenths of a percent.
    assert abs(hill_exponent(counts) - alpha) < 4 * (alpha - 1) / np.sqrt(n) + 0.004


def test_hill_exponent_needs_a_tail() -> None:
    with pytest.raises(ContextError, match="counts must reach 10, got at most 3"):
        hill_exponent(np.array([1, 2, 3]))


def test_kolmogorov_distance_equals_scipys() -> None:
    random = np.random.default_rng(5)
    first, second = random.integers(0, 10, 300), random.integers(2, 12, 500)
    shares = [np.bincount(sample, minlength=12) for sample in (first, second)]
    assert kolmogorov_distance(*shares) == pytest.approx(stats.ks_2samp(first, second).statistic)
    assert kolmogorov_distance(shares[0], 7 * shares[0]) == pytest.approx(0, abs=1e-12)
