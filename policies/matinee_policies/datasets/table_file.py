"""Named columns of a CSV or Parquet file, or of a folder of such files, as Arrow arrays.

Good files are read by Arrow, column by column. When Arrow refuses a CSV file, it is walked once
more to find the line to blame. What the columns mean belongs to `table_columns.py`.

CSV is UTF-8 (a byte order mark is allowed), plain or gzip, with a header, one record per line.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from matinee_policies.errors import DataError

CSV_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
_SHOWN = 60
_BLOCK = 8 << 20
_LINES_AT_ONCE = 1 << 20
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class TableFile:
    """One file and what is needed to read it.

    Attributes:
        path: the file.
        names: its columns, in order.
        delimiter: between the fields of a CSV file; None for Parquet.
        first: rows of the file that stand above those that are looked at.
    """

    path: Path
    names: tuple[str, ...]
    delimiter: str | None
    first: int = 0

    def error(self, row: int, *, rule: str, value: object = None) -> DataError:
        """The error of row `row`, counted from 0: by line in a CSV file, else by row from 1."""
        number = self.first + row
        if self.delimiter is not None:
            return DataError(self.path, rule=rule, line=number + 2, value=value)
        return DataError(self.path, rule=f"row {number + 1}: {rule}", value=value)

    def shown_names(self) -> str:
        """The columns for an error; a CSV header of one field hints at its delimiter."""
        names = ", ".join(self.names)[:400]
        if self.delimiter is None or len(self.names) > 1:
            return names
        return f"{names} (a single field; set delimiter if it is not {self.delimiter!r})"


def is_table(path: Path) -> bool:
    """Whether the name of a file says that it is CSV or Parquet."""
    return path.name.lower().endswith((*CSV_SUFFIXES, *PARQUET_SUFFIXES))


def open_tables(path: Path, *, delimiter: str | None = None) -> tuple[TableFile, ...]:
    """The file itself, or the parts of a table that a folder holds, in the order of their names.

    Args:
        path: a file, or a folder whose CSV and Parquet files are parts with the same columns.
        delimiter: of CSV files; default a comma, a tab for `.tsv`.

    Raises:
        DataError: there is none, its kind is unknown, or the parts have different columns.
    """
    if not path.exists():
        raise DataError(path, rule="must be a file or a folder that exists")
    if not path.is_dir():
        return (open_table(path, delimiter=delimiter),)
    inside = [child for child in sorted(path.iterdir()) if child.is_file() and is_table(child)]
    if not inside:
        known = ", ".join((*CSV_SUFFIXES, *PARQUET_SUFFIXES))
        raise DataError(path, rule=f"folder must hold files with a name in {known}")
    parts = tuple(open_table(child, delimiter=delimiter) for child in inside)
    for part in parts[1:]:
        if set(part.names) != set(parts[0].names):
            raise DataError(
                part.path,
                rule=f"parts of one table must have the columns of {parts[0].path.name}; "
                "name one file if they are different tables",
                value=",".join(part.names)[:_SHOWN],
            )
    return parts


def open_table(path: Path, *, delimiter: str | None = None) -> TableFile:
    """Find out the columns of one file; arguments and errors as `open_tables`."""
    name = path.name.lower()
    if not path.is_file():
        raise DataError(path, rule="file must exist")
    if name.endswith(PARQUET_SUFFIXES):
        return TableFile(path, _parquet_names(path), None)
    if not name.endswith(CSV_SUFFIXES):
        known = ", ".join((*CSV_SUFFIXES, *PARQUET_SUFFIXES))
        raise DataError(path, rule=f"name must end in one of {known}")
    between = delimiter or ("\t" if ".tsv" in name else ",")
    with closing(csv_records(path, between)) as records:
        header = next(records, None)
    if header is None:
        raise DataError(path, rule="file must not be empty")
    names = tuple(header[1])
    if len(set(names)) != len(names):
        shown = between.join(names)[:_SHOWN]
        raise DataError(path, rule="columns of the header must be distinct", line=1, value=shown)
    return TableFile(path, names, between)


def require_columns(file: TableFile, wanted: Mapping[str, str]) -> None:
    """Refuse a file that lacks a column.

    Args:
        file: the file.
        wanted: name of the column by what it is for.

    Raises:
        DataError: naming the column and those that there are.
    """
    for use, name in wanted.items():
        if name not in file.names:
            raise DataError(
                file.path,
                rule=f"must have the column of {use}; there are {file.shown_names()}",
                line=1 if file.delimiter is not None else None,
                value=name,
            )


def read_columns(
    file: TableFile, types: Mapping[str, pa.DataType | None]
) -> dict[str, pa.ChunkedArray]:
    """Columns of one file.

    Args:
        file: the file.
        types: wanted Arrow type by name; Parquet files keep their own. With None, a CSV field is
            a text.

    Raises:
        DataError: the file is damaged, or a CSV file has a field that is not of the type, a row
            with another number of fields, unbalanced quotes, or text that is not UTF-8.
    """
    is_csv = file.delimiter is not None
    columns = _read_csv(file, types) if is_csv else _read_parquet(file, list(types))
    if len(next(iter(columns.values()))) == 0:
        raise DataError(file.path, rule="must hold at least one row")
    return columns


def csv_records(path: Path, delimiter: str) -> Generator[tuple[int, list[str]], None, None]:
    """Each record with the 1-based line it stands on, header included, read as a stream.

    Raises:
        DataError: at the first line that is no record, or where the file is damaged.
    """
    line = 0
    try:
        with _open_bytes(path) as stream:
            for line, raw in enumerate(stream, start=1):
                yield line, _record(path, line, raw, delimiter)
    except EOFError:
        raise DataError(path, rule="must be a complete gzip file, it ends too early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(path, rule=f"must be an undamaged gzip file ({error})") from None
    except OSError as error:
        raise DataError(path, rule=f"file must be readable ({error.strerror})") from None


def _open_bytes(path: Path) -> io.BufferedReader | gzip.GzipFile:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _record(path: Path, line: int, raw: bytes, delimiter: str) -> list[str]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        broken = raw[error.start : error.end]
        raise DataError(path, rule="text must be UTF-8", line=line, value=broken) from None
    if line == 1:
        text = text.removeprefix(_BYTE_ORDER_MARK)
    text = text.rstrip("\r\n")
    if "\x00" in text:
        raise DataError(path, rule="text must hold no control characters", line=line, value="\x00")
    # An unquoted field may hold quotes in pairs; an odd one out has lost its partner.
    if text.count('"') % 2:
        rule = "quotes must be balanced in a row"
        raise DataError(path, rule=rule, line=line, value=text[:_SHOWN])
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise DataError(path, rule=f"row must be valid CSV ({error})", line=line) from None


def _read_csv(
    file: TableFile, types: Mapping[str, pa.DataType | None]
) -> dict[str, pa.ChunkedArray]:
    try:
        return _arrow_csv(file, {name: kind or pa.string() for name, kind in types.items()})
    except (pa.ArrowInvalid, OSError) as error:
        raise csv_blame(file, types, str(error)) from None


def csv_options(file: TableFile, types: Mapping[str, pa.DataType]) -> dict[str, Any]:
    """How Arrow shall read columns of a CSV file, whole or as a stream."""
    return {
        "read_options": arrow_csv.ReadOptions(block_size=_BLOCK),
        "parse_options": arrow_csv.ParseOptions(delimiter=file.delimiter, ignore_empty_lines=False),
        "convert_options": arrow_csv.ConvertOptions(
            include_columns=list(types),
            column_types=dict(types),
            null_values=[],
            strings_can_be_null=False,
            quoted_strings_can_be_null=False,
        ),
    }


def _arrow_csv(file: TableFile, types: Mapping[str, pa.DataType]) -> dict[str, pa.ChunkedArray]:
    table = arrow_csv.read_csv(file.path, **csv_options(file, types))
    check_lines(file, table.num_rows)
    return {name: table[name] for name in types}


def check_lines(file: TableFile, rows: int) -> None:
    """Refuse a CSV file that does not have a line for each row that was read.

    Arrow takes an open quote to reach over lines, and the rows in it for one.

    Raises:
        DataError: with the line of the quote.
    """
    if _count_lines(file.path) == rows + 1:
        return
    for _ in csv_records(file.path, file.delimiter or ","):
        pass
    raise DataError(file.path, rule="must have one record per line")


def _count_lines(path: Path) -> int:
    lines, last = 0, b"\n"
    with _open_bytes(path) as stream:
        while block := stream.read(_LINES_AT_ONCE):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return lines + (last != b"\n")


def csv_blame(file: TableFile, types: Mapping[str, pa.DataType | None], reason: str) -> DataError:
    """The error of the first line that breaks a rule: of its form, else of a field's type.

    Args:
        file: a CSV file that Arrow refused.
        types: as it was asked for them.
        reason: what Arrow said.
    """
    try:
        wrong = _wrong_type(file, types)
    except (pa.ArrowInvalid, OSError):
        wrong = None  # not even texts can be read: the form is to blame
    # An empty field may be a blank line, which says more.
    if wrong is not None and wrong.value != "":
        return wrong
    width = len(file.names)
    for line, values in csv_records(file.path, file.delimiter or ","):
        if len(values) != width:
            rule = f"row must have {width} fields"
            return DataError(file.path, rule=rule, line=line, value=len(values))
    rule = f"must be readable as CSV ({reason.splitlines()[0]})"
    return wrong or DataError(file.path, rule=rule)


def _wrong_type(file: TableFile, types: Mapping[str, pa.DataType | None]) -> DataError | None:
    for name, kind in types.items():
        if kind is None:
            continue
        texts = _arrow_csv(file, {name: pa.string()})[name]
        if not _converts(texts, kind):
            row = _first_unconverted(texts, kind)
            shown = texts[row].as_py()[:_SHOWN]
            return file.error(row, rule=f"{name} must be {type_words(kind)}", value=shown)
    return None


def _first_unconverted(texts: pa.ChunkedArray, kind: pa.DataType) -> int:
    """First row whose text is not of a type, by halving."""
    low, high = 0, len(texts)
    while high - low > 1:
        middle = (low + high) // 2
        if _converts(texts[low:middle], kind):
            low = middle
        else:
            high = middle
    return low


def type_words(kind: pa.DataType) -> str:
    """A type in a person's words."""
    if pa.types.is_integer(kind):
        return "a whole number"
    if pa.types.is_floating(kind):
        return "a number"
    if pa.types.is_timestamp(kind):
        zone = " with an offset from UTC" if kind.tz else ""
        return f"a date or time as in the first row{zone}"
    return str(kind)


def _converts(texts: pa.ChunkedArray, kind: pa.DataType) -> bool:
    # Through CSV again, so that this judges exactly as the first reading did.
    sink = io.BytesIO()
    table = pa.table({"x": texts})
    arrow_csv.write_csv(table, sink)
    options = arrow_csv.ConvertOptions(
        column_types={"x": kind}, null_values=[], strings_can_be_null=False
    )
    try:
        arrow_csv.read_csv(
            pa.py_buffer(sink.getvalue()),
            parse_options=arrow_csv.ParseOptions(ignore_empty_lines=False),
            convert_options=options,
        )
    except pa.ArrowInvalid:
        return False
    return True


def _parquet_names(path: Path) -> tuple[str, ...]:
    try:
        with parquet.ParquetFile(path) as file:
            return tuple(file.schema_arrow.names)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else "unreadable"
        raise DataError(path, rule=f"must be a Parquet file ({reason})") from None


def _read_parquet(file: TableFile, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    try:
        with parquet.ParquetFile(file.path) as opened:
            table = opened.read(columns=list(names))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:120]
        raise DataError(file.path, rule=f"must be an undamaged Parquet file ({reason})") from None
    return {name: table[name] for name in names}
