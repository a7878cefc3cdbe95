"""The table of ratings in the MovieLens layout: `userId,movieId,rating,timestamp`.

A vectorised reader takes files without any fault. It gives way to a row-by-row reader, which
defines the rules and finds the line that breaks one; what both accept, they read alike.
"""

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from matinee_policies.arrays import BoolArray, FloatArray, Int64Array
from matinee_policies.datasets.csv_file import CsvFile, rows, whole_number
from matinee_policies.errors import DataError

COLUMNS = ("userId", "movieId", "rating", "timestamp")
RATING_RANGE = (0.5, 5.0)
LATEST = 4_102_444_800
"""1 January 2100: a later timestamp is in milliseconds, or wrong."""

_PLAIN = b"0123456789.,-\r\n"
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_LARGEST_ID = 10**18 - 1


@dataclass(frozen=True, slots=True)
class RatingColumns:
    """The columns of the file, row by row; row `r` stands on line `r + 2`.

    Attributes:
        users: user ids, `int64 [n]`.
        movies: movie ids, `int64 [n]`.
        ratings: within `RATING_RANGE`, `float64 [n]`.
        times: unix seconds, `int64 [n]`.
    """

    users: Int64Array
    movies: Int64Array
    ratings: FloatArray
    times: Int64Array


def read_ratings(file: CsvFile, movie_ids: Int64Array) -> RatingColumns:
    """Read and check the whole table.

    Args:
        file: `ratings.csv` in memory.
        movie_ids: ids that a rating may name, in any order.

    Raises:
        DataError: naming the line and the rule that it breaks.
    """
    columns = read_fast(file)
    if columns is None:
        columns = read_row_by_row(file)
    _refuse_unknown_movies(file, columns, movie_ids)
    _refuse_duplicates(file, columns)
    return columns


def read_fast(file: CsvFile) -> RatingColumns | None:
    """The columns of a file without fault that holds nothing but plain numbers; else None."""
    header, _, body = file.raw.partition(b"\n")
    # Without quotes, letters and spaces there is only one way to read a number.
    if not body or body.translate(None, _PLAIN):
        return None
    names = header.rstrip(b"\r").decode("utf-8", errors="replace").split(",")
    if len(set(names)) != len(names) or not set(COLUMNS) <= set(names):
        return None
    types = {name: pa.int64() for name in COLUMNS} | {"rating": pa.float64()}
    try:
        table = arrow_csv.read_csv(
            pa.py_buffer(file.raw),
            parse_options=arrow_csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(COLUMNS), column_types=types, null_values=[]
            ),
        )
    except pa.ArrowInvalid:
        return None
    columns = RatingColumns(*(table[name].to_numpy() for name in COLUMNS))
    return columns if columns.users.size and _in_range(columns).all() else None


def _in_range(columns: RatingColumns) -> BoolArray:
    low, high = RATING_RANGE
    good: BoolArray = (columns.ratings >= low) & (columns.ratings <= high)
    good &= (columns.times >= 0) & (columns.times <= LATEST)
    for ids in (columns.users, columns.movies):
        good &= (ids >= 0) & (ids <= _LARGEST_ID)
    return good


class _Row(NamedTuple):
    user: int
    movie: int
    rating: float
    time: int


def read_row_by_row(file: CsvFile) -> RatingColumns:
    """The columns of any file that keeps the rules of its rows.

    Raises:
        DataError: naming the first line that breaks one.
    """
    read = [_row(file, line, values) for line, values in rows(file, COLUMNS)]
    return RatingColumns(
        users=np.array([row.user for row in read], dtype=np.int64),
        movies=np.array([row.movie for row in read], dtype=np.int64),
        ratings=np.array([row.rating for row in read], dtype=np.float64),
        times=np.array([row.time for row in read], dtype=np.int64),
    )


def _row(file: CsvFile, line: int, values: list[str]) -> _Row:
    user, movie, rating, time = values
    row = _Row(
        user=whole_number(file, line, "userId", user),
        movie=whole_number(file, line, "movieId", movie),
        rating=_rating(file, line, rating),
        time=whole_number(file, line, "timestamp", time),
    )
    if row.time > LATEST:
        raise DataError(
            file.path,
            rule=f"timestamp must be unix seconds, at most {LATEST} (year 2100)",
            line=line,
            value=row.time,
        )
    return row


def _rating(file: CsvFile, line: int, text: str) -> float:
    low, high = RATING_RANGE
    if _NUMBER.fullmatch(text):
        value = float(text)
    elif text.lower().lstrip("+-") in {"nan", "inf", "infinity"}:
        value = math.nan
    else:
        raise DataError(file.path, rule="rating must be a number", line=line, value=text[:60])
    if not low <= value <= high:
        raise DataError(
            file.path, rule=f"rating must be within {low} and {high}", line=line, value=text[:60]
        )
    return value


def _refuse_unknown_movies(file: CsvFile, columns: RatingColumns, movie_ids: Int64Array) -> None:
    known = np.isin(columns.movies, movie_ids)
    if not known.all():
        row = int(np.argmin(known))
        raise DataError(
            file.path,
            rule="movieId must be in the file of movies",
            line=row + 2,
            value=int(columns.movies[row]),
        )


def _refuse_duplicates(file: CsvFile, columns: RatingColumns) -> None:
    # Stable, so that of equal pairs the first line comes first.
    order = np.lexsort((columns.movies, columns.users))
    users, movies = columns.users[order], columns.movies[order]
    again = np.flatnonzero((users[1:] == users[:-1]) & (movies[1:] == movies[:-1]))
    if again.size:
        place = again[np.argmin(order[again + 1])]
        first, second = int(order[place]), int(order[place + 1])
        raise DataError(
            file.path,
            rule=f"(userId, movieId) must be unique, line {first + 2} already has it",
            line=second + 2,
            value=(int(columns.users[second]), int(columns.movies[second])),
        )
