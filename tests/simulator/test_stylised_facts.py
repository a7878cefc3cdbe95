"""The statistics behind the stylised facts against oracles, and verdicts on broken worlds."""

import dataclasses
import math

import numpy as np
import pytest
import statsmodels.api as sm  # type: ignore[import-untyped]
from scipy import stats

from matinee_policies.arrays import Float32Array, IndexArray
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.shape_statistics import gini, hill_exponent
from matinee_policies.errors import ContextError
from matinee_simulator.parameters import Parameters
from matinee_simulator.stylised_facts import (
    FACTS,
    Breadth,
    Consumption,
    Figure,
    RatingSample,
    Verdict,
    Visits,
    activity,
    churn,
    come_once,
    depth_and_return,
    diverse_stay,
    fit_beta_geometric,
    fitted_persistence,
    judge,
    near,
    personalisation,
    popularity_inequality,
    position_curve,
    rating_biases,
    rating_shape,
    retention_curve,
    session_ends,
    simulated_sample,
    single_ratings,
    spectrum_of_population,
    tail,
    taste_spectrum,
    zipf,
)
from matinee_simulator.stylised_facts.literature import STOP_HAZARD
from matinee_simulator.stylised_facts.personalisation import (
    Effect,
    effects_are_small,
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
from matinee_simulator.world import World


def sample_of(counts: IndexArray, ratings: Float32Array | None = None) -> RatingSample:
    """Items with the given counts, each rating by a user of its own unless there are fewer."""
    items = np.repeat(np.arange(counts.size), counts)
    users = np.concatenate([np.arange(count) for count in counts])
    stars = np.full(items.size, 4.0, dtype=np.float32) if ratings is None else ratings
    return RatingSample.of(users, items, stars)


def heavy_counts(seed: int, n: int = 2_000) -> IndexArray:
    draws = np.random.default_rng(seed).pareto(1.0, n) + 1.0
    return np.minimum(5.0 * draws, 400).astype(np.int32)


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


def test_sessions_with_the_hazards_of_globo_pass_and_flat_ones_fail() -> None:
    rng = np.random.default_rng(9)
    hazards = np.append(STOP_HAZARD[:7], [0.31, STOP_HAZARD[7], 1.0])
    draws = rng.random((2, 40_000, 10)) < hazards
    lively = [visits_of(np.ones((40_000, 1)), (np.argmax(d, axis=1) + 1).tolist()) for d in draws]
    assert session_ends(lively).verdict is Verdict.PASS
    flat = np.minimum(rng.geometric(0.45, 40_000), 10).tolist()
    finding = session_ends([visits_of(np.ones((40_000, 1)), flat)] * 2)
    assert finding.verdict is Verdict.FAIL
    assert "page 1" in finding.reason


def returning(rng: np.random.Generator, n: int, days: int, *, churns: bool) -> Visits:
    """Users who come with a probability of their own, and leave for good with another."""
    chance, leaves = rng.beta(1.2, 2.0, n), rng.beta(0.7, 8.0, n)
    gone = rng.geometric(leaves) if churns else np.full(n, days + 1)
    visits = (rng.random((n, days)) < chance[:, None]) & (np.arange(days) < gone[:, None])
    visits[:, 0] = True
    return visits_of(visits)


def test_facts_about_visits_tell_churn_from_constancy() -> None:
    rng = np.random.default_rng(10)
    mortal = [returning(rng, 3_000, 90, churns=True) for _ in range(2)]
    assert churn(mortal).verdict is Verdict.PASS
    assert retention_curve(mortal).verdict is Verdict.PASS
    immortal = [returning(rng, 500, 90, churns=False) for _ in range(2)]
    assert retention_curve(immortal).verdict is Verdict.FAIL
    assert come_once(immortal).verdict is Verdict.FAIL
    assert come_once([returning(rng, 50, 10, churns=True)]).verdict is Verdict.NOT_APPLICABLE
    assert churn([returning(rng, 50, 30, churns=True)]).verdict is Verdict.NOT_APPLICABLE


def test_depth_that_does_not_matter_fails() -> None:
    rng = np.random.default_rng(11)
    n = 60_000
    visits = np.zeros((n, 5), dtype=np.bool_)
    visits[:, 0] = True
    pages = rng.integers(1, 8, n)
    visits[:, 1] = rng.random(n) < 0.3 + 0.045 * (pages - 1)
    counts = np.ones(int(visits.sum()), dtype=np.int64)
    counts[np.unique(np.nonzero(visits)[0], return_index=True)[1]] = pages
    assert depth_and_return([visits_of(visits, counts.tolist())] * 2).verdict is Verdict.PASS
    visits[:, 1] = rng.random(n) < 0.4
    counts = np.ones(int(visits.sum()), dtype=np.int64)
    counts[np.unique(np.nonzero(visits)[0], return_index=True)[1]] = pages
    assert depth_and_return([visits_of(visits, counts.tolist())] * 2).verdict is Verdict.FAIL


def test_even_popularity_fails_where_heavy_tails_pass() -> None:
    real, alike = sample_of(heavy_counts(1)), [sample_of(heavy_counts(seed)) for seed in (2, 3)]
    even = [sample_of(np.full(2_000, 20, dtype=np.int32))] * 2
    assert popularity_inequality(alike, real, published=False).verdict is Verdict.PASS
    for fact in (popularity_inequality, zipf, tail):
        assert fact(even, real, published=False).verdict is Verdict.FAIL


def test_the_published_figure_is_a_gate_where_it_is_of_these_data() -> None:
    real = sample_of(heavy_counts(1))
    finding = popularity_inequality([real], real, whole=[real], published=True)
    assert finding.verdict is Verdict.FAIL
    assert "published" in finding.reason
    assert "fewer than five ratings" in finding.reason
    assert single_ratings([real], real, published=False).verdict is Verdict.PASS


def test_facts_about_ratings_tell_shapes_apart() -> None:
    rng = np.random.default_rng(12)
    users, items = (part.ravel() for part in np.meshgrid(np.arange(200), np.arange(60)))
    tastes = rng.normal(0, 0.6, 200)[users] + rng.normal(0, 0.5, 60)[items]
    noise = rng.normal(0, 0.9, users.size)

    def stars(scale: float, shift: float) -> RatingSample:
        values = np.clip(np.round(2 * (3.5 + shift + scale * tastes + noise)) / 2, 0.5, 5.0)
        return RatingSample.of(users, items, values)

    real = stars(1.0, 0.0)
    assert rating_shape([stars(1.0, 0.0)], real, published=False).verdict is Verdict.PASS
    assert rating_shape([stars(1.0, -1.0)], real, published=False).verdict is Verdict.FAIL
    assert rating_biases([stars(1.0, 0.0)], real, published=False).verdict is Verdict.PASS
    assert rating_biases([stars(0.1, 0.0)], real, published=False).verdict is Verdict.FAIL


def test_activity_is_compared_in_multiples_of_the_median() -> None:
    rng = np.random.default_rng(13)

    def raters(scale: float, spread: float) -> RatingSample:
        counts = np.maximum(scale * rng.lognormal(0.0, spread, 2_000), 1).astype(np.int64)
        users = np.repeat(np.arange(counts.size), counts)
        return RatingSample.of(users, np.arange(users.size), np.full(users.size, 3.0))

    real = raters(80, 1.2)
    assert activity([raters(20, 1.2)], real).verdict is Verdict.PASS
    assert activity([raters(80, 0.3)], real).verdict is Verdict.FAIL


def test_personalisation_needs_all_three_signs() -> None:
    popular = [Breadth(clicks=10.0 + s, diversity=0.8, coverage=0.1) for s in (0.0, 0.1, 0.2)]
    personal = [Breadth(clicks=12.0 + s, diversity=0.74, coverage=0.2) for s in (0.1, 0.0, 0.3)]
    # No spread over populations would leave a sign without an error.
    personal = [
        dataclasses.replace(one, diversity=one.diversity + 0.001 * place, coverage=0.2 + place / 99)
        for place, one in enumerate(personal)
    ]
    assert personalisation(personal, popular).verdict is Verdict.PASS
    assert personalisation(popular, personal).verdict is Verdict.FAIL


def test_diversity_is_judged_with_activity_held() -> None:
    rng = np.random.default_rng(14)
    clicks = rng.integers(2, 40, 4_000).astype(np.float64)
    sessions = np.maximum(clicks // 4, 1.0)
    diversity = 0.5 + 0.01 * clicks + rng.normal(0, 0.1, clicks.size)
    noise = rng.normal(0, 1, clicks.size)

    def users(effect: float) -> Consumption:
        later = 2.0 * np.log(clicks) + effect * diversity + noise
        return Consumption(diversity=diversity, clicks=clicks, sessions=sessions, later=later)

    assert diverse_stay(users(3.0)).verdict is Verdict.PASS
    # Diverse users still come more often here, as active ones are more diverse.
    found = diverse_stay(users(0.0))
    assert found.verdict is Verdict.FAIL
    assert found.figures[2].value > 3 * found.figures[2].standard_error
    assert diverse_stay(
        Consumption(
            diversity=diversity[:9], clicks=clicks[:9], sessions=sessions[:9], later=noise[:9]
        )
    ).verdict is (Verdict.NOT_APPLICABLE)


def test_a_large_effect_on_retention_fails() -> None:
    small = Effect(policy="a", d28=0.11, control=0.10, standard_error=0.002)
    large = Effect(policy="b", d28=0.14, control=0.10, standard_error=0.002)
    assert effects_are_small([small]).verdict is Verdict.PASS
    assert effects_are_small([small, large]).verdict is Verdict.FAIL


def test_a_position_curve_of_another_gamma_fails() -> None:
    shown = [np.full(10, 50_000)] * 2
    clicked = [(5_000 * 0.85 ** np.arange(10)).astype(np.int64)] * 2
    common = {"click_model": "position"}
    assert position_curve(shown, clicked, persistence=0.85, **common).verdict is Verdict.PASS
    assert position_curve(shown, clicked, persistence=0.80, **common).verdict is Verdict.FAIL
    rising = [np.sort(one) for one in clicked]
    assert position_curve(shown, rising, persistence=0.85, **common).verdict is Verdict.FAIL
    other = position_curve(shown, clicked, persistence=0.85, click_model="cascade")
    assert other.verdict is Verdict.NOT_APPLICABLE


def test_taste_without_structure_fails(world: World) -> None:
    spectra = [spectrum_of_population(world, Parameters(), users=400, seed=seed) for seed in (1, 2)]
    for ratings, relevance in spectra:
        assert ratings.sum() == pytest.approx(1.0)
        # Relevance has the rank of the factors.
        assert relevance[world.item_factors.shape[1] :].max() < 1e-9
        # Noise, which ratings have and relevance has not, fills every direction.
        assert ratings[-1] > 1e-4
    white = np.full(100, 0.01)
    assert taste_spectrum([(white, white)] * 2).verdict is Verdict.FAIL


def test_simulated_histories_are_as_many_as_real_ones(dataset: Dataset, world: World) -> None:
    real = RatingSample.of_interactions(dataset.interactions.subset_items(world.item_rows))
    simulated = simulated_sample(world, Parameters(), seed=1, ratings=real.size)
    assert simulated.size == pytest.approx(real.size, rel=0.1)
    assert simulated.item_counts.sum() == simulated.user_counts.sum() == simulated.size
    mean = np.average(simulated.item_means, weights=simulated.item_counts)
    assert mean == pytest.approx(np.average(simulated.levels, weights=simulated.level_counts))


def test_judging() -> None:
    assert judge([])[0] is Verdict.NOT_APPLICABLE
    assert judge([Figure(name="a", value=1.0, low=0.0, high=2.0)]) == (Verdict.PASS, "")
    # What cannot be told does not pass.
    verdict, reason = judge([Figure(name="a", value=math.nan, low=0.0, source="data")])
    assert (verdict, reason) == (Verdict.FAIL, "a cannot be told (data).")
    verdict, reason = judge(
        [
            near("b", [1.0, 1.2], 2.0, tolerance=0.5, source="x"),
            near("c", [9.0], 2.0, tolerance=0.5, source="x"),
            near("d", [9.0], 2.0, tolerance=0.5, source="x", gated=False),
        ]
    )
    assert verdict is Verdict.FAIL
    assert reason == "b is 1.100, below 1.500 (x); c is 9.000, above 2.500 (x)."


def test_facts_are_numbered_and_findings_go_through_json() -> None:
    assert [fact.key for fact in FACTS] == [f"fact-{number}" for number in range(1, 25)]
    real = sample_of(heavy_counts(1))
    content = zipf([real, real], real, published=False).to_json()
    assert content["verdict"] == "pass"
    assert content["figures"][0]["accepted"] is True
    assert {line["role"] for line in content["plot"]["lines"]} == {"simulated", "data"}
    assert content["figures"][0]["standard_error"] == 0.0
    single = near("a", [1.0], 1.0, tolerance=0.1, source="x")
    assert math.isnan(single.standard_error)
