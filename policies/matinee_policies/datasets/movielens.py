"""Load a folder in the MovieLens layout.

    movies.csv    movieId,title,genres               year at the end of the title, genres by "|"
    ratings.csv   userId,movieId,rating,timestamp
    tags.csv      userId,movieId,tag,timestamp       optional, becomes the keywords

Each may be plain or gzip. Source: Harper and Konstan 2015, "The MovieLens datasets", ACM TiiS 5(4).
"""

import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from matinee_policies.arrays import Int64Array
from matinee_policies.catalogue import Catalogue, TagTable
from matinee_policies.datasets.csv_file import CsvFile, find_csv, open_csv, rows, whole_number
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.movielens_ratings import RATING_RANGE, read_ratings
from matinee_policies.errors import DataError
from matinee_policies.interactions import Interactions

NO_GENRES = "(no genres listed)"
LEAST_KEYWORD_USES = 2
"""A keyword used once in the whole file says more about its author than about the film."""

_MOST_GENRES = 200
_YEAR = re.compile(r"\((\d{4})(?:[-\u2013]\d{0,4})?\)\s*$", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1870, 2100


def load_movielens(folder: Path) -> Dataset:
    """Load catalogue and ratings, with every row checked.

    Args:
        folder: holds `movies.csv` and `ratings.csv`, perhaps `tags.csv`, each plain or `.gz`.

    Raises:
        DataError: naming the file, the line, the value and the rule that it breaks.
    """
    if not folder.is_dir():
        raise DataError(folder, rule="folder must exist")
    catalogue = _read_movies(open_csv(folder, "movies"), folder)
    columns = read_ratings(open_csv(folder, "ratings"), catalogue.ids)
    user_ids, users = np.unique(columns.users, return_inverse=True)
    order = np.argsort(catalogue.ids)
    items = order[np.searchsorted(catalogue.ids, columns.movies, sorter=order)]
    interactions = Interactions.from_triplets(
        users,
        items,
        columns.ratings,
        columns.times,
        user_ids=user_ids,
        item_ids=catalogue.ids,
        rating_range=RATING_RANGE,
    )
    return Dataset(
        name=folder.resolve().name,
        description=_describe(folder, interactions),
        catalogue=catalogue,
        interactions=interactions,
    )


def year_of(title: str) -> int:
    """Year of release at the end of a title, 0 if there is none.

    Example:
        >>> year_of("Toy Story (1995)"), year_of("Death Note (2006-2007)"), year_of("Cosmos")
        (1995, 2006, 0)
    """
    match = _YEAR.search(title)
    year = int(match[1]) if match else 0
    return year if _FIRST_YEAR <= year <= _LAST_YEAR else 0


def _read_movies(file: CsvFile, folder: Path) -> Catalogue:
    ids: dict[int, int] = {}
    titles: list[str] = []
    genres: list[list[str]] = []
    for line, (movie, title, genre_field) in rows(file, ("movieId", "title", "genres")):
        movie_id = whole_number(file, line, "movieId", movie)
        if movie_id in ids:
            raise DataError(
                file.path,
                rule=f"movieId must be unique, line {ids[movie_id]} already has it",
                line=line,
                value=movie_id,
            )
        if not title.strip():
            raise DataError(file.path, rule="title must not be empty", line=line, value=title)
        ids[movie_id] = line
        titles.append(title)
        genres.append(_genres(file, line, genre_field))
    names = sorted({name for own in genres for name in own})
    if len(names) > _MOST_GENRES:
        raise DataError(
            file.path,
            rule=f"genres must have at most {_MOST_GENRES} different names",
            value=len(names),
        )
    table = np.zeros((len(titles), len(names)), dtype=np.bool_)
    for row, own in enumerate(genres):
        table[row, [names.index(name) for name in own]] = True
    movie_ids = np.array(list(ids), dtype=np.int64)
    return Catalogue(
        ids=movie_ids,
        titles=tuple(titles),
        years=np.array([year_of(title) for title in titles], dtype=np.int16),
        genre_names=tuple(names),
        genres=table,
        people=TagTable.empty(len(titles)),
        keywords=_read_keywords(folder, movie_ids),
        embeddings=np.zeros((len(titles), 0), dtype=np.float32),
    )


def _genres(file: CsvFile, line: int, field: str) -> list[str]:
    if field == NO_GENRES:
        return []
    names = field.split("|")
    if not all(name.strip() for name in names):
        raise DataError(
            file.path,
            rule=f'genres must be names parted by "|", or "{NO_GENRES}"',
            line=line,
            value=field,
        )
    return names


def _read_keywords(folder: Path, movie_ids: Int64Array) -> TagTable:
    """Tags in lower case that were given at least twice, most frequent first."""
    if find_csv(folder, "tags") is None:
        return TagTable.empty(movie_ids.size)
    file = open_csv(folder, "tags")
    row_of = {int(movie): row for row, movie in enumerate(movie_ids)}
    uses: Counter[str] = Counter()
    own: list[Counter[str]] = [Counter() for _ in row_of]
    for line, (movie, text) in rows(file, ("movieId", "tag")):
        movie_id = whole_number(file, line, "movieId", movie)
        if movie_id not in row_of:
            raise DataError(
                file.path, rule="movieId must be in the file of movies", line=line, value=movie_id
            )
        tag = text.strip().lower()
        if not tag:
            raise DataError(file.path, rule="tag must not be empty", line=line, value=text)
        uses[tag] += 1
        own[row_of[movie_id]][tag] += 1
    return TagTable.from_lists(
        [
            [
                tag
                for tag, _ in sorted(tags.items(), key=lambda entry: (-entry[1], entry[0]))
                if uses[tag] >= LEAST_KEYWORD_USES
            ]
            for tags in own
        ]
    )


def _describe(folder: Path, interactions: Interactions) -> str:
    name = folder.resolve().name
    known = re.match(r"(?:movielens|ml)-(.+)", name)
    first, last = (
        datetime.fromtimestamp(int(moment), tz=UTC).date().isoformat()
        for moment in (interactions.times.min(), interactions.times.max())
    )
    title = f"MovieLens {known[1]}" if known else f"MovieLens files of folder {name!r}"
    return (
        f"{title}, {interactions.n_users:,} users, {interactions.n_items:,} films, "
        f"{interactions.matrix.nnz:,} ratings from {first} to {last}"
    )
