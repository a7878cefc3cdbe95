"""Compiled rollouts against `Simulation` driven page by page, to the last bit."""

import dataclasses
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from matinee_policies.datasets.dataset import Dataset
from matinee_policies.errors import ConfigError, ContextError
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout import (
    Played,
    Ranker,
    Sight,
    click_order,
    index_order,
    mmr_order,
    paired_difference,
    play,
    popularity_order,
    random_order,
    relevance_order,
    satisfaction_order,
)
from matinee_simulator.rollout.desk import new_desk
from matinee_simulator.rollout.life import add_difference
from matinee_simulator.rollout.page_order import take_diverse, take_diverse_reference
from matinee_simulator.rollout.played import gini
from matinee_simulator.rollout.reference import play_reference
from matinee_simulator.rollout.view import stars_of, stars_of_reference, view_of
from matinee_simulator.world import World

LIVELY = Parameters(
    arrival_days=3, click_base=-1.5, return_base=1.0, rating_share=0.5, fatigue_capacity=64
)
"""Many clicks, ratings and visits, and a ring of impressions that overflows."""

MOVING = dataclasses.replace(
    LIVELY,
    taste_drift=0.05,
    arriving_share=0.3,
    item_arrivals=20.0,
    item_life_days=30,
    click_freshness=1.0,
    shock_rate=0.5,
    season_amplitude=0.5,
)
"""Everything moves."""

RANKERS = (
    relevance_order(),
    mmr_order(0.6),
    random_order(),
    popularity_order(),
    click_order(),
    satisfaction_order(),
    index_order(2.0, 0.3),
    index_order(2.0, 0.3, 0.1),
)


@pytest.fixture(scope="session")
def sight(world: World, dataset: Dataset) -> Sight:
    return Sight.of_data(world, dataset.interactions, seed=1)


def check_equal(world: World, sight: Sight, ranker: Ranker, parameters: Parameters) -> None:
    sizes: dict[str, Any] = {"users": 6, "days": 10, "seed": 3, "slots": 8, "candidates": 40}
    played = play(world, sight, ranker, parameters=parameters, **sizes)
    sessions, exposure = play_reference(world, sight, ranker, parameters=parameters, **sizes)
    rows = played.sessions
    assert len(sessions) > 20
    for name in ("user", "day", "pages", "impressions", "examined"):
        assert getattr(rows, name).tolist() == [session[name] for session in sessions], name
    for name in ("satisfaction", "watched", "goodwill"):
        expected = np.array([session[name] for session in sessions], dtype=np.float32)
        assert getattr(rows, name).tobytes() == expected.tobytes(), name
    clicks = [session["clicks"] for session in sessions]
    assert rows.clicks.tolist() == [sum(pages) for pages in clicks]
    assert rows.first_page_clicks.tolist() == [pages[0] for pages in clicks]
    assert rows.last_page_clicks.tolist() == [pages[-1] for pages in clicks]
    assert played.exposure.tolist() == exposure.tolist()
    assert played.visits.sum() == len(sessions) == played.user_sessions.sum()
    assert played.visits[rows.user, rows.day].all()
    check_sums(played)


def check_sums(played: Played) -> None:
    """Users, slots and sessions count the same."""
    n, rows = played.arrival.size, played.sessions
    for name in ("pages", "impressions", "examined", "clicks"):
        by_user = np.bincount(rows.user, weights=getattr(rows, name), minlength=n)
        assert by_user.tolist() == getattr(played, f"user_{name}").tolist(), name
    for name in ("impressions", "examined", "clicks"):
        total = getattr(played, f"user_{name}").sum()
        assert getattr(played, f"slot_{name}").sum() == total, name
    assert played.exposure.sum() == played.user_examined.sum()
    by_user = np.bincount(rows.user, weights=rows.satisfaction, minlength=n)
    np.testing.assert_allclose(by_user, played.user_satisfaction, atol=1e-4)


@pytest.mark.parametrize("ranker", RANKERS, ids=lambda ranker: ranker.name)
def test_rollouts_equal_the_simulation_page_by_page(
    world: World, sight: Sight, ranker: Ranker
) -> None:
    check_equal(world, sight, ranker, LIVELY)


@pytest.mark.parametrize("model", ["cascade", "multinomial"])
@pytest.mark.parametrize("ranker", RANKERS[::4], ids=lambda ranker: ranker.name)
def test_rollouts_equal_the_simulation_in_every_click_model(
    world: World, sight: Sight, ranker: Ranker, model: str
) -> None:
    check_equal(world, sight, ranker, dataclasses.replace(LIVELY, click_model=model))


@pytest.mark.parametrize("ranker", RANKERS[::6], ids=lambda ranker: ranker.name)
def test_rollouts_equal_the_simulation_of_a_world_that_moves(
    world: World, sight: Sight, ranker: Ranker
) -> None:
    check_equal(world, sight, ranker, MOVING)


def test_shards_workers_and_audiences_change_nothing(
    world: World, sight: Sight, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: dict[str, Any] = {"users": 150, "days": 5, "seed": 3, "parameters": LIVELY}
    whole = play(world, sight, relevance_order(), **sizes)
    met = sight.meet(world, users=150, seed=3, parameters=LIVELY)
    monkeypatch.setattr(import_module("matinee_simulator.rollout.play"), "_SHARD_USERS", 64)
    options: dict[str, Any]
    for options in ({}, {"workers": 2}, {"audience": met}, {"audience": met}):
        other = play(world, sight, relevance_order(), **sizes, **options)
        for name in ("visits", "user_clicks", "exposure", "arrival", "slot_clicks"):
            assert np.array_equal(getattr(other, name), getattr(whole, name)), name
        for name in ("user", "clicks", "goodwill"):
            assert np.array_equal(getattr(other.sessions, name), getattr(whole.sessions, name))
    without = play(world, sight, relevance_order(), **sizes, keep_sessions=False)
    assert without.sessions.user.size == 0
    assert np.array_equal(without.user_clicks, whole.user_clicks)


def test_figures_follow_from_visits(world: World, sight: Sight) -> None:
    played = play(world, sight, relevance_order(), users=60, days=9, seed=4, parameters=LIVELY)
    active = [[bool(played.visits[u, played.arrival[u] + k]) for u in range(60)] for k in range(7)]
    share = played.day_share(3)
    assert share.value == np.mean(active[3])
    assert share.error == pytest.approx(np.std(active[3], ddof=1) / 60**0.5)
    assert played.smoothed(3).value == pytest.approx(np.mean([active[k] for k in (2, 3, 4)]))
    assert played.day_share(0).value == 1.0
    # Users who arrive on day 1 or 2 have no day 8 within the run.
    assert np.isnan(played.active_on(8)).sum() == (played.arrival > 0).sum()
    assert played.ctr().value == played.user_clicks.sum() / played.user_impressions.sum()
    assert played.sessions_per_user().value == played.visits.sum() / 60
    difference = paired_difference(played.active_on(3), played.active_on(3))
    assert difference == (0.0, 0.0)
    with pytest.raises(ConfigError, match="a run of 9 days knows of days 0 to 8, got day 28"):
        played.day_share(28)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"users": 0}, "users must be >= 1, got 0"),
        ({"days": 0}, "days must be >= 1, got 0"),
        ({"candidates": 5}, "candidates must be at least slots = 10, got 5"),
        ({"candidates": 5_000}, "candidates must be at most the"),
        ({"workers": 0}, "workers must be >= 1, got 0"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
    ],
)
def test_what_cannot_be_played_is_refused(
    world: World, sight: Sight, change: dict[str, int], complaint: str
) -> None:
    sizes = {"users": 4, "days": 2, "seed": 3} | change
    with pytest.raises(ConfigError, match=complaint):
        play(world, sight, relevance_order(), parameters=LIVELY, **sizes)  # type: ignore[arg-type]


def test_a_sight_or_an_audience_of_others_is_refused(
    world: World, sight: Sight, dataset: Dataset
) -> None:
    met = sight.meet(world, users=5, seed=3, parameters=LIVELY)
    with pytest.raises(ConfigError, match="audience must be of 4 users and seed 3"):
        play(
            world,
            sight,
            random_order(),
            users=4,
            days=2,
            seed=3,
            parameters=LIVELY,
            audience=met,
        )
    with pytest.raises(ContextError, match="known must have the"):
        Sight.fit(world, dataset.interactions, seed=1)
    with pytest.raises(ConfigError, match=r"weight must be <= 1, got 1\.5"):
        mmr_order(1.5)
    with pytest.raises(ConfigError, match=r"satisfaction_weight must be >= 0, got -1\.0"):
        index_order(-1.0, 0.0)


def test_a_new_user_is_seen_at_the_mean_of_the_population(world: World, sight: Sight) -> None:
    met = sight.meet(world, users=200, seed=3, parameters=LIVELY)
    new = met.counts == 0
    assert 30 < new.sum() < 100
    assert (met.vectors[new] == sight.taste.prior).all()
    assert (met.vectors[~new] != sight.taste.prior).any(axis=1).all()
    assert not met.seen[new].any()


@pytest.mark.parametrize("price", [0.0, 0.3, 5.0])
def test_diverse_pages_are_greedy_by_marginal_relevance(world: World, price: float) -> None:
    rng = np.random.default_rng(8)
    items = rng.choice(world.n_items, 30, replace=False).astype(np.int32)
    values = rng.normal(size=30)
    width = world.similarity.shape[1]
    desk = new_desk(depth=1, candidates=30, slots=12, words=1, factors=1, width=width)
    take_diverse(
        values.copy(),
        30,
        price,
        items,
        world.similarity,
        desk.doubles,
        desk.utility,
        desk.notes,
        desk.picked,
        desk.positions,
    )
    expected = take_diverse_reference(values, price, world.similarity[items], 12)
    assert desk.positions.tolist() == expected
    assert (expected != np.argsort(-values)[:12].tolist()) == (price > 0)


def test_difference_within_a_slate_is_the_mean_over_pairs(world: World) -> None:
    slate = np.array([5, 17, -1, 33, 2], dtype=np.int32)
    total = np.zeros(2)
    add_difference(world.similarity, slate, total)
    e = world.similarity[slate[slate >= 0]].astype(np.float64)
    pairs = [1 - e[i] @ e[j] for i in range(4) for j in range(i)]
    np.testing.assert_allclose(total, [np.mean(pairs), 1.0], rtol=1e-12)
    add_difference(world.similarity, np.array([5, -1], dtype=np.int32), total)
    assert total[1] == 1.0


def test_plays_in_stars_equal_their_twin(sight: Sight) -> None:
    view = view_of(sight, relevance_order())
    watch = np.array([0.0, 0.01, 0.4, 0.5, 0.99, 1.0], dtype=np.float32)
    expected = stars_of_reference(view, watch)
    found = np.array([stars_of(view, float(share)) for share in watch])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert expected[3] == np.float32(sight.star_mean)


def test_gini_of_counts() -> None:
    assert gini(np.full(7, 3)) == 0.0
    counts = np.random.default_rng(1).integers(0, 50, 40)
    pairs = np.abs(counts[:, None] - counts).mean()
    assert gini(counts) == pytest.approx(pairs / (2 * counts.mean()))
    assert np.isnan(gini(np.zeros(3, dtype=np.int64)))
