import dataclasses
from pathlib import Path

import numpy as np
import pytest

from matinee_policies.candidates.biased_als import BiasedALSConfig, fit_biased_als
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.errors import DataError
from matinee_policies.interactions import Interactions
from matinee_simulator.world import World, relevance_moments


def test_items_with_few_ratings_are_left_out(dataset: Dataset, world: World) -> None:
    counts = dataset.interactions.item_counts()
    assert np.array_equal(world.item_rows, np.flatnonzero(counts >= 5))
    assert np.array_equal(world.popularity, counts[world.item_rows])
    assert world.n_items < len(dataset.catalogue)


def test_relevance_is_standardised_over_all_pairs(world: World) -> None:
    taste = world.user_factors.astype(np.float64) / world.relevance_sd
    relevance = world.quality + taste @ world.item_factors.T.astype(np.float64)
    assert relevance.mean() == pytest.approx(0.0, abs=1e-5)
    assert relevance.std() == pytest.approx(1.0, abs=1e-5)


def test_moments_equal_brute_force() -> None:
    rng = np.random.default_rng(2)
    b, q, p = rng.normal(size=30), rng.normal(size=(30, 4)), 0.5 + rng.normal(size=(11, 4))
    pairs = b + p @ q.T
    assert relevance_moments(b, q, p) == pytest.approx((pairs.mean(), pairs.std()), rel=1e-12)


def test_truth_is_the_biased_factorization(dataset: Dataset, world: World) -> None:
    kept = dataset.interactions.subset_items(world.item_rows)
    fitted = fit_biased_als(kept.matrix, BiasedALSConfig(), seed=1)
    stars = world.relevance_mean + world.relevance_sd * world.quality.astype(np.float64)
    np.testing.assert_allclose(stars, fitted.item_bias, atol=1e-6)
    np.testing.assert_allclose(world.user_factors, fitted.user_factors, atol=1e-6)


def test_topics_and_similarity_have_length_one(dataset: Dataset, world: World) -> None:
    lengths = np.linalg.norm(world.topics, axis=1)
    has_genre = dataset.catalogue.genres[world.item_rows].any(axis=1)
    np.testing.assert_allclose(lengths, has_genre, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(world.similarity, axis=1), 1.0, atol=1e-5)


def test_ratings_of_the_truth_are_distributed_like_the_data(dataset: Dataset, world: World) -> None:
    kept = dataset.interactions.subset_items(world.item_rows)
    users = kept.user_rows()
    stars = world.relevance_mean + world.relevance_sd * world.quality[kept.matrix.indices]
    stars = stars + world.user_bias[users]
    stars = stars + np.einsum(
        "nf,nf->n", world.user_factors[users], world.item_factors[kept.matrix.indices]
    )
    noise = np.random.default_rng(8).normal(size=stars.size)
    drawn = np.searchsorted(world.rating_cuts, stars + world.rating_noise * noise)
    real = np.searchsorted(world.rating_levels, kept.matrix.data)
    shares = [np.bincount(x, minlength=world.rating_levels.size) / x.size for x in (drawn, real)]
    # Two samples of n, one of which set the cuts: Kolmogorov-Smirnov at p = 1e-4.
    assert np.abs(np.cumsum(shares[0] - shares[1])).max() < 2.3 * np.sqrt(2 / stars.size)


def test_same_seed_same_world_and_it_survives_the_disk(
    dataset: Dataset, world: World, tmp_path: Path
) -> None:
    again = World.from_interactions(dataset.catalogue, dataset.interactions, seed=1)
    other = World.from_interactions(dataset.catalogue, dataset.interactions, seed=2)
    assert again.version == world.version != other.version
    world.save(tmp_path / "world.npz")
    loaded = World.load(tmp_path / "world.npz")
    assert loaded.version == world.version


def test_damaged_files_are_refused(world: World, tmp_path: Path) -> None:
    path = tmp_path / "world.npz"
    with pytest.raises(DataError, match="must exist"):
        World.load(path)
    world.save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"world\.npz"):
        World.load(path)
    dataclasses.replace(world, quality=world.quality.astype(np.float64)).save(path)
    with pytest.raises(DataError, match="with their types"):
        World.load(path)


def test_fields_must_fit_together(world: World) -> None:
    with pytest.raises(DataError, match=r"appeal must be \[M\]"):
        dataclasses.replace(world, appeal=world.appeal[:-1])
    broken = world.quality.copy()
    broken[3] = np.nan
    with pytest.raises(DataError, match="quality must be finite"):
        dataclasses.replace(world, quality=broken)
    with pytest.raises(DataError, match="relevance_sd must be > 0, got 0"):
        dataclasses.replace(world, relevance_sd=0.0)


def few(dataset: Dataset, users: int, items: int, ratings: int) -> tuple[Dataset, Interactions]:
    rng = np.random.default_rng(0)
    cells = rng.permutation(users * items)[:ratings] if users else np.zeros(0, dtype=np.int64)
    interactions = Interactions.from_triplets(
        cells // items,
        cells % items,
        rng.integers(1, 6, cells.size).astype(np.float32),
        np.zeros(cells.size, dtype=np.int64),
        rating_range=(1.0, 5.0),
        n_users=users,
        item_ids=dataset.catalogue.ids[:items],
    )
    return dataset, interactions


@pytest.mark.parametrize(
    ("users", "items", "ratings", "rule"),
    [
        (50, 10, 500, "at least 20 items with at least 5 ratings, got 10"),
        (50, 40, 100, "at least 20 items"),
        (0, 40, 0, "at least 20 items with at least 5 ratings, got 0"),
    ],
)
def test_tiny_data_is_refused(
    dataset: Dataset, users: int, items: int, ratings: int, rule: str
) -> None:
    _, interactions = few(dataset, users, items, ratings)
    catalogue = dataset.catalogue.subset(np.arange(items, dtype=np.int32))
    with pytest.raises(DataError, match=rule):
        World.from_interactions(catalogue, interactions, seed=1)


def test_one_user_or_another_catalogue_is_refused(dataset: Dataset) -> None:
    _, interactions = few(dataset, 1, 30, 30)
    catalogue = dataset.catalogue.subset(np.arange(30, dtype=np.int32))
    with pytest.raises(DataError, match="at least 2 users"):
        World.from_interactions(catalogue, interactions, seed=1, min_ratings=1)
    with pytest.raises(DataError, match="catalogue must have the 30 items"):
        World.from_interactions(dataset.catalogue, interactions, seed=1)
