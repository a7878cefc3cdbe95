import numpy as np
import pytest

from matinee_platform.unit_state import (
    EXPOSURE_HALF_LIFE,
    HISTORY_HALF_LIFE,
    NEVER,
    UnitStates,
    age_in_days,
)
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.popularity import PopularityConfig, fit_popularity
from matinee_policies.candidates.seen import is_seen
from matinee_policies.errors import ContextError
from matinee_policies.features import ItemFeatures
from matinee_policies.interactions import Interactions

M, G, N = 130, 3, 6


def _items() -> ItemFeatures:
    rng = np.random.default_rng(1)
    genres = rng.random((M, G)).astype(np.float32)
    genres /= np.linalg.norm(genres, axis=1, keepdims=True)
    return ItemFeatures(
        popularity=rng.random(M).astype(np.float32),
        popularity_residual=np.zeros(M, dtype=np.float32),
        novelty=rng.random(M).astype(np.float32),
        genres=genres,
        embeddings=genres.copy(),
    )


def _model() -> FactorModel:
    interactions = Interactions.from_triplets(
        np.zeros(M, dtype=np.int32),
        np.arange(M, dtype=np.int32),
        np.full(M, 3.0, dtype=np.float32),
        np.zeros(M, dtype=np.int64),
        n_users=1,
        n_items=M,
        rating_range=(0.5, 5.0),
    )
    return fit_popularity(interactions, PopularityConfig(), seed=0)


def _states(rest: int = 0) -> UnitStates:
    return UnitStates(N, items=_items(), model=_model(), rest=rest)


def _ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def test_watched_genres_add_up_and_the_last_item_is_remembered() -> None:
    states, items = _states(), _items()
    slates = _ints(5, 9, 7, 3).reshape(2, 2)
    clicks = np.array([[True, True], [False, False]])
    states.observe_page(_ints(1, 4), slates, clicks)
    seen = states.as_seen(_ints(1, 4))
    np.testing.assert_allclose(seen.genre_history[0], items.genres[5] + items.genres[9], rtol=1e-6)
    np.testing.assert_allclose(seen.genre_history[1], 0.0)
    np.testing.assert_allclose(seen.genre_exposure[1], items.genres[7] + items.genres[3], rtol=1e-6)
    assert seen.last_watched.tolist() == [9, NEVER]
    assert is_seen(states.seen, _ints(1, 1, 4), _ints(5, 9, 7)).tolist() == [True, True, False]


def test_history_halves_after_its_half_life_and_exposure_after_its_own() -> None:
    states = _states()
    unit = _ints(2)
    states.open_sessions(unit, 0)
    states.observe_page(unit, _ints(5, 8).reshape(1, 2), np.array([[True, False]]))
    states.close_sessions(unit, 0)
    before = states.as_seen(unit)
    gap = 21
    states.open_sessions(unit, gap)
    after = states.as_seen(unit)
    np.testing.assert_allclose(
        after.genre_history, before.genre_history * 2 ** (-gap / HISTORY_HALF_LIFE), rtol=1e-6
    )
    np.testing.assert_allclose(
        after.genre_exposure, before.genre_exposure * 2 ** (-gap / EXPOSURE_HALF_LIFE), rtol=1e-6
    )
    assert after.days_since_visit.tolist() == [gap]
    assert after.activity.tolist() == [1]


def test_first_visit_says_so() -> None:
    states = _states()
    states.open_sessions(_ints(0), 12)
    seen = states.as_seen(_ints(0))
    assert (seen.days_since_visit[0], seen.activity[0]) == (-1, 0)


def test_state_as_seen_is_a_copy() -> None:
    states = _states()
    seen = states.as_seen(_ints(0))
    states.observe_page(_ints(0), _ints(5).reshape(1, 1), np.array([[True]]))
    assert seen.last_watched[0] == NEVER
    assert not seen.genre_exposure.any()


def test_the_latest_impressions_rest_and_come_back() -> None:
    states = _states(rest=3)
    unit = _ints(3)
    nothing = np.zeros((1, 2), dtype=np.bool_)

    def hidden(*items: int) -> list[bool]:
        bits = states.hidden(unit)
        return list(is_seen(bits, np.zeros(len(items), dtype=np.int32), _ints(*items)))

    states.observe_page(unit, _ints(10, 64).reshape(1, 2), nothing)
    assert hidden(10, 64, 65) == [True, True, False]
    states.observe_page(unit, _ints(65, -1).reshape(1, 2), nothing)
    assert hidden(10, 64, 65) == [True, True, True]
    states.observe_page(unit, _ints(129, -1).reshape(1, 2), nothing)
    assert hidden(10, 64, 65, 129) == [False, True, True, True]
    assert not states.seen.any()


def test_past_ratings_count_by_age() -> None:
    states, items = _states(), _items()
    states.load_history(
        _ints(0, 0),
        _ints(4, 6),
        np.array([4.0, 2.0], dtype=np.float32),
        np.array([HISTORY_HALF_LIFE, 0.0]),
    )
    seen = states.as_seen(_ints(0))
    np.testing.assert_allclose(
        seen.genre_history[0], 0.5 * items.genres[4] + items.genres[6], rtol=1e-6
    )
    assert seen.last_watched[0] == 6
    assert is_seen(states.seen, _ints(0, 0), _ints(4, 6)).all()


def test_pages_of_different_units_commute() -> None:
    rng = np.random.default_rng(5)
    slates = rng.integers(0, M, (N, 4)).astype(np.int32)
    clicks = rng.random((N, 4)) < 0.4
    units = np.arange(N, dtype=np.int32)
    whole, parts = _states(rest=5), _states(rest=5)
    whole.observe_page(units, slates, clicks)
    for unit in units[::-1]:
        parts.observe_page(units[unit : unit + 1], slates[unit : unit + 1], clicks[unit : unit + 1])
    for name in ("genre_history", "genre_exposure", "last_watched", "seen"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    np.testing.assert_array_equal(whole.hidden(units), parts.hidden(units))


@pytest.mark.parametrize("unit", [-1, N])
def test_unknown_units_are_refused(unit: int) -> None:
    states = _states()
    with pytest.raises(ContextError, match=str(unit)):
        states.open_sessions(_ints(unit), 0)
    with pytest.raises(ContextError, match=str(unit)):
        states.observe_page(_ints(unit), _ints(1).reshape(1, 1), np.array([[False]]))


def test_age_counts_days_before_the_start() -> None:
    times = np.array([0, 86_400, 5 * 86_400], dtype=np.int64)
    assert age_in_days(times, 3 * 86_400).tolist() == [3.0, 2.0, 0.0]
