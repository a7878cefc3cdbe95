"""Tables of named columns in parts, from files or from memory, and the arrays of one part."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from matinee_platform.ope.inputs.log_columns import LogColumns
from matinee_platform.ope.inputs.unit_ids import hashed_texts
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, Int64Array, UInt64Array
from matinee_policies.datasets.table_columns import csv_time_type, id_column, number_column
from matinee_policies.datasets.table_file import (
    TableFile,
    csv_records,
    open_tables,
    require_columns,
)
from matinee_policies.datasets.table_stream import stream_columns
from matinee_policies.errors import ConfigError, DataError

ROWS = 16_384
"""Rows that are read together."""

MOST_POSITIONS = 1_000

Columns: TypeAlias = dict[str, pa.ChunkedArray]
Part: TypeAlias = tuple[TableFile, Columns]


@dataclass(frozen=True, slots=True)
class LogTable:
    """A table that can be read part by part, as often as needed.

    Attributes:
        origin: what it is, for errors.
        parts: reads the columns that are named.
        names: of its columns.
    """

    origin: Path
    parts: Callable[[LogColumns], Iterator[Part]]
    names: tuple[str, ...]


def table_of(source: Path | str | pa.Table | pd.DataFrame, *, delimiter: str | None) -> LogTable:
    """A file or a folder of parts, an Arrow table or a data frame."""
    if isinstance(source, pd.DataFrame):
        return _of_frame(source)
    if isinstance(source, pa.Table):
        return _in_memory(source, "Table")
    if not isinstance(source, Path | str):
        got = f"{type(source).__module__}.{type(source).__qualname__}"
        raise ConfigError(f"a table must be a path, an Arrow table or a pandas frame, got {got}")
    files = open_tables(Path(source), delimiter=delimiter)

    def parts(columns: LogColumns) -> Iterator[Part]:
        for file in files:
            require_columns(file, columns.uses())
            yield from stream_columns(file, _types(file, columns), rows=ROWS)

    return LogTable(Path(source), parts, files[0].names)


def _of_frame(frame: pd.DataFrame) -> LogTable:
    """A frame, of which the columns that are named become an Arrow table, once."""
    word, names = "DataFrame", tuple(str(name) for name in frame.columns)
    made: dict[tuple[str, ...], LogTable] = {}

    def parts(columns: LogColumns) -> Iterator[Part]:
        wanted = tuple(columns.names())
        if wanted not in made:
            file = TableFile(Path(word), names, None)
            _require_once(file, columns)
            data = {name: _arrow(file, frame.iloc[:, names.index(name)]) for name in wanted}
            made[wanted] = _in_memory(pa.table(data), word)
        return made[wanted].parts(columns)

    return LogTable(Path(word), parts, names)


def _arrow(file: TableFile, column: "pd.Series[Any]") -> pa.Array | pa.ChunkedArray:
    try:
        return pa.Array.from_pandas(column)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # What could not be read stands in no message: it may be a person's name.
        rule = f"column {column.name} must hold values of one type, numbers or texts"
        raise DataError(file.path, rule=rule) from None


def _require_once(file: TableFile, columns: LogColumns) -> None:
    """Refuse a table that lacks a column that is named, or has it twice."""
    require_columns(file, columns.uses())
    for name in columns.names():
        if (count := file.names.count(name)) > 1:
            raise DataError(file.path, rule=f"must have one column {name}, has {count}")


def _in_memory(table: pa.Table, word: str) -> LogTable:
    def parts(columns: LogColumns) -> Iterator[Part]:
        file = TableFile(Path(word), tuple(table.column_names), None)
        _require_once(file, columns)
        if not table.num_rows:
            raise file.error(0, rule="must hold at least one row")
        for first in range(0, table.num_rows, ROWS):
            part = table.slice(first, ROWS)
            at = TableFile(file.path, file.names, None, first)
            yield at, {name: part[name] for name in columns.names()}

    return LogTable(Path(word), parts, tuple(table.column_names))


def _types(file: TableFile, columns: LogColumns) -> dict[str, pa.DataType | None]:
    """Types to read a file's columns as; Parquet keeps its own."""
    types: dict[str, pa.DataType | None] = dict.fromkeys(columns.names())
    if file.delimiter is None:
        return types
    numbers = (*columns.reward, *columns.propensity, *columns.target, *columns.unreachable)
    types |= dict.fromkeys(numbers, pa.float64())
    types |= dict.fromkeys(columns.position, pa.int64())
    types |= {name: csv_time_type(file, name) for name in columns.time}
    if columns.context:
        records = csv_records(file.path, file.delimiter)
        next(records)
        first = dict(zip(file.names, next(records, (0, []))[1], strict=False))
        records.close()
        types |= {name: pa.float64() for name in columns.context if _is_number(first.get(name, ""))}
    return types


def number_types(names: Sequence[str]) -> dict[str, pa.DataType | None]:
    """Types of columns of numbers, for CSV files, whose fields are texts otherwise."""
    return dict.fromkeys(names, pa.float64())


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def labels_of(part: Part, name: str, *, may_be_empty: bool) -> tuple[AnyArray, Sequence[str]]:
    """Items of a column: places in a list of labels, -1 where empty, and the list.

    Raises:
        DataError: as `id_column`.
    """
    file, columns = part
    column = columns[name]
    if may_be_empty:
        empty = _is_empty(column)
        if empty.any():
            if empty.all():
                return np.full(len(column), -1, dtype=np.int64), ()
            texts = pc.cast(column, pa.string())
            column = pc.if_else(pa.array(~empty), texts, texts[int(np.argmin(empty))])
            column = pa.chunked_array([column]) if isinstance(column, pa.Array) else column
            found = id_column([(file, column)], name)
            return np.where(empty, -1, found.rows), found.labels
    found = id_column([(file, column)], name)
    return found.rows, found.labels


def _is_empty(column: pa.ChunkedArray) -> BoolArray:
    empty: AnyArray = pc.is_null(column).to_numpy()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        empty = empty | pc.fill_null(pc.equal(column, ""), True).to_numpy()
    return np.asarray(empty, dtype=bool)


def lists_of(part: Part, name: str) -> tuple[Int64Array, Int64Array, Sequence[str]]:
    """Lists of items: how long each is, places of all entries in a list of labels, and that list.

    Raises:
        DataError: on a missing or empty list, a missing entry, or a column of another type.
    """
    file, columns = part
    column = columns[name].combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise file.error(0, rule=f"column {name} must hold lists of items", value=str(kind))
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    entries = pc.cast(column.flatten(), pa.string())
    row = int(np.argmin(lengths))
    if entries.null_count:
        place = int(np.argmax(pc.is_null(entries).to_numpy(zero_copy_only=False)))
        row = int(np.searchsorted(np.cumsum(lengths), place, side="right"))
    if not lengths.all() or entries.null_count:
        raise file.error(row, rule=f"{name} must list at least one item and no missing one")
    coded = pc.dictionary_encode(entries)
    places = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths.astype(np.int64), places, coded.dictionary.to_pylist()


def numbers_of(part: Part, name: str) -> FloatArray:
    """Finite numbers of a column; true and false are 1 and 0.

    Raises:
        DataError: as `number_column`.
    """
    file, columns = part
    column = columns[name]
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.int8())
    return number_column([(file, column)], name)


def shares_of(part: Part, name: str, *, above_zero: bool) -> FloatArray:
    """Probabilities of a column.

    Raises:
        DataError: as `number_column`, or outside [0, 1], or 0 where it must be above.
    """
    values = numbers_of(part, name)
    good = ((values > 0.0) if above_zero else (values >= 0.0)) & (values <= 1.0)
    rule = "must be a probability in (0, 1]" if above_zero else "must be within 0 and 1"
    _refuse(part, good, values, rule=f"{name} {rule}")
    return values


def positions_of(part: Part, name: str, *, most: int) -> Int64Array:
    """Positions of a column, which counts from 1, from 0.

    Raises:
        DataError: on what is no whole number from 1 to `most`.
    """
    values = numbers_of(part, name)
    good = (values == np.floor(values)) & (values >= 1.0) & (values <= most)
    _refuse(part, good, values, rule=f"{name} must be a whole number from 1 to {most}")
    return values.astype(np.int64) - 1


def units_of(part: Part, name: str) -> UInt64Array:
    """Units of a column: whole numbers, or the first 64 bits of a text's SHA-256.

    Raises:
        DataError: on a missing or negative one, or another type; texts are not in the message.
    """
    file, columns = part
    column = columns[name]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    missing = pc.is_null(column).to_numpy()
    if missing.any():
        raise file.error(int(np.argmax(missing)), rule=f"{name} must not be missing")
    if pa.types.is_integer(kind):
        numbers = pc.cast(column, kind).to_numpy()
        _refuse(part, numbers >= 0, numbers, rule=f"{name} must be at least 0")
        return np.asarray(numbers, dtype=np.uint64)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        rule = f"column {name} must hold units: whole numbers or texts"
        raise file.error(0, rule=rule, value=str(column.type))
    coded = pc.dictionary_encode(pc.cast(column, pa.string())).combine_chunks()
    coded = coded if isinstance(coded, pa.DictionaryArray) else coded.chunk(0)
    texts = coded.dictionary.to_pylist()
    units: UInt64Array = hashed_texts(texts)[coded.indices.to_numpy(zero_copy_only=False)]
    return units


def is_text(part: Part, name: str) -> bool:
    """Whether a column of context holds texts."""
    kind = part[1][name].type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def texts_of(part: Part, name: str) -> tuple[Int64Array, Sequence[str]]:
    """Texts of a column of context: places in a list, and the list; any text is one.

    Raises:
        DataError: on a missing one.
    """
    file, columns = part
    column = pc.cast(columns[name], pa.string())
    missing = pc.is_null(column).to_numpy()
    if missing.any():
        raise file.error(int(np.argmax(missing)), rule=f"{name} must not be missing")
    coded = pc.dictionary_encode(column).combine_chunks()
    coded = coded if isinstance(coded, pa.DictionaryArray) else coded.chunk(0)
    places = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return places, coded.dictionary.to_pylist()


def _refuse(part: Part, good: AnyArray, values: AnyArray, *, rule: str) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise part[0].error(row, rule=rule, value=values[row].item())
