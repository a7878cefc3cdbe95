"""Titles, genres, years, people and keywords of items, from a CSV or Parquet file.

One row per item. Several names in one field are parted by a separator; a Parquet column may hold
lists instead. Spaces around a name do not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_policies.arrays import Int64Array
from matinee_policies.catalogue import Catalogue, TagTable
from matinee_policies.datasets.table_file import (
    TableFile,
    open_table,
    read_columns,
    require_columns,
)
from matinee_policies.errors import DataError

_LISTS = ("genres", "people", "keywords")
_MOST_GENRES = 200
_FIRST_YEAR, _LAST_YEAR = 1000, 2100


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataSpec:
    """Where the metadata stand.

    A column that is not named is taken by its usual name, if it is there; one that is named must be
    there.

    Attributes:
        path: the file.
        id: column of the item ids; usually `id`.
        title: usually `title`; an item without one is called by its id.
        genres: usually `genres`.
        year: of release, a whole number or empty; usually `year`.
        people: most important first; usually `people`.
        keywords: usually `keywords`.
        separator: between the names in one field.
        delimiter: of a CSV file; default a comma, a tab for `.tsv`.
    """

    path: Path
    id: str | None = None
    title: str | None = None
    genres: str | None = None
    year: str | None = None
    people: str | None = None
    keywords: str | None = None
    separator: str = "|"
    delimiter: str | None = None

    def columns(self, file: TableFile) -> dict[str, str]:
        """Column of the file by what it is for.

        Raises:
            DataError: a named column is not there, or there is none of ids.
        """
        uses = [field.name for field in fields(self) if field.name in _USES]
        named = {use: getattr(self, use) for use in uses if getattr(self, use) is not None}
        require_columns(file, {"id": "id", **named})
        return {use: named.get(use, use) for use in uses if use in named or use in file.names}


_USES = ("id", "title", "year", *_LISTS)


@dataclass(frozen=True, slots=True)
class _Metadata:
    """Rows of the file by id, and its columns as plain lists."""

    row_of: dict[str, int]
    titles: list[str]
    years: list[int]
    lists: dict[str, list[list[str]]]


def describe_items(
    labels: Sequence[str], ids: Int64Array, spec: MetadataSpec | None
) -> tuple[Catalogue, tuple[str, ...]]:
    """A catalogue of the items, with what the file says of them.

    Args:
        labels: the items' ids as texts, distinct, length `M`.
        ids: the same as numbers, `int64 [M]`.
        spec: of the file; None for a catalogue that knows nothing but ids.

    Returns:
        The catalogue, and lines that a person should know: items the file lacks, items it has more.

    Raises:
        DataError: the file breaks a rule, or knows none of the items.
    """
    known = _Metadata({}, [], [], {}) if spec is None else _read(spec)
    rows = [known.row_of.get(label, -1) for label in labels]
    notes = [] if spec is None else _coverage(spec, rows, len(known.row_of))
    own = {use: _own(known.lists.get(use), rows) for use in _LISTS}
    genre_names = sorted({name for names in own["genres"] for name in names})
    if spec is not None and len(genre_names) > _MOST_GENRES:
        rule = f"genres must have at most {_MOST_GENRES} different names; finer ones are keywords"
        raise DataError(spec.path, rule=rule, value=len(genre_names))
    place = {name: column for column, name in enumerate(genre_names)}
    genres = np.zeros((len(labels), len(genre_names)), dtype=np.bool_)
    for row, names in enumerate(own["genres"]):
        genres[row, [place[name] for name in names]] = True
    titles = [known.titles[row] if row >= 0 else "" for row in rows]
    return Catalogue(
        ids=ids,
        titles=tuple(title or label for title, label in zip(titles, labels, strict=True)),
        years=np.array([known.years[row] if row >= 0 else 0 for row in rows], dtype=np.int16),
        genre_names=tuple(genre_names),
        genres=genres,
        people=TagTable.from_lists(own["people"]),
        keywords=TagTable.from_lists(own["keywords"]),
        embeddings=np.zeros((len(labels), 0), dtype=np.float32),
    ), tuple(notes)


def _own(lists: list[list[str]] | None, rows: Sequence[int]) -> list[list[str]]:
    return [lists[row] if lists is not None and row >= 0 else [] for row in rows]


def _coverage(spec: MetadataSpec, rows: Sequence[int], total: int) -> list[str]:
    described = sum(row >= 0 for row in rows)
    if not described:
        rule = "must describe items of the data; none of its ids occurs there"
        raise DataError(spec.path, rule=rule)
    notes = []
    if described < len(rows):
        notes.append(f"{len(rows) - described:,} of {len(rows):,} items have no metadata")
    if described < total:
        notes.append(f"{total - described:,} items of the metadata do not occur in the data")
    return notes


def _read(spec: MetadataSpec) -> _Metadata:
    file = open_table(spec.path, delimiter=spec.delimiter)
    names = spec.columns(file)
    columns = read_columns(file, dict.fromkeys(dict.fromkeys(names.values()), None))
    ids = _texts(file, names["id"], columns[names["id"]])
    row_of: dict[str, int] = {}
    for row, label in enumerate(ids):
        if not label.strip():
            raise file.error(row, rule=f"{names['id']} must not be empty", value=label)
        if label in row_of:
            there = f"line {row_of[label] + 2}" if file.delimiter else f"row {row_of[label] + 1}"
            rule = f"{names['id']} must be unique, {there} already has it"
            raise file.error(row, rule=rule, value=label)
        row_of[label] = row
    titles = (
        _texts(file, names["title"], columns[names["title"]])
        if "title" in names
        else [""] * len(ids)
    )
    years = (
        _years(file, names["year"], columns[names["year"]]) if "year" in names else [0] * len(ids)
    )
    lists = {
        use: _name_lists(file, names[use], columns[names[use]], spec.separator)
        for use in _LISTS
        if use in names
    }
    return _Metadata(row_of, [title.strip() for title in titles], years, lists)


def _texts(file: TableFile, name: str, column: pa.ChunkedArray) -> list[str]:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (texts or pa.types.is_integer(kind)):
        rule = f"column {name} must hold texts or whole numbers"
        raise DataError(file.path, rule=rule, value=str(kind))
    return ["" if value is None else str(value) for value in column.to_pylist()]


def _years(file: TableFile, name: str, column: pa.ChunkedArray) -> list[int]:
    years = []
    for row, text in enumerate(_texts(file, name, column)):
        year = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else -1
        if text.strip() and not _FIRST_YEAR <= year <= _LAST_YEAR:
            rule = f"{name} must be a year from {_FIRST_YEAR} to {_LAST_YEAR}, or empty"
            raise file.error(row, rule=rule, value=text[:60])
        years.append(max(year, 0))
    return years


def _name_lists(
    file: TableFile, name: str, column: pa.ChunkedArray, separator: str
) -> list[list[str]]:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        raw: list[list[str] | None] = column.to_pylist()
    else:
        texts = _texts(file, name, column)
        raw = [text.split(separator) if text.strip() else [] for text in texts]
    lists = []
    for row, entries in enumerate(raw):
        entries = entries or []
        if not all(isinstance(entry, str) and entry.strip() for entry in entries):
            rule = f"{name} must be names parted by {separator!r}, none of them empty"
            raise file.error(row, rule=rule, value=separator.join(map(str, entries))[:60])
        lists.append([entry.strip() for entry in entries])
    return lists
