"""Finding the data that a person named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from matinee_policies.datasets.locate import find_movielens, open_dataset
from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_policies.errors import ContextError, DataError


def make_movielens(folder: Path, *, suffix: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "movies.csv").write_text("movieId,title,genres\n1,A (1999),War\n")
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,4.0,5\n")
    return folder


def test_the_folder_itself_or_the_one_inside(tmp_path: Path) -> None:
    inner = make_movielens(tmp_path / "data" / "ml-latest-small")
    (tmp_path / "data" / "open-bandit").mkdir()
    (tmp_path / "data" / "notes.txt").write_text("x")
    assert find_movielens(inner) == inner
    assert find_movielens(tmp_path / "data") == inner


def test_an_unclear_or_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be a folder that exists"):
        find_movielens(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"must hold movies\.csv and ratings\.csv"):
        find_movielens(tmp_path)
    make_movielens(tmp_path / "ml-1")
    make_movielens(tmp_path / "ml-2")
    with pytest.raises(DataError, match="name the one, got \\['ml-1', 'ml-2'\\]"):
        find_movielens(tmp_path)
    (tmp_path / "ml-1" / "ratings.csv").unlink()
    with pytest.raises(DataError, match=r"ml-1/ratings\.csv: file must exist"):
        find_movielens(tmp_path / "ml-1")
    assert find_movielens(tmp_path) == tmp_path / "ml-2"


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="must be a folder"):
        open_dataset(tmp_path / "file")


def test_people_are_added_when_their_folder_stands_beside(tmp_path: Path) -> None:
    make_movielens(tmp_path / "ml-tiny")
    assert open_dataset(tmp_path).catalogue.people.names == ()
    people = tmp_path / "film-metadata-wikipedia"
    people.mkdir()
    films = {"film_id": [0], "directors": [["Ada Oyo"]], "cast": [["Bo Rell"]]}
    parquet.write_table(pa.table(films), people / "films.parquet")
    (people / "movielens_latest_small_join.csv").write_text("movieId,film_id\n1,0\n")
    for folder in (tmp_path, tmp_path / "ml-tiny"):
        dataset = open_dataset(folder)
        assert dataset.catalogue.people.of(0) == ("Ada Oyo", "Bo Rell")
        assert dataset.description.endswith(", people from film-metadata-wikipedia")


def test_without_a_folder_data_is_drawn() -> None:
    dataset = open_dataset(None, seed=0)
    assert dataset.name == "synthetic"
    assert "no real data" in dataset.description


def test_catalogue_and_ratings_must_hold_the_same_items() -> None:
    dataset = synthetic_dataset(n_users=20, n_items=60)
    with pytest.raises(ContextError, match="same items"):
        replace(dataset, catalogue=dataset.catalogue.subset(np.arange(59, dtype=np.int32)))
