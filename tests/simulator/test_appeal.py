import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.locate import open_dataset
from matinee_simulator.appeal import age_columns, appeal_gap, first_rated, standardised
from matinee_simulator.world import World


def correlation(one: object, other: object) -> float:
    return float(np.corrcoef(np.asarray(one, float), np.asarray(other, float))[0, 1])


def test_appeal_has_a_seen_and_a_hidden_part() -> None:
    n = 20_000
    rng = np.random.default_rng(4)
    bias, year = rng.normal(size=n), rng.normal(size=n)
    log_count = 3 + 0.5 * bias - 0.8 * year - 0.5 * year**2 + rng.normal(size=n)
    popularity = np.ceil(1 + np.exp(log_count)).astype(np.int64)
    rows = np.arange(n, dtype=np.int32)
    age = np.column_stack([year, year**2])
    appeal = appeal_gap(popularity, bias, age=age, items=rows, seed=1)
    assert appeal.mean() == pytest.approx(0.0, abs=1e-9)
    assert appeal.std() == pytest.approx(1.0, abs=1e-9)
    for control in (bias, year, year**2):
        assert correlation(appeal, control) == pytest.approx(0.0, abs=1e-9)
    # The part of log popularity that neither ratings nor age explain, by the normal equations.
    design = np.column_stack([np.ones(n), bias, age])
    weights = np.linalg.solve(design.T @ design, design.T @ np.log(popularity))
    residual = np.log(popularity) - design @ weights
    error = 4 / np.sqrt(n)
    assert abs(correlation(appeal, residual) - 0.6) < error
    other = appeal_gap(popularity, bias, age=age, items=rows, seed=2)
    assert abs(correlation(appeal, other) - 0.36) < error


def test_age_is_the_year_or_else_the_first_rating() -> None:
    years = np.array([1990, 0, 2010, 0, 2000, 0], dtype=np.int16)
    rated = np.array([9, 100, 5, 300, 7, 200])
    columns = age_columns(years, rated)
    assert columns.shape == (6, 5)
    known = years > 0
    assert np.array_equal(columns[:, 0], known)
    assert np.array_equal(np.argsort(columns[known, 1]), np.argsort(years[known]))
    assert not columns[~known, 1:3].any()
    assert np.array_equal(np.argsort(columns[~known, 3]), np.argsort(rated[~known]))
    assert not columns[known, 3:].any()


def test_age_that_does_not_vary_is_left_out() -> None:
    nothing = age_columns(np.zeros(7, dtype=np.int16), np.zeros(7, dtype=np.int64))
    assert nothing.shape == (7, 0)
    one_year = age_columns(np.full(7, 2001, dtype=np.int16), np.arange(7))
    assert one_year.shape == (7, 0)


def test_standardised_constant_is_zero() -> None:
    assert not standardised(np.full(5, 3.0)).any()


def test_first_rating_of_each_item(dataset: Dataset) -> None:
    ratings = dataset.interactions
    found = first_rated(ratings)
    for item in np.flatnonzero(ratings.item_counts())[::97]:
        assert found[item] == ratings.times[ratings.matrix.indices == item].min()


def check_world(world: World, years: object) -> None:
    # The world keeps float32: its rounding is all that is left.
    for control in (world.quality, years, np.asarray(years, float) ** 2):
        assert abs(correlation(world.appeal, control)) < 1e-6


def test_worlds_have_appeal_apart_from_ratings_and_age(dataset: Dataset, world: World) -> None:
    years = dataset.catalogue.years[world.item_rows]
    assert (years > 0).all()
    check_world(world, years)


def test_worlds_without_years_go_by_the_first_rating(dataset: Dataset) -> None:
    unknown = dataclasses.replace(
        dataset.catalogue, years=np.zeros(len(dataset.catalogue), dtype=np.int16)
    )
    world = World.from_interactions(unknown, dataset.interactions, seed=1)
    kept = dataset.interactions.subset_items(world.item_rows)
    rated = first_rated(kept).astype(float)
    for control in (world.quality, rated - rated.mean(), (rated - rated.mean()) ** 2):
        assert abs(correlation(world.appeal, control)) < 1e-6


@pytest.mark.real_data
def test_films_have_appeal_apart_from_ratings_and_age() -> None:
    folder = os.environ.get("MATINEE_DATA")
    if not folder:
        pytest.skip("MATINEE_DATA names no folder")
    dataset = open_dataset(Path(folder))
    world = World.from_interactions(dataset.catalogue, dataset.interactions, seed=1)
    check_world(world, dataset.catalogue.years[world.item_rows])
