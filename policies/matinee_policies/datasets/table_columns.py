"""What the columns of a table mean: ids, values, times, each checked as a whole.

Functions from Arrow columns to numpy arrays; errors name the row that breaks a rule.
"""

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray, Int64Array
from matinee_policies.datasets.table_file import TableFile, csv_records
from matinee_policies.errors import DataError

LATEST = 4_102_444_800
"""1 January 2100 in unix seconds."""

SECONDS = {"s": 1, "ms": 1_000, "us": 1_000_000}
"""Ticks of a second by the unit of time."""

_TICKS = {**SECONDS, "ns": 1_000_000_000}
_LARGEST_EXACT = 2**53

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
_NUMBER = re.compile(r"[-+]?[0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ZONE = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")
_LONGEST_ID = 200

Parts = Sequence[tuple[TableFile, pa.ChunkedArray]]
"""One column in every file of a table."""


@dataclass(frozen=True, eq=False, slots=True)
class IdColumn:
    """Ids of a column as rows of their sorted list.

    Attributes:
        rows: place of each row's id in `labels`, `int32 [n]`.
        ids: the ids as whole numbers, or 0, 1, ... where they are texts, `int64 [k]`.
        labels: the ids as they stand in the data, ordered by number or by text, length k.
        numeric: whether the ids are whole numbers.
        mixed: a whole number among texts, with one of the texts, or None.
    """

    rows: IndexArray
    ids: Int64Array
    labels: tuple[str, ...]
    numeric: bool
    mixed: tuple[str, str] | None


def locate(parts: Parts, row: int) -> tuple[TableFile, int]:
    """File and row within it of a row counted over all parts."""
    for file, column in parts:
        if row < len(column):
            return file, row
        row -= len(column)
    raise IndexError(row)


def id_column(parts: Parts, name: str) -> IdColumn:
    """Ids, whole numbers or texts, never empty.

    They are whole numbers when each is one, written without leading zeros; else all are texts.

    Raises:
        DataError: a null, an empty or overlong text, control characters, or another type.
    """
    for file, column in parts:
        _check_id_type(file, name, column.type)
        _refuse_nulls(file, name, column)
    encoded = [pc.dictionary_encode(_cast(file, name, c, pa.string())) for file, c in parts]
    whole = pa.chunked_array([chunk for column in encoded for chunk in column.chunks])
    flat = whole.unify_dictionaries().combine_chunks()
    flat = flat if isinstance(flat, pa.DictionaryArray) else flat.chunk(0)
    codes = flat.indices.to_numpy(zero_copy_only=False)
    labels: list[str] = flat.dictionary.to_pylist()
    for code, label in enumerate(labels):
        _check_label(parts, name, label=label, code=code, codes=codes)
    numbers = [label for label in labels if is_whole_id(label)]
    numeric = len(numbers) == len(labels)
    order = sorted(range(len(labels)), key=lambda k: int(labels[k]) if numeric else labels[k])
    place = np.empty(len(labels), dtype=np.int32)
    place[order] = np.arange(len(labels), dtype=np.int32)
    ordered = tuple(labels[k] for k in order)
    ids = [int(label) for label in ordered] if numeric else range(len(ordered))
    mixed = None
    if numbers and not numeric:
        mixed = numbers[0], next(label for label in labels if not is_whole_id(label))
    return IdColumn(place[codes], np.array(ids, dtype=np.int64), ordered, numeric, mixed)


def is_whole_id(label: str) -> bool:
    """Whether an id is a whole number, without leading zeros."""
    return bool(_WHOLE.fullmatch(label))


def number_column(parts: Parts, name: str) -> FloatArray:
    """Finite numbers, `float64 [n]`.

    Raises:
        DataError: a null, NaN, infinity, a whole number beyond 2^53, which `float64` would round,
            or a column that is not of numbers.
    """
    columns: list[FloatArray] = []
    for file, column in parts:
        kind = column.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or _is_decimal(kind)):
            raise DataError(file.path, rule=f"column {name} must hold numbers", value=str(kind))
        _refuse_nulls(file, name, column)
        if pa.types.is_integer(kind):
            raw = column.to_numpy()
            exact = (raw <= _LARGEST_EXACT) & (raw >= -_LARGEST_EXACT)
            _refuse(file, exact, raw, rule=f"{name} must be within -2^53 and 2^53")
        numbers = _cast(file, name, column, pa.float64()).to_numpy()
        _refuse(file, np.isfinite(numbers), numbers, rule=f"{name} must be a finite number")
        columns.append(numbers)
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


def time_column(
    parts: Parts, name: str, *, unit: str = "s", ticks_per_second: int = 1
) -> Int64Array:
    """Times from 1970 to 2100, in seconds by default, `int64 [n]`; what is finer is cut.

    Args:
        parts: numbers in `unit` since 1970, or dates and times; without an offset they are UTC.
        name: of the column.
        unit: `"s"`, `"ms"` or `"us"`, of numbers.
        ticks_per_second: of the result, 1 to 1,000.

    Raises:
        DataError: a null, a time out of range, or a column of another type.
    """
    columns: list[Int64Array] = []
    for file, column in parts:
        kind = column.type
        _refuse_nulls(file, name, column)
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            if pa.types.is_date(kind):
                column = _cast(file, name, column, pa.timestamp("ms"))
            ticks = _cast(file, name, column, pa.int64()).to_numpy()
            times = _in_ticks(ticks, _TICKS[column.type.unit], ticks_per_second)
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
            raw = column.to_numpy()
            good: BoolArray = np.isfinite(raw) & (raw >= 0) & (raw <= LATEST * SECONDS[unit])
            _refuse(file, good, raw, rule=_time_rule(name, unit))
            times = _in_ticks(raw, SECONDS[unit], ticks_per_second).astype(np.int64)
        else:
            rule = f"column {name} must hold times: numbers, dates or timestamps"
            raise DataError(file.path, rule=rule, value=str(kind))
        inside = (times >= 0) & (times <= LATEST * ticks_per_second)
        _refuse(file, inside, times, rule=f"{name} must be a time from 1970 to 2100")
        columns.append(np.asarray(times, dtype=np.int64))
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


def csv_time_type(file: TableFile, name: str) -> pa.DataType:
    """The Arrow type of a CSV column of times, judged by its first row."""
    text = _first_field(file, name)
    if _NUMBER.fullmatch(text):
        return pa.int64()
    if re.fullmatch(r"[-+0-9.eE]+", text) and text.count("-") <= 1:
        return pa.float64()
    has_clock = ":" in text
    return pa.timestamp("us", tz="UTC" if has_clock and _ZONE.search(text) else None)


def _time_rule(name: str, unit: str) -> str:
    words = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}[unit]
    return (
        f"{name} must be {words} since 1970, at most {LATEST * SECONDS[unit]} (year 2100); "
        "time_unit says which of s, ms, us"
    )


def _in_ticks(times: AnyArray, per_second: int, wanted: int) -> AnyArray:
    # Whole factors only, so that whole numbers stay exact.
    if wanted > per_second:
        return times * (wanted // per_second)
    ticks: AnyArray = times // (per_second // wanted)
    return ticks


def _first_field(file: TableFile, name: str) -> str:
    place = file.names.index(name)
    with closing(csv_records(file.path, file.delimiter or ",")) as records:
        next(records)
        _, values = next(records, (0, []))
    return values[place] if place < len(values) else ""


def _check_id_type(file: TableFile, name: str, kind: pa.DataType) -> None:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (_is_text(value) or pa.types.is_integer(value)):
        rule = f"column {name} must hold ids: whole numbers or texts"
        raise DataError(file.path, rule=rule, value=str(kind))


def _check_label(parts: Parts, name: str, *, label: str, code: int, codes: AnyArray) -> None:
    if label.strip() and len(label) <= _LONGEST_ID and not _CONTROL.search(label):
        return
    file, row = locate(parts, int(np.argmax(codes == code)))
    rule = f"{name} must be an id of 1 to {_LONGEST_ID} characters without control characters"
    raise file.error(row, rule=rule, value=label[:60])


def _refuse_nulls(file: TableFile, name: str, column: pa.ChunkedArray) -> None:
    if column.null_count:
        row = int(np.argmax(pc.is_null(column).to_numpy()))
        raise file.error(row, rule=f"{name} must not be missing", value="null")


def _cast(
    file: TableFile, name: str, column: pa.ChunkedArray, kind: pa.DataType
) -> pa.ChunkedArray:
    try:
        return pc.cast(column, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        rule = f"column {name} must be readable as {kind} ({str(error).splitlines()[0][:120]})"
        raise DataError(file.path, rule=rule, value=str(column.type)) from None


def _refuse(file: TableFile, good: AnyArray, values: AnyArray, *, rule: str) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise file.error(row, rule=rule, value=values[row].item())


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_decimal(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind))
