"""The catalogue and its similarity vectors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee_policies.array_file import write_arrays
from matinee_policies.catalogue import Catalogue, similarity_embeddings
from matinee_policies.errors import ContextError, DataError
from matinee_policies.tag_table import TagTable


def small_catalogue(n: int = 4) -> Catalogue:
    random = np.random.default_rng(5)
    genres = random.random((n, 3)) < 0.5
    genres[0] = False
    genres[1] = [True, True, False]
    return Catalogue(
        ids=np.arange(n, dtype=np.int64) * 10 + 1,
        titles=tuple(f"Film {row}, été" for row in range(n)),
        years=np.array([0, *range(1990, 1990 + n - 1)], dtype=np.int16),
        genre_names=("Comedy", "Drama", "War"),
        genres=genres,
        people=TagTable.from_lists([["Ada"], [], ["Bo", "Ada"], ["Cy"]][:n]),
        keywords=TagTable.empty(n),
        embeddings=similarity_embeddings(random.normal(size=(n, 2)), genres),
    )


def assert_same(one: Catalogue, other: Catalogue) -> None:
    assert one.version == other.version
    assert one.titles == other.titles
    assert one.people.names == other.people.names
    for name in ("ids", "years", "genres", "embeddings"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    catalogue = small_catalogue()
    catalogue.save(tmp_path / "catalogue.npz")
    assert_same(Catalogue.load(tmp_path / "catalogue.npz"), catalogue)


@pytest.mark.parametrize(
    "change",
    [
        {"titles": ("a", "b", "c", "d")},
        {"years": np.array([1, 2, 3, 4], dtype=np.int16)},
        {"ids": np.array([1, 2, 3, 4], dtype=np.int64)},
        {"genre_names": ("Comedy", "Drama", "Western")},
        {"people": TagTable.empty(4)},
        {"keywords": TagTable.from_lists([["dark"], [], [], []])},
        {"embeddings": np.zeros((4, 5), dtype=np.float32)},
    ],
)
def test_version_names_the_content(change: dict[str, Any]) -> None:
    catalogue = small_catalogue()
    assert len(catalogue.version) == 16
    assert catalogue.version == small_catalogue().version
    assert replace(catalogue, **change).version != catalogue.version


def test_subset_keeps_every_field_of_the_rows() -> None:
    catalogue = small_catalogue()
    part = catalogue.subset(np.array([2, 0], dtype=np.int32))
    assert part.ids.tolist() == [21, 1]
    assert part.titles == ("Film 2, été", "Film 0, été")
    assert part.people.of(0) == ("Bo", "Ada")
    np.testing.assert_array_equal(part.embeddings, catalogue.embeddings[[2, 0]])
    np.testing.assert_array_equal(part.genres, catalogue.genres[[2, 0]])
    assert part.years.tolist() == catalogue.years[[2, 0]].tolist()
    whole = catalogue.subset(np.arange(4, dtype=np.int32))
    assert_same(whole, catalogue)


@pytest.mark.parametrize("rows", [[0, 0], [4], [-1]])
def test_subset_refuses_repeated_or_foreign_rows(rows: list[int]) -> None:
    with pytest.raises(ContextError):
        small_catalogue().subset(np.array(rows, dtype=np.int32))


def test_genre_vectors_have_length_one_or_zero() -> None:
    vectors = small_catalogue().genre_vectors()
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors[0], 0)
    np.testing.assert_allclose(vectors[1], [0.5**0.5, 0.5**0.5, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"ids": np.array([1, 2, 2, 3])}, "ids must be distinct"),
        ({"ids": np.arange(4, dtype=np.int32)}, "ids must be int64"),
        ({"ids": np.arange(3)}, "ids must be int64 of shape"),
        ({"years": np.array([-1, 0, 0, 0], dtype=np.int16)}, "years must be >= 0"),
        ({"genre_names": ("A", "B")}, "genres must be"),
        ({"genre_names": ("A", "B", "A")}, "genre_names must be distinct"),
        ({"people": TagTable.empty(3)}, "people must have 4 items"),
        ({"keywords": TagTable.empty(5)}, "keywords must have 4 items"),
        ({"embeddings": np.ones((4, 2), dtype=np.float32)}, "length 1 or 0"),
        ({"embeddings": np.full((4, 1), np.nan, dtype=np.float32)}, "length 1 or 0"),
        ({"embeddings": np.zeros(4, dtype=np.float32)}, "embeddings must be \\[M, m\\]"),
        ({"embeddings": np.zeros((4, 2))}, "embeddings must be float32"),
    ],
)
def test_fields_that_do_not_fit_are_refused(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(ContextError, match=rule):
        replace(small_catalogue(), **change)


def test_a_file_that_breaks_a_rule_is_refused(tmp_path: Path) -> None:
    catalogue, path = small_catalogue(), tmp_path / "catalogue.npz"
    catalogue.save(path)
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files if name != "header"}
    header = {"titles": list(catalogue.titles), "genre_names": ["A", "B", "C"], "keywords": []}
    for bad in (
        {**header, "people": [1, 2, 3]},
        {**header},
        {**header, "people": ["Ada", "Ada", "Cy"]},
        {**header, "people": ["Ada", "Bo", "Cy"], "titles": ["one"]},
    ):
        write_arrays(path, kind="catalogue", arrays=arrays, header=bad)
        with pytest.raises(DataError, match="valid catalogue"):
            Catalogue.load(path)


def test_similarity_is_that_of_factors_and_genres_together() -> None:
    random = np.random.default_rng(1)
    factors, genres = random.normal(size=(6, 4)), (random.random((6, 3)) < 0.6).astype(np.float64)
    genres[:, 0] = 1
    vectors = similarity_embeddings(factors, genres).astype(np.float64)
    for i in range(6):
        for j in range(6):
            cos_factors = (
                factors[i]
                @ factors[j]
                / np.sqrt((factors[i] @ factors[i]) * (factors[j] @ factors[j]))
            )
            cos_genres = genres[i] @ genres[j] / np.sqrt(genres[i].sum() * genres[j].sum())
            expected = (cos_factors + 2.25 * cos_genres) / 3.25
            assert abs(vectors[i] @ vectors[j] - expected) < 1e-6


@given(
    zero_factors=st.booleans(),
    zero_genres=st.booleans(),
    scale=st.sampled_from([1e-200, 1.0, 1e200]),
)
def test_similarity_rows_have_length_one_or_zero(
    zero_factors: bool, zero_genres: bool, scale: float
) -> None:
    factors = np.array([[0.0, 0.0] if zero_factors else [3.0 * scale, -4.0 * scale]])
    genres = np.array([[0.0, 0.0] if zero_genres else [1.0, 1.0]])
    row = similarity_embeddings(factors, genres)[0]
    expected = 0.0 if zero_factors and zero_genres else 1.0
    assert abs(float(np.linalg.norm(row.astype(np.float64))) - expected) < 1e-6
    assert (row[:2] == 0).all() == zero_factors


def test_similarity_refuses_what_does_not_fit() -> None:
    with pytest.raises(ContextError, match="\\[M, f\\]"):
        similarity_embeddings(np.zeros((2, 3)), np.zeros((3, 3)))
    with pytest.raises(ContextError, match="finite"):
        similarity_embeddings(np.array([[np.inf]]), np.zeros((1, 1)))
