"""Load ratings, plays or watched fractions from any table with named columns.

CSV (plain or gzip) or Parquet; ids are whole numbers or texts; times may be missing. How feedback
becomes stars stands in `feedback.py`, metadata of items in `item_metadata.py`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.datasets import table_columns as columns
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.feedback import (
    STARS,
    FeedbackKind,
    plays_to_stars,
    ratings_to_stars,
    watched_to_stars,
)
from matinee_policies.datasets.item_metadata import MetadataSpec, describe_items
from matinee_policies.datasets.table_columns import IdColumn, Parts
from matinee_policies.datasets.table_file import (
    TableFile,
    open_tables,
    read_columns,
    require_columns,
)
from matinee_policies.errors import ConfigError, DataError
from matinee_policies.interactions import Interactions

_WORDS = {"ratings": "ratings", "plays": "played items", "watched": "watched items"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """A table and what its columns mean.

    Attributes:
        path: a CSV or Parquet file, or a folder of parts of one table.
        users: column of the user ids.
        items: column of the item ids.
        ratings: column of the ratings, of the numbers of plays or of the watched fractions; plays
            may do without, then every row is one play.
        timestamps: column of the times; without it rows count as oldest first.
        feedback: what the values are: `"ratings"` (a pair of user and item once), `"plays"`
            (numbers above 0, added up by pair) or `"watched"` (within 0 and 1, the largest counts).
        rating_scale: least and largest possible rating; see `feedback.ratings_to_stars`.
        time_unit: of times that are numbers, `"s"`, `"ms"` or `"us"` since 1970.
        delimiter: of CSV files; default a comma, a tab for `.tsv`.
        metadata: file that describes the items, if there is one.

    Raises:
        ConfigError: a setting breaks a rule.
    """

    path: Path
    users: str
    items: str
    ratings: str | None = None
    timestamps: str | None = None
    feedback: FeedbackKind = "ratings"
    rating_scale: tuple[float, float] | None = None
    time_unit: str = "s"
    delimiter: str | None = None
    metadata: MetadataSpec | None = None

    def __post_init__(self) -> None:
        if self.ratings is None and self.feedback != "plays":
            raise ConfigError(
                f"data.ratings (--ratings COL) must name the column of {self.feedback}; only plays "
                "do without"
            )
        named = list(self.columns().values())
        if len(set(named)) != len(named):
            raise ConfigError(f"columns of the data must be distinct, got {', '.join(named)}")
        if self.time_unit not in columns.SECONDS:
            known = ", ".join(columns.SECONDS)
            raise ConfigError(f"time_unit must be one of {known}, got {self.time_unit!r}")
        if self.rating_scale is not None:
            low, high = self.rating_scale
            if self.feedback != "ratings" or not -np.inf < low < high < np.inf:
                raise ConfigError(
                    f"rating_scale must rise and speak of ratings, got [{low:g}, {high:g}] "
                    f"for {self.feedback}"
                )
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise ConfigError(f"delimiter must be one character, got {self.delimiter!r}")

    def columns(self) -> dict[str, str]:
        """Name of each column by what it is for."""
        named = {
            "users": self.users,
            "items": self.items,
            "ratings": self.ratings,
            "timestamps": self.timestamps,
        }
        return {use: name for use, name in named.items() if name is not None}


@dataclass(frozen=True, eq=False, slots=True)
class _Pairs:
    """Feedback by pair of user and item, ordered by user and item."""

    users: Int64Array
    items: Int64Array
    values: FloatArray
    times: Int64Array


def load_table(spec: TableSpec) -> Dataset:
    """Load a table, with every value checked.

    Items stand in the order of their ids, so that the order of the rows does not matter unless
    there are no times.

    Raises:
        DataError: naming the file, the line or row, the value and the rule that it breaks.
    """
    files = open_tables(spec.path, delimiter=spec.delimiter)
    for file in files:
        require_columns(file, spec.columns())
    parts = _read(files, spec)
    users = columns.id_column(parts.pop("users"), spec.users)
    items = columns.id_column(parts.pop("items"), spec.items)
    values = _values(parts.pop("ratings", None), spec, n=users.rows.size)
    times = (
        columns.time_column(parts.pop("timestamps"), spec.timestamps or "", unit=spec.time_unit)
        if "timestamps" in parts
        else np.arange(users.rows.size, dtype=np.int64)
    )
    pairs = _by_pair(files, spec, users=users, items=items, values=values, times=times)
    del values, times
    stars, mapping = _stars(spec, pairs)
    interactions = Interactions.from_triplets(
        pairs.users,
        pairs.items,
        stars.astype(np.float32),
        pairs.times,
        user_ids=users.ids,
        item_ids=items.ids,
        rating_range=STARS,
    )
    catalogue, notes = describe_items(items.labels, items.ids, spec.metadata)
    return Dataset(
        name=spec.path.resolve().name.split(".")[0],
        description=_describe(spec, interactions, mapping),
        catalogue=catalogue,
        interactions=interactions,
        item_labels=() if items.numeric else items.labels,
        user_labels=() if users.numeric else users.labels,
        notes=(*_notes(spec, users, items), *notes),
    )


def _read(files: tuple[TableFile, ...], spec: TableSpec) -> dict[str, Parts]:
    parts: dict[str, list[tuple[TableFile, pa.ChunkedArray]]] = {}
    for file in files:
        types: dict[str, pa.DataType | None] = {spec.users: None, spec.items: None}
        if spec.ratings is not None:
            types[spec.ratings] = pa.float64()
        if spec.timestamps is not None:
            is_csv = file.delimiter is not None
            types[spec.timestamps] = (
                columns.csv_time_type(file, spec.timestamps) if is_csv else pa.int64()
            )
        read = read_columns(file, types)
        for use, name in spec.columns().items():
            parts.setdefault(use, []).append((file, read[name]))
    return dict(parts)


def _values(parts: Parts | None, spec: TableSpec, *, n: int) -> FloatArray:
    if parts is None or spec.ratings is None:
        return np.ones(n)
    values = columns.number_column(parts, spec.ratings)
    if spec.feedback == "plays":
        good, rule = values > 0, "must be a number of plays > 0"
    else:
        low, high = (0.0, 1.0) if spec.feedback == "watched" else spec.rating_scale or (-1e9, 1e9)
        good, rule = (values >= low) & (values <= high), f"must be within {low:g} and {high:g}"
    if not good.all():
        row = int(np.argmin(good))
        file, inside = columns.locate(parts, row)
        raise file.error(inside, rule=f"{spec.ratings} {rule}", value=float(values[row]))
    return values


def _by_pair(
    files: tuple[TableFile, ...],
    spec: TableSpec,
    *,
    users: IdColumn,
    items: IdColumn,
    values: FloatArray,
    times: Int64Array,
) -> _Pairs:
    cells = users.rows.astype(np.int64)
    cells *= items.ids.size
    cells += items.rows
    # Stable, so that of equal pairs the first row comes first.
    order = np.argsort(cells, kind="stable")
    cells = cells[order]
    again = np.flatnonzero(cells[1:] == cells[:-1])
    values, times = values[order], times[order]
    if again.size:
        if spec.feedback == "ratings":
            raise _duplicate(spec, files, order, again, users=users, items=items)
        starts = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
        merge = np.add if spec.feedback == "plays" else np.maximum
        values = merge.reduceat(values, starts)
        times = np.maximum.reduceat(times, starts)
        cells = cells[starts]
    return _Pairs(cells // items.ids.size, cells % items.ids.size, values, times)


def _duplicate(
    spec: TableSpec,
    files: tuple[TableFile, ...],
    order: Int64Array,
    again: Int64Array,
    *,
    users: IdColumn,
    items: IdColumn,
) -> DataError:
    place = again[np.argmin(order[again + 1])]
    first, second = int(order[place]), int(order[place + 1])
    lengths = [(file, read_columns(file, {spec.users: None})[spec.users]) for file in files]
    before, row_before = columns.locate(lengths, first)
    file, row = columns.locate(lengths, second)
    number = f"line {row_before + 2}" if before.delimiter is not None else f"row {row_before + 1}"
    there = number if before is file else f"{before.path.name}, {number}"
    return file.error(
        row,
        rule=f"({spec.users}, {spec.items}) must be unique, {there} already has it "
        "(feedback: plays adds up)",
        value=(users.labels[users.rows[second]], items.labels[items.rows[second]]),
    )


def _stars(spec: TableSpec, pairs: _Pairs) -> tuple[FloatArray, str]:
    if float(np.ptp(pairs.values)) == 0.0:
        raise DataError(
            spec.path,
            rule=f"{spec.feedback} must differ between pairs of user and item, or no taste can be "
            "told from them; all are",
            value=float(pairs.values[0]),
        )
    if spec.feedback == "plays":
        return plays_to_stars(pairs.values, pairs.users)
    if spec.feedback == "watched":
        return watched_to_stars(pairs.values)
    return ratings_to_stars(pairs.values, spec.rating_scale)


def _describe(spec: TableSpec, interactions: Interactions, mapping: str) -> str:
    words = (
        f"table {spec.path.resolve().name}, {interactions.n_users:,} users, "
        f"{interactions.n_items:,} items, {interactions.matrix.nnz:,} {_WORDS[spec.feedback]}"
    )
    if spec.timestamps is None:
        words += " without times (rows count as oldest first)"
    else:
        first, last = (
            datetime.fromtimestamp(int(moment), tz=UTC).date().isoformat()
            for moment in (interactions.times.min(), interactions.times.max())
        )
        words += f" from {first} to {last}"
    return f"{words}; {mapping}" if mapping else words


def _notes(spec: TableSpec, users: IdColumn, items: IdColumn) -> list[str]:
    notes = []
    if spec.timestamps is None:
        notes.append("no column of times: the order of the rows stands for it")
    for name, ids in ((spec.users, users), (spec.items, items)):
        if ids.mixed is not None:
            notes.append(
                f"column {name} mixes whole numbers ({ids.mixed[0]}) and texts ({ids.mixed[1]}); "
                "all are taken as texts"
            )
    return notes
