"""Directors and cast for a MovieLens catalogue, from lists of films on Wikipedia.

films.parquet                      film_id, directors[], cast[], and more that is not read
movielens_latest_small_join.csv    movieId, film_id
"""

from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from matinee_policies.catalogue import Catalogue, TagTable
from matinee_policies.datasets.csv_file import read_csv, rows, whole_number
from matinee_policies.errors import DataError

FOLDER = "film-metadata-wikipedia"
_FILMS = "films.parquet"
_JOIN = "movielens_latest_small_join.csv"
_COLUMNS = ("film_id", "directors", "cast")


def add_people(catalogue: Catalogue, folder: Path) -> Catalogue:
    """The same catalogue with people: directors first, then the cast in the order of the credits.

    Movies that the files do not know stay without people; movies that only the files know are left
    out, since they also serve other cuts of MovieLens.

    Args:
        catalogue: items whose ids are MovieLens movie ids.
        folder: holds the two files.

    Raises:
        DataError: a file is missing, damaged, lacks a column or has a duplicate.
    """
    people_of = _read_films(folder / _FILMS)
    film_of = _read_join(folder / _JOIN, people_of)
    lists = [people_of[film_of[int(i)]] if int(i) in film_of else [] for i in catalogue.ids]
    return catalogue.with_people(TagTable.from_lists(lists))


def _read_films(path: Path) -> dict[int, list[str]]:
    try:
        table = parquet.read_table(path, columns=list(_COLUMNS))
        films, directors, cast = (table[name].to_pylist() for name in _COLUMNS)
    except FileNotFoundError:
        raise DataError(path, rule="file must exist") from None
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(
            path, rule=f"must be a Parquet file with the columns {', '.join(_COLUMNS)} ({error})"
        ) from None
    people: dict[int, list[str]] = {}
    for film, first, then in zip(films, directors, cast, strict=True):
        names = [*(first or []), *(then or [])]
        if not isinstance(film, int) or not all(isinstance(name, str) for name in names):
            raise DataError(path, rule="film_id must be a whole number, people texts", value=film)
        if film in people:
            raise DataError(path, rule="film_id must be unique", value=film)
        people[film] = [name.strip() for name in names if name.strip()]
    return people


def _read_join(path: Path, people_of: dict[int, list[str]]) -> dict[int, int]:
    file = read_csv(path)
    film_of: dict[int, int] = {}
    for line, (movie, film) in rows(file, ("movieId", "film_id")):
        movie_id = whole_number(file, line, "movieId", movie)
        film_id = whole_number(file, line, "film_id", film)
        if movie_id in film_of:
            raise DataError(path, rule="movieId must be unique", line=line, value=movie_id)
        if film_id not in people_of:
            raise DataError(path, rule=f"film_id must be in {_FILMS}", line=line, value=film_id)
        film_of[movie_id] = film_id
    return film_of
