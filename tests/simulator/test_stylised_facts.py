"""Verdicts of the stylised facts, on worlds that keep them and on broken ones."""

import dataclasses
import math

import numpy as np
import pytest

from matinee_policies.arrays import Float32Array, IndexArray
from matinee_policies.datasets.dataset import Dataset
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
