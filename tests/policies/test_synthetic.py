"""Drawn data has the shape of MovieLens latest-small: every figure, on two seeds.

The figures are those of the 100,836 ratings of that collection; the tolerances are stated with
each.
"""

from itertools import pairwise

import numpy as np
import pytest

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.shape_statistics import (
    gini,
    hill_exponent,
    kolmogorov_distance,
    top_share,
    zipf_slope,
)
from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_policies.datasets.synthetic_ratings import (
    FACTORS,
    STAR_SHARES,
    STARS,
    draw_opinions,
)
from matinee_policies.datasets.synthetic_words import GENRES
from matinee_policies.errors import ConfigError
from matinee_policies.interactions import Interactions


@pytest.fixture(scope="module", params=[0, 7])
def drawn(request: pytest.FixtureRequest) -> Dataset:
    return synthetic_dataset(seed=request.param)


@pytest.fixture(scope="module")
def ratings(drawn: Dataset) -> Interactions:
    return drawn.interactions


def test_size(ratings: Interactions) -> None:
    assert (ratings.n_users, ratings.n_items) == (610, 9_724)
    assert 95_000 < ratings.matrix.nnz < 107_000


def test_item_popularity_is_heavy_tailed(ratings: Interactions) -> None:
    counts = ratings.item_counts()
    assert counts.min() == 1
    assert abs(gini(counts) - 0.716) < 0.05
    assert abs(top_share(counts, 0.10) - 0.60) < 0.05
    assert abs(top_share(counts, 0.01) - 0.16) < 0.05


def test_zipf_slope_and_tail_exponent(ratings: Interactions) -> None:
    counts = ratings.item_counts()
    assert abs(zipf_slope(counts) - 0.45) < 0.15
    assert abs(hill_exponent(counts) - 1.99) < 0.2


def test_share_of_items_with_one_rating(ratings: Interactions) -> None:
    assert abs(float((ratings.item_counts() == 1).mean()) - 0.35) < 0.08


def test_user_activity_is_heavy_tailed(ratings: Interactions) -> None:
    counts = ratings.user_counts()
    assert counts.min() == 20
    assert abs(gini(counts) - 0.60) < 0.05
    quantiles = np.quantile(counts, [0.10, 0.25, 0.50, 0.75, 0.90, 0.99])
    ratio = quantiles / np.array([24, 35, 70.5, 168, 400, 1256])
    assert np.abs(np.log(ratio)).max() < np.log(1.35)
    assert np.abs(np.log(ratio[1:4])).max() < np.log(1.3)


def test_ratings_are_left_skewed_with_mode_four(ratings: Interactions) -> None:
    stars = ratings.matrix.data.astype(np.float64)
    shares = np.array([(stars == star).mean() for star in STARS])
    assert shares.sum() == pytest.approx(1)
    assert kolmogorov_distance(shares, STAR_SHARES) < 0.05
    assert STARS[np.argmax(shares)] == 4.0
    assert abs(stars.mean() - 3.50) < 0.05
    assert abs(stars.std() - 1.04) < 0.05


def test_popularity_is_weakly_tied_to_quality(ratings: Interactions) -> None:
    counts = ratings.item_counts()
    known = counts >= 5
    means = ratings.item_sums()[known] / counts[known]
    assert abs(np.corrcoef(np.log(counts[known]), means)[0, 1] - 0.27) < 0.1


def test_user_and_item_biases(ratings: Interactions) -> None:
    stars = ratings.matrix.data.astype(np.float64)
    counts = ratings.user_counts()
    user_means = np.bincount(ratings.user_rows(), stars) / counts
    assert abs(user_means[counts >= 20].std() - 0.48) < 0.08
    counts = ratings.item_counts()
    item_means = ratings.item_sums()[counts >= 20] / counts[counts >= 20]
    assert abs(item_means.std() - 0.44) < 0.08


def test_taste_has_low_rank_and_niches(drawn: Dataset) -> None:
    opinions = draw_opinions(
        np.random.default_rng(1),
        n_users=610,
        genres=drawn.catalogue.genres,
        item_counts=drawn.interactions.item_counts(),
        quality=np.zeros(len(drawn.catalogue)),
    )
    some = slice(0, None, 3)
    likes = opinions.item_biases[some] + opinions.taste()[some].T
    likes = likes + np.random.default_rng(2).normal(0, 0.74, likes.shape)
    spectrum = np.linalg.eigvalsh(likes @ likes.T)[::-1]
    shares = spectrum / spectrum.sum()
    # Full ratings of jokes (Jester): 26 % in the first factor, then 1 to 5 % each.
    assert abs(shares[0] - 0.26) < 0.06
    assert shares[1] < 0.08
    assert (shares[1:11] > 0.01).all()
    assert shares[FACTORS + 1] < 0.003


def test_taste_can_be_learned(ratings: Interactions) -> None:
    train, test = ratings.split_random(0.2, seed=0)
    users, items = test.user_rows(), test.matrix.indices
    flat, residual = fit_biases(train)
    user_factors, item_factors = fit_factors(train, residual)
    error = test.matrix.data - (flat[0] + flat[1][users] + flat[2][items])
    better = error - (user_factors[users] * item_factors[items]).sum(axis=1)
    gain = float(np.sqrt((error**2).mean()) - np.sqrt((better**2).mean()))
    assert gain > 0.008


def fit_biases(x: Interactions) -> tuple[tuple[float, FloatArray, FloatArray], FloatArray]:
    users, items = x.user_rows(), x.matrix.indices
    stars = x.matrix.data.astype(np.float64)
    mean = float(stars.mean())
    of_user, of_item = np.zeros(x.n_users), np.zeros(x.n_items)
    for _ in range(8):
        left = stars - mean - of_user[users]
        of_item = np.bincount(items, left, minlength=x.n_items) / (x.item_counts() + 5)
        left = stars - mean - of_item[items]
        of_user = np.bincount(users, left, minlength=x.n_users) / (x.user_counts() + 5)
    return (mean, of_user, of_item), stars - mean - of_user[users] - of_item[items]


def fit_factors(x: Interactions, residual: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Alternating ridge regressions, row by row."""
    users, items = x.user_rows(), x.matrix.indices
    of_item = np.random.default_rng(0).normal(0, 0.3, (x.n_items, 16))
    for _ in range(4):
        of_user = ridge_rows(users, of_item[items], residual, n=x.n_users)
        of_item = ridge_rows(items, of_user[users], residual, n=x.n_items)
    return of_user, of_item


def ridge_rows(rows: IndexArray, inputs: FloatArray, target: FloatArray, *, n: int) -> FloatArray:
    order = np.argsort(rows, kind="stable")
    bounds = np.searchsorted(rows[order], np.arange(n + 1))
    grams, moments = np.empty((n, 16, 16)), np.empty((n, 16, 1))
    for row, (start, stop) in enumerate(pairwise(bounds)):
        own = order[start:stop]
        grams[row] = inputs[own].T @ inputs[own] + (0.08 * (stop - start) + 4) * np.eye(16)
        moments[row, :, 0] = inputs[own].T @ target[own]
    return np.asarray(np.linalg.solve(grams, moments)[:, :, 0])


def test_every_film_is_described(drawn: Dataset) -> None:
    catalogue = drawn.catalogue
    assert len(set(catalogue.titles)) == len(catalogue)
    assert all(
        title.endswith(f" ({year})")
        for title, year in zip(catalogue.titles, catalogue.years, strict=True)
    )
    assert catalogue.genre_names == GENRES
    assert catalogue.genres.any(axis=0).all()
    none = float((~catalogue.genres.any(axis=1)).mean())
    assert 0 < none < 0.01
    assert 1.5 < catalogue.genres.sum(axis=1).mean() < 2.7
    people = np.diff(catalogue.people.indptr)
    assert people.min() >= 2
    assert people.max() <= 7
    assert np.diff(catalogue.keywords.indptr).max() > 0
    assert catalogue.years.min() >= 1915
    assert catalogue.years.max() == 2018


def test_nobody_rates_a_film_before_its_year(drawn: Dataset) -> None:
    x = drawn.interactions
    moments = x.times.astype("datetime64[s]").astype("datetime64[Y]").astype(int) + 1970
    assert (moments >= drawn.catalogue.years[x.matrix.indices]).all()
    assert x.times.min() >= np.datetime64("1996-03-29", "s").astype(int)
    assert x.times.max() <= np.datetime64("2018-09-24", "s").astype(int)


def test_many_users_rate_on_one_day_only(ratings: Interactions) -> None:
    starts = ratings.matrix.indptr[:-1]
    span = np.maximum.reduceat(ratings.times, starts) - np.minimum.reduceat(ratings.times, starts)
    # MovieLens latest-small: 59 %.
    assert abs(float((span < 86_400).mean()) - 0.59) < 0.12


def test_the_run_can_say_that_data_is_drawn(drawn: Dataset) -> None:
    assert drawn.name == "synthetic"
    assert drawn.description.startswith("synthetic catalogue, 610 users, 9,724 films, 10")
    assert drawn.description.endswith("(no real data: set MATINEE_DATA or --data DIR)")
    assert "\n" not in drawn.description


def test_equal_seeds_give_equal_data() -> None:
    one, same, other = (synthetic_dataset(seed=seed, n_users=60, n_items=300) for seed in (3, 3, 4))
    assert one.catalogue.version == same.catalogue.version
    assert one.interactions.version == same.interactions.version
    assert one.catalogue.version != other.catalogue.version
    assert one.interactions.version != other.interactions.version


@pytest.mark.parametrize(("n_users", "n_items"), [(20, 60), (25, 400), (300, 70), (150, 3000)])
def test_other_sizes_keep_the_limits(n_users: int, n_items: int) -> None:
    x = synthetic_dataset(seed=1, n_users=n_users, n_items=n_items).interactions
    assert (x.n_users, x.n_items) == (n_users, n_items)
    assert x.user_counts().min() >= 20
    assert x.item_counts().min() >= 1


@pytest.mark.parametrize(
    ("n_users", "n_items", "seed", "rule"),
    [
        (19, 100, 0, "n_users must be >= 20, got 19"),
        (100, 59, 0, "n_items must be >= 60, got 59"),
        (20, 50_000, 0, "n_items must be at most"),
        (20_000, 10_000, 0, "n_users \\* n_items must be at most 100,000,000"),
        (100, 100, -1, "seed must be >= 0, got -1"),
    ],
)
def test_sizes_out_of_range_are_refused(n_users: int, n_items: int, seed: int, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        synthetic_dataset(seed=seed, n_users=n_users, n_items=n_items)
