"""Past ratings come in parts, the same whoever asks, in whatever pieces."""

from pathlib import Path

import numpy as np
import pytest

from matinee_platform.offline import past_ratings
from matinee_platform.offline.past_ratings import (
    DrawnPast,
    Past,
    PastRatings,
    StoredPast,
    all_ratings,
    popularity,
    save_past,
)
from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_policies.errors import DataError
from matinee_simulator.history import initial_interactions
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population
from matinee_simulator.world import World

USERS, SEED = 53, 4


@pytest.fixture(scope="module")
def world() -> World:
    dataset = synthetic_dataset(seed=2, n_users=80, n_items=400)
    return World.from_interactions(dataset.catalogue, dataset.interactions, seed=1)


@pytest.fixture
def drawn(world: World, monkeypatch: pytest.MonkeyPatch) -> DrawnPast:
    monkeypatch.setattr(past_ratings, "USERS_PER_PART", 10)
    return DrawnPast(world, Parameters(), n_users=USERS, seed=SEED)


@pytest.fixture
def stored(drawn: DrawnPast, tmp_path: Path) -> StoredPast:
    save_past(drawn, tmp_path / "past")
    return StoredPast(tmp_path / "past", n_users=USERS)


def _at_once(world: World, users: np.ndarray) -> PastRatings:
    population = Population.draw(world, users, seed=SEED, parameters=Parameters())
    return PastRatings(*initial_interactions(world, population, seed=SEED))


def _joined(past: Past, users: np.ndarray) -> PastRatings:
    parts = list(past.of(users))
    names = ("users", "items", "ratings", "times")
    return PastRatings(*(np.concatenate([getattr(part, n) for part in parts]) for n in names))


@pytest.mark.parametrize("source", ["drawn", "stored"])
def test_parts_hold_what_is_drawn_at_once(
    world: World, source: str, request: pytest.FixtureRequest
) -> None:
    past: Past = request.getfixturevalue(source)
    for users in (np.arange(USERS), np.array([3, 9, 10, 27, 52]), np.array([40])):
        expected, found = _at_once(world, users), _joined(past, users)
        for name in ("users", "items", "ratings", "times"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
            assert getattr(found, name).dtype == getattr(expected, name).dtype


def test_all_and_their_popularity(world: World, stored: StoredPast) -> None:
    whole = all_ratings(stored)
    expected = _at_once(world, np.arange(USERS))
    np.testing.assert_array_equal(whole.items, expected.items)
    counts, raters = popularity(stored, items=world.n_items)
    assert counts.tolist() == np.bincount(expected.items, minlength=world.n_items).tolist()
    assert raters == len(set(expected.users.tolist())) < USERS


def test_no_more_than_a_part_is_read(stored: StoredPast, tmp_path: Path) -> None:
    assert len(list((tmp_path / "past").glob("part-*.npz"))) == 6
    (tmp_path / "past" / "part-00005.npz").unlink()
    assert max(part.users.max() for part in stored.of(np.arange(50))) < 50
    with pytest.raises(DataError, match=r"part-00005\.npz"):
        list(stored.of(np.arange(USERS)))
