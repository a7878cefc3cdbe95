import numpy as np
import pytest

from matinee_policies.candidates.popularity import PopularityConfig, fit_popularity
from matinee_policies.candidates.seen import empty_seen, mark_seen
from matinee_policies.candidates.top_k import rank
from matinee_policies.candidates.training_users import fold_in_training_users
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.interactions import Interactions

COUNTS = [2, 0, 5, 2, 3, 0]


def ratings(counts: list[int]) -> Interactions:
    """Item i is rated by the first `counts[i]` of six users."""
    items = np.repeat(np.arange(len(counts)), counts)
    users = np.concatenate([np.arange(n) for n in counts]).astype(np.int64)
    return Interactions.from_triplets(
        *(users, items, np.full(items.size, 4.0), np.arange(items.size)),
        n_users=6,
        n_items=len(counts),
        rating_range=(0.5, 5.0),
    )


def test_items_come_by_number_of_ratings_ties_by_row() -> None:
    interactions = ratings(COUNTS)
    model = fit_popularity(interactions, PopularityConfig(), seed=0)
    vectors = fold_in_training_users(model, interactions.matrix)
    got = rank(model, vectors, empty_seen(6, 6), 6)
    assert got.items.tolist() == [[2, 4, 0, 3, 1, 5]] * 6
    np.testing.assert_allclose(
        model.item_offset, np.log(1.0 + np.array(COUNTS, dtype=np.float64)), rtol=1e-6
    )


def test_seen_items_are_left_out() -> None:
    model = fit_popularity(ratings(COUNTS), PopularityConfig(), seed=0)
    seen = empty_seen(1, 6)
    mark_seen(seen, np.zeros(2, dtype=np.int32), np.array([2, 0], dtype=np.int32))
    got = rank(model, np.zeros((1, 1), dtype=np.float32), seen, 3)
    assert got.items.tolist() == [[4, 3, 1]]


def test_the_score_is_standardised_over_ratings() -> None:
    model = fit_popularity(ratings(COUNTS), PopularityConfig(), seed=0)
    logs = np.repeat(np.log1p(COUNTS), COUNTS)
    assert model.score_mean == pytest.approx(logs.mean(), rel=1e-6)
    assert model.score_scale == pytest.approx(logs.std(), rel=1e-5)


def test_equally_popular_items_have_score_one_half() -> None:
    model = fit_popularity(ratings([3, 3, 3]), PopularityConfig(), seed=0)
    assert model.score_scale == 1.0
    got = rank(model, np.zeros((1, 1), dtype=np.float32), empty_seen(1, 3), 3)
    np.testing.assert_allclose(got.scores, 0.5, atol=1e-6)


def test_the_seed_draws_nothing() -> None:
    first, other = (fit_popularity(ratings(COUNTS), PopularityConfig(), seed=s) for s in (0, 1))
    assert first.version == other.version


def test_no_ratings_and_unknown_settings_are_refused() -> None:
    with pytest.raises(ContextError, match="at least one rating"):
        fit_popularity(ratings([0, 0]), PopularityConfig(), seed=0)
    with pytest.raises(ConfigError, match="PopularityConfig has no setting 'half_life'"):
        PopularityConfig.from_json({"half_life": 3})
