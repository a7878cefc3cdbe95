"""Directors and cast from files beside the ratings."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from matinee_policies.catalogue import Catalogue, TagTable
from matinee_policies.datasets.film_metadata import add_people
from matinee_policies.errors import DataError

FILMS: dict[str, list[Any]] = {
    "film_id": [0, 1, 2],
    "directors": [["Ada Oyo"], [], None],
    "cast": [["Bo Rell", "Ada Oyo", " "], ["Cy Wick"], []],
}
JOIN = "movieId,film_id,ml_year,year_gap\n20,0,1999,0\n40,1,2000,0\n50,2,2001,0\n999,1,2000,1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    parquet.write_table(pa.table(FILMS), tmp_path / "films.parquet")
    (tmp_path / "movielens_latest_small_join.csv").write_text(JOIN)
    return tmp_path


def catalogue() -> Catalogue:
    return Catalogue(
        ids=np.array([10, 20, 40, 50]),
        titles=("A", "B", "C", "D"),
        years=np.zeros(4, dtype=np.int16),
        genre_names=(),
        genres=np.zeros((4, 0), dtype=np.bool_),
        people=TagTable.empty(4),
        keywords=TagTable.from_lists([["dark"], [], [], []]),
        embeddings=np.zeros((4, 0), dtype=np.float32),
    )


def test_directors_come_first_and_nobody_twice(folder: Path) -> None:
    with_people = add_people(catalogue(), folder)
    assert [with_people.people.of(row) for row in range(4)] == [
        (),
        ("Ada Oyo", "Bo Rell"),
        ("Cy Wick",),
        (),
    ]
    assert with_people.keywords.of(0) == ("dark",)
    assert with_people.ids.tolist() == [10, 20, 40, 50]


@pytest.mark.parametrize(
    ("text", "line", "rule"),
    [
        (JOIN + "20,1,1999,0\n", 6, "movieId must be unique, got 20"),
        (JOIN + "21,7,1999,0\n", 6, "film_id must be in films.parquet, got 7"),
        (JOIN + "x,1,1999,0\n", 6, "movieId must be a whole number >= 0, got 'x'"),
        (JOIN.replace("film_id", "film"), 1, "header must have the column 'film_id'"),
        ("", None, "must not be empty"),
    ],
)
def test_a_bad_join_is_refused(folder: Path, text: str, line: int | None, rule: str) -> None:
    path = folder / "movielens_latest_small_join.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        add_people(catalogue(), folder)
    assert rule in str(caught.value)
    assert (caught.value.path, caught.value.line) == (path, line)


@pytest.mark.parametrize(
    ("films", "rule"),
    [
        ({**FILMS, "film_id": [0, 1, 1]}, "film_id must be unique, got 1"),
        ({**FILMS, "film_id": ["a", "b", "c"]}, "film_id must be a whole number"),
        ({**FILMS, "cast": [[1], [2], [3]]}, "people texts"),
        ({"film_id": [1], "cast": [["A"]]}, "columns film_id, directors, cast"),
    ],
)
def test_bad_films_are_refused(folder: Path, films: dict[str, list[Any]], rule: str) -> None:
    parquet.write_table(pa.table(films), folder / "films.parquet")
    with pytest.raises(DataError, match=rule) as caught:
        add_people(catalogue(), folder)
    assert caught.value.path == folder / "films.parquet"


def test_missing_and_damaged_files(folder: Path) -> None:
    path = folder / "films.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="must be a Parquet file"):
        add_people(catalogue(), folder)
    path.unlink()
    with pytest.raises(DataError, match=r"films\.parquet: file must exist"):
        add_people(catalogue(), folder)
    parquet.write_table(pa.table(FILMS), path)
    (folder / "movielens_latest_small_join.csv").unlink()
    with pytest.raises(DataError, match=r"join\.csv: file must exist"):
        add_people(catalogue(), folder)
