"""The real MovieLens latest-small, when MATINEE_DATA names a folder that holds it."""

import os
from pathlib import Path

import numpy as np
import pytest

from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.locate import open_dataset
from matinee_policies.datasets.shape_statistics import (
    gini,
    hill_exponent,
    kolmogorov_distance,
    top_share,
    zipf_slope,
)
from matinee_policies.datasets.synthetic_ratings import STAR_SHARES, STARS

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def real() -> Dataset:
    folder = os.environ.get("MATINEE_DATA")
    if not folder:
        pytest.skip("MATINEE_DATA is not set")
    return open_dataset(Path(folder))


def test_size_as_published(real: Dataset) -> None:
    x = real.interactions
    assert (x.n_users, x.n_items, x.matrix.nnz) == (610, 9_742, 100_836)
    assert real.description.startswith(
        "MovieLens latest-small, 610 users, 9,742 films, 100,836 ratings "
        "from 1996-03-29 to 2018-09-24"
    )
    assert len(real.catalogue.genre_names) == 19
    assert int((~real.catalogue.genres.any(axis=1)).sum()) == 34
    # Twelve titles have no year.
    assert int((real.catalogue.years == 0).sum()) == 12


def test_first_film(real: Dataset) -> None:
    catalogue = real.catalogue
    assert (catalogue.ids[0], catalogue.titles[0]) == (1, "Toy Story (1995)")
    assert catalogue.years[0] == 1995
    genres = {catalogue.genre_names[g] for g in np.flatnonzero(catalogue.genres[0])}
    assert genres == {"Adventure", "Animation", "Children", "Comedy", "Fantasy"}
    assert "pixar" in catalogue.keywords.of(0)
    assert "John Lasseter" in catalogue.people.of(0) or not catalogue.people.names


def test_figures_that_drawn_data_follows(real: Dataset) -> None:
    x = real.interactions
    counts = x.item_counts()
    rated = counts[counts > 0]
    assert rated.size == 9_724
    assert round(gini(rated), 3) == 0.716
    assert round(top_share(rated, 0.10), 2) == 0.60
    assert round(top_share(rated, 0.01), 2) == 0.16
    assert round(zipf_slope(rated), 2) == 0.45
    assert round(hill_exponent(rated), 2) == 1.99
    assert round(float((rated == 1).mean()), 2) == 0.35
    assert round(gini(x.user_counts()), 2) == 0.60
    assert x.user_counts().min() == 20
    shares = np.array([(x.matrix.data == star).sum() for star in STARS])
    assert kolmogorov_distance(shares, STAR_SHARES) < 1e-4
    known = counts >= 5
    means = x.item_sums()[known] / counts[known]
    assert round(float(np.corrcoef(np.log(counts[known]), means)[0, 1]), 2) == 0.27
