"""Ratings: building, counting, splitting, storing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ConfigError, ContextError, DataError
from matinee_policies.interactions import Interactions


def random_interactions(
    seed: int = 0, *, n_users: int = 7, n_items: int = 11, share: float = 0.4
) -> Interactions:
    random = np.random.default_rng(seed)
    users, items = np.nonzero(random.random((n_users, n_items)) < share)
    shuffled = random.permutation(users.size)
    return Interactions.from_triplets(
        users[shuffled],
        items[shuffled],
        random.integers(1, 11, users.size) / 2,
        random.integers(0, 6, users.size),
        user_ids=np.arange(n_users, dtype=np.int64) + 100,
        item_ids=np.arange(n_items, dtype=np.int64) * 3,
        rating_range=(0.5, 5.0),
    )


def cells(x: Interactions) -> dict[tuple[int, int], tuple[float, int]]:
    columns = zip(x.user_rows(), x.matrix.indices, x.matrix.data, x.times, strict=True)
    return {(int(u), int(i)): (float(r), int(t)) for u, i, r, t in columns}


def build(**change: Any) -> Interactions:
    columns: dict[str, AnyArray] = {
        "users": np.array([0, 1, 1]),
        "items": np.array([2, 0, 1]),
        "ratings": np.array([4.0, 3.0, 5.0]),
        "times": np.array([7, 8, 9]),
    }
    rest: dict[str, Any] = {"n_users": 2, "n_items": 3, "rating_range": (0.5, 5.0)}
    for name, value in change.items():
        (columns if name in columns else rest)[name] = value
    return Interactions.from_triplets(*columns.values(), **rest)


def test_every_triplet_lands_in_its_cell() -> None:
    x = build(users=np.array([1, 0, 1]), items=np.array([2, 1, 0]))
    assert cells(x) == {(1, 2): (4.0, 7), (0, 1): (3.0, 8), (1, 0): (5.0, 9)}
    assert x.matrix.indices.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"items": np.array([2, 1, 1])}, "duplicate of user 1 and item 1"),
        ({"ratings": np.array([4.0, np.nan, 5.0])}, "within 0.5 and 5, got nan"),
        ({"ratings": np.array([4.0, np.inf, 5.0])}, "within 0.5 and 5, got inf"),
        ({"ratings": np.array([4.0, 5.5, 5.0])}, "within 0.5 and 5, got 5.5"),
        ({"ratings": np.array([4.0, 0.0, 5.0])}, "within 0.5 and 5, got 0.0"),
        ({"users": np.array([0, 1, 2])}, "users must be within 0 and 1, got 0 to 2"),
        ({"items": np.array([0, -1, 2])}, "items must be within 0 and 2, got -1 to 2"),
        ({"times": np.array([1, 2])}, "times must have shape"),
        ({"items": np.array([0.0, 1.0, 2.0])}, "items must be integers"),
        ({"rating_range": (5.0, 0.5)}, "rating_range must rise"),
        ({"n_users": None}, "either n_users or user_ids"),
        ({"item_ids": np.array([1, 2, 3])}, "either n_items or item_ids"),
        ({"n_users": None, "user_ids": np.array([3, 3])}, "user_ids must be distinct"),
    ],
)
def test_triplets_that_break_a_rule_are_refused(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(ContextError, match=rule):
        build(**change)


def test_records_with_loose_ends_are_refused() -> None:
    x = build()
    with pytest.raises(ContextError, match="times must be int64 of shape"):
        replace(x, times=x.times[:2])
    with pytest.raises(ContextError, match="float32"):
        replace(x, matrix=x.matrix.astype(np.float64))  # type: ignore[arg-type]
    unsorted = x.matrix.copy()
    unsorted.indices[1:] = unsorted.indices[1:][::-1].copy()
    unsorted.has_canonical_format = False
    unsorted.has_sorted_indices = False
    with pytest.raises(ContextError, match="ascending"):
        replace(x, matrix=unsorted)


def test_counts_and_sums() -> None:
    x = random_interactions()
    dense = x.matrix.toarray()
    assert x.item_counts().tolist() == (dense > 0).sum(axis=0).tolist()
    assert x.user_counts().tolist() == (dense > 0).sum(axis=1).tolist()
    np.testing.assert_allclose(x.item_sums(), dense.sum(axis=0, dtype=np.float64))
    assert (x.n_users, x.n_items) == dense.shape


def test_subset_items_moves_columns() -> None:
    x = random_interactions()
    rows = [9, 2, 4]
    part = x.subset_items(np.array(rows, dtype=np.int32))
    np.testing.assert_array_equal(part.matrix.toarray(), x.matrix.toarray()[:, rows])
    assert part.item_ids.tolist() == [27, 6, 12]
    assert {(u, rows[i]): v for (u, i), v in cells(part).items()} == {
        (u, i): v for (u, i), v in cells(x).items() if i in rows
    }
    for wrong in ([0, 0], [11], [-1]):
        with pytest.raises(ContextError, match="rows must be"):
            x.subset_items(np.array(wrong, dtype=np.int32))


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), share=st.floats(0.01, 0.99))
def test_splits_part_the_ratings(seed: int, share: float) -> None:
    x = random_interactions(seed)
    for train, test in (x.split_random(share, seed=seed), x.split_by_time(share)):
        assert train.matrix.shape == test.matrix.shape == x.matrix.shape
        assert cells(train) | cells(test) == cells(x)
        assert not cells(train).keys() & cells(test).keys()


def test_random_split_has_the_share_and_follows_its_seed() -> None:
    x = random_interactions(n_users=50, n_items=60)
    _, test = x.split_random(0.2, seed=3)
    assert test.matrix.nnz == round(0.2 * x.matrix.nnz)
    assert cells(test) == cells(x.split_random(0.2, seed=3)[1])
    assert cells(test) != cells(x.split_random(0.2, seed=4)[1])


def test_random_split_is_fair_to_every_rating() -> None:
    x = random_interactions()
    n, draws = x.matrix.nnz, 400
    tested = dict.fromkeys(cells(x), 0)
    for seed in range(draws):
        for cell in cells(x.split_random(0.3, seed=seed)[1]):
            tested[cell] += 1
    p = round(0.3 * n) / n
    # 4.5 sigma: the largest of some thirty counts is looked at.
    assert max(abs(k / draws - p) for k in tested.values()) < 4.5 * np.sqrt(p * (1 - p) / draws)


@pytest.mark.parametrize("share", [0.2, 0.29, 0.5, 0.9])
def test_split_by_time_takes_the_last_of_each_user(share: float) -> None:
    x = random_interactions(n_users=20, n_items=30)
    train, test = x.split_by_time(share)
    for user in range(x.n_users):
        own = sorted((t, i) for (u, i), (_, t) in cells(x).items() if u == user)
        last = int(share * len(own) + 1e-9)
        assert {i for u, i in cells(test) if u == user} == {i for _, i in own[len(own) - last :]}
    assert train.matrix.nnz + test.matrix.nnz == x.matrix.nnz


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_shares_outside_the_open_interval_are_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="within 0 and 1"):
        random_interactions().split_random(share, seed=0)
    with pytest.raises(ConfigError, match="within 0 and 1"):
        random_interactions().split_by_time(share)


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    x = random_interactions()
    x.save(tmp_path / "ratings.npz")
    loaded = Interactions.load(tmp_path / "ratings.npz")
    assert loaded.version == x.version
    assert cells(loaded) == cells(x)
    assert loaded.rating_range == (0.5, 5.0)
    assert x.version != random_interactions(1).version


def test_a_file_that_breaks_a_rule_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ratings.npz"
    random_interactions().save(path)
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for name, bad in (
        ("ratings", arrays["ratings"] + 9),
        ("indices", arrays["indices"] * 0),
        ("indices", arrays["indices"] + 100),
        ("indptr", arrays["indptr"][::-1]),
        ("times", arrays["times"][1:]),
        ("user_ids", arrays["user_ids"].astype(np.int32)),
    ):
        np.savez(path, **{**arrays, name: bad})
        with pytest.raises(DataError, match="valid interactions"):
            Interactions.load(path)
