"""Strict reading of CSV files: every row, or the exact line that breaks a rule.

Files are UTF-8 (a byte order mark is allowed), plain or gzip, with a header, one record per line
and balanced quotes. What the columns mean belongs to the loaders.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matinee_policies.errors import DataError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file in memory, uncompressed.

    Attributes:
        path: where it came from, for errors.
        raw: its bytes, without byte order mark.
    """

    path: Path
    raw: bytes


def find_csv(folder: Path, stem: str) -> Path | None:
    """The file `stem.csv` or `stem.csv.gz` of a folder, if there is one.

    Raises:
        DataError: both are there, so that it is unclear which one counts.
    """
    found = [path for path in (folder / f"{stem}.csv", folder / f"{stem}.csv.gz") if path.exists()]
    if len(found) > 1:
        raise DataError(found[0], rule=f"must not stand beside {found[1].name}; keep one of them")
    return found[0] if found else None


def open_csv(folder: Path, stem: str) -> CsvFile:
    """Read `stem.csv` or `stem.csv.gz` of a folder into memory.

    Raises:
        DataError: there is none or both, or it cannot be read or uncompressed.
    """
    path = find_csv(folder, stem)
    if path is None:
        raise DataError(folder / f"{stem}.csv", rule="file must exist, plain or as .csv.gz")
    return read_csv(path)


def read_csv(path: Path) -> CsvFile:
    """Read one file into memory; a name that ends in .gz is uncompressed.

    Raises:
        DataError: it does not exist, or cannot be read or uncompressed.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(path, rule="file must exist") from None
    except OSError as error:
        raise DataError(path, rule=f"file must be readable ({error.strerror})") from None
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw) if raw else b""
        except EOFError:
            raise DataError(path, rule="must be a complete gzip file, it ends too early") from None
        except (OSError, zlib.error) as error:
            raise DataError(path, rule=f"must be an undamaged gzip file ({error})") from None
    return CsvFile(path=path, raw=raw.removeprefix(_BYTE_ORDER_MARK))


def rows(file: CsvFile, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The wanted columns of each row, with the 1-based line they stand on.

    Args:
        file: a file in memory.
        columns: names that the header must have; it may have others, in any order.

    Yields:
        Line and values, in the order of `columns`.

    Raises:
        DataError: the file is empty, holds only its header, is not UTF-8, lacks a column, or has a
            row with another number of fields, unbalanced quotes or control characters.
    """
    lines = csv_records(file)
    header = next(lines, None)
    if header is None:
        raise DataError(file.path, rule="file must not be empty")
    places = _places(file.path, header[1], columns)
    width = len(header[1])
    empty = True
    for line, values in lines:
        empty = False
        if len(values) != width:
            raise DataError(
                file.path, rule=f"row must have {width} fields", line=line, value=len(values)
            )
        yield line, [values[place] for place in places]
    if empty:
        raise DataError(file.path, rule="must hold at least one row below its header")


def csv_records(file: CsvFile) -> Iterator[tuple[int, list[str]]]:
    """All fields of each record, header included, with the 1-based line it stands on."""
    for line, content in enumerate(io.StringIO(_decode(file), newline=""), start=1):
        # An unquoted field may hold quotes in pairs; an odd one out has lost its partner.
        if content.count('"') % 2:
            shown = content.rstrip("\r\n")[:_SHOWN]
            raise DataError(
                file.path, rule="quotes must be balanced in a row", line=line, value=shown
            )
        try:
            yield line, next(csv.reader([content], strict=True))
        except csv.Error as error:
            raise DataError(file.path, rule=f"row must be valid CSV ({error})", line=line) from None


def whole_number(file: CsvFile, line: int, name: str, text: str) -> int:
    """The value of a field that must be a whole number >= 0.

    Args:
        file: file it stands in.
        line: line it stands on.
        name: name of its column.
        text: the field.

    Raises:
        DataError: it is anything else, or has more than 18 digits.
    """
    if not _WHOLE.fullmatch(text) or int(text) < 0:
        raise DataError(
            file.path, rule=f"{name} must be a whole number >= 0", line=line, value=text[:_SHOWN]
        )
    return int(text)


def _places(path: Path, header: list[str], columns: Sequence[str]) -> list[int]:
    shown = ",".join(header)[:_SHOWN]
    for name in columns:
        if name not in header:
            raise DataError(path, rule=f"header must have the column {name!r}", line=1, value=shown)
    if len(set(header)) != len(header):
        raise DataError(path, rule="columns of the header must be distinct", line=1, value=shown)
    return [header.index(name) for name in columns]


def _decode(file: CsvFile) -> str:
    try:
        text = file.raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = file.raw.count(b"\n", 0, error.start) + 1
        broken = file.raw[error.start : error.end]
        raise DataError(file.path, rule="text must be UTF-8", line=line, value=broken) from None
    control = _CONTROL.search(text)
    if control is not None:
        line = text.count("\n", 0, control.start()) + 1
        raise DataError(
            file.path, rule="text must hold no control characters", line=line, value=control[0]
        )
    return text
