"""The statistics behind the stylised facts, against oracles."""

import math

import numpy as np
import pytest
import statsmodels.api as sm  # type: ignore[import-untyped]
from scipy import stats

from matinee_policies.arrays import Float32Array, IndexArray
from matinee_policies.datasets.shape_statistics import gini, hill_exponent
from matinee_policies.errors import ContextError
from matinee_simulator.stylised_facts import (
    RatingSample,
    Visits,
    fit_beta_geometric,
    fitted_persistence,
)
from matinee_simulator.stylised_facts.personalisation import (
    regression_slope,
)
from matinee_simulator.stylised_facts.popularity import count_quality_correlation
from matinee_simulator.stylised_facts.taste import variance_shares
from matinee_simulator.stylised_facts.visits import (
    curve_shape,
    rate_by_depth,
    stop_hazard,
    weekly_losses,
)


def sample_of(counts: IndexArray, ratings: Float32Array | None = None) -> RatingSample:
    """Items with the given counts, each rating by a user of its own unless there are fewer."""
    items = np.repeat(np.arange(counts.size), counts)
    users = np.concatenate([np.arange(count) for count in counts])
    stars = np.full(items.size, 4.0, dtype=np.float32) if ratings is None else ratings
    return RatingSample.of(users, items, stars)


def visits_of(
    visits: np.ndarray, pages: list[int] | None = None, *, most_pages: int = 10
) -> Visits:
    user, _ = np.nonzero(visits)
    counts = np.ones(user.size) if pages is None else np.array(pages)
    return Visits(
        visits=visits.astype(np.bool_),
        arrival=np.argmax(visits, axis=1).astype(np.int32),
        user=user.astype(np.int32),
        pages=counts.astype(np.int32),
        clicks=counts.astype(np.int32),
        most_pages=most_pages,
    )


def test_the_gini_of_exponential_counts_is_a_half() -> None:
    draws = np.random.default_rng(1).exponential(1.0, 200_000)
    assert gini(draws) == pytest.approx(0.5, abs=0.005)


def test_the_hill_estimator_finds_the_exponent_of_whole_power_law_counts() -> None:
    # Zeta draws have P(n) ~ n^-a; the error of the estimate is about (a - 1) / sqrt(tail).
    draws = np.asarray(stats.zipf.rvs(2.3, size=200_000, random_state=2))
    error = 1.3 / math.sqrt(np.count_nonzero(draws >= 10))
    assert hill_exponent(draws, least=10) == pytest.approx(2.3, abs=4 * error + 0.02)


# Fader and Hardie 2007, figure 1 and section 3: survivors of 1,000 customers, and their estimates.
@pytest.mark.parametrize(
    ("survivors", "a", "b"),
    [
        ([1000, 869, 743, 653, 593, 551, 517, 491], 0.668, 3.806),
        ([1000, 631, 468, 382, 326, 289, 262, 241], 0.704, 1.182),
    ],
)
def test_the_beta_geometric_fit_repeats_the_published_one(
    survivors: list[int], a: float, b: float
) -> None:
    fit = fit_beta_geometric(-np.diff(survivors), survivors[-1])
    assert fit.a == pytest.approx(a, abs=0.001)
    assert fit.b == pytest.approx(b, abs=0.002)
    assert fit.r_squared > 0.99


def test_the_beta_geometric_fit_recovers_a_simulated_cohort() -> None:
    rng = np.random.default_rng(3)
    lives = rng.geometric(rng.beta(0.8, 2.0, 200_000))
    left = np.array([(lives == period).sum() for period in range(1, 13)])
    fit = fit_beta_geometric(left, int((lives > 12).sum()))
    assert fit.a == pytest.approx(0.8, rel=0.02)
    assert fit.b == pytest.approx(2.0, rel=0.02)
    assert fit.r_squared > 0.9999


def test_a_beta_geometric_fit_needs_losses() -> None:
    with pytest.raises(ContextError, match="at least 2 periods"):
        fit_beta_geometric(np.array([3]), 5)
    with pytest.raises(ContextError, match="losses"):
        fit_beta_geometric(np.zeros(4), 5)


def test_gamma_is_that_of_a_poisson_regression() -> None:
    rng = np.random.default_rng(4)
    shown = rng.integers(5_000, 20_000, 10)
    clicked = rng.poisson(0.2 * shown * 0.8 ** np.arange(10))
    model = sm.GLM(
        clicked[1:],
        sm.add_constant(np.arange(9.0)),
        family=sm.families.Poisson(),
        offset=np.log(shown[1:]),
    )
    assert fitted_persistence(shown, clicked) == pytest.approx(
        math.exp(model.fit(tol=1e-12).params[1]), rel=1e-6
    )


def test_a_regression_with_controls_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(5)
    one, two = rng.normal(size=(2, 400))
    x = 0.5 * one + rng.normal(size=400)
    y = 2.0 * x - one + 0.3 * two + rng.normal(size=400) * (1 + np.abs(x))
    fit = sm.OLS(y, sm.add_constant(np.column_stack([x, one, two]))).fit(cov_type="HC1")
    slope, error = regression_slope(y, x, [one, two])
    assert slope == pytest.approx(fit.params[1], rel=1e-9)
    assert error == pytest.approx(fit.bse[1], rel=1e-9)
    with pytest.raises(ContextError, match="must vary"):
        regression_slope(y, one, [one])


def test_variance_shares_are_those_of_the_singular_values() -> None:
    values = np.random.default_rng(6).normal(size=(50, 8)) * np.arange(1, 9)
    found = np.linalg.svd(values - values.mean(axis=0), compute_uv=False) ** 2
    np.testing.assert_allclose(variance_shares(values), found / found.sum(), rtol=1e-9)


def test_the_hazard_of_geometric_sessions_is_flat() -> None:
    pages = np.random.default_rng(7).geometric(0.4, 100_000).astype(np.int32)
    hazard = stop_hazard(pages, np.arange(1, 6))
    reached = np.array([(pages >= page).sum() for page in range(1, 6)])
    assert (np.abs(hazard - 0.4) < 4 * np.sqrt(0.24 / reached)).all()


def test_the_correlation_leaves_rare_items_out() -> None:
    rng = np.random.default_rng(8)
    counts = rng.integers(1, 60, 300).astype(np.int32)
    stars = rng.choice([2.0, 3.0, 4.0], int(counts.sum())).astype(np.float32)
    sample = sample_of(counts, stars)
    kept = sample.item_counts >= 5
    expected = stats.pearsonr(np.log(sample.item_counts[kept]), sample.item_means[kept]).statistic
    assert count_quality_correlation(sample) == pytest.approx(expected, rel=1e-9)


def test_users_are_lost_in_the_week_of_their_last_visit() -> None:
    visits = np.zeros((4, 60), dtype=np.bool_)
    visits[:, 0] = True
    visits[1, 6] = visits[2, 7] = visits[3, 59] = True
    # 31 days are left before the settling time: four weeks.
    losses = weekly_losses(visits_of(visits))
    assert losses is not None
    assert losses[0].tolist() == [2, 1, 0, 0]
    assert losses[1] == 1
    assert weekly_losses(visits_of(visits[:, :40])) is None


def test_the_shape_of_a_curve_tells_exponential_from_power() -> None:
    days = np.arange(1.0, 30.0)
    exponential, power = np.exp(-0.1 * days), days**-0.5
    assert curve_shape(exponential)[0] == pytest.approx(0.0, abs=1e-9)
    assert curve_shape(power)[1] == pytest.approx(0.0, abs=1e-9)
    assert curve_shape(power)[0] > 0 > curve_shape(exponential)[1]


def test_return_rates_are_grouped_by_depth() -> None:
    rates = rate_by_depth(np.array([2, 2, 8, 11]), np.array([0.0, 1.0, 1.0, 1.0]))
    assert rates[0] == 0.5
    assert rates[-1] == 1.0
    assert np.isnan(rates[1:-1]).all()
