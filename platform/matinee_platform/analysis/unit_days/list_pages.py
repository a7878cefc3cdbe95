"""Read floats of a Parquet list column whose lists have one length, straight from its pages.

A reader of lists takes most of its time to find out from levels where each list begins, which a
fixed length tells. Here a page is decompressed, its levels are looked at run by run, and its values
are taken as they lie. What has another shape (another encoding, nulls, other lengths) is left to
a reader that knows all shapes.

Format: apache/parquet-format, `parquet.thrift` and `Encodings.md`; headers are in Thrift's compact
protocol.
"""

from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matinee_platform.analysis.unit_days.level_runs import UInt8Array, begins_every
from matinee_policies.arrays import Float32Array

_CODECS = {"UNCOMPRESSED": "", "ZSTD": "zstd", "SNAPPY": "snappy", "GZIP": "gzip"}
_HEADER = (1, 2, 3, 5)
"""Fields of a `PageHeader`: type, size, compressed size, header of a data page."""
_DATA_HEADER = (1, 2, 3, 4)
"""Fields of a `DataPageHeader`: values, their encoding, those of definition, repetition levels."""
_DATA_PAGE, _PLAIN, _RLE = 0, 0, 3
_LENGTH = 4
"""Bytes of the length before coded levels."""
_BOOLEANS, _NUMBERS, _BYTES, _STRUCTURE = (1, 2), (4, 5, 6), 8, 12
"""Kinds of fields in the compact protocol."""
_DEEPEST = 3


def list_values(
    file: BinaryIO, metadata: pq.FileMetaData, *, group: int, column: int, width: int
) -> Float32Array | None:
    """Values of a column of a row group, or None if its pages have another shape.

    Args:
        file: open for reading; moved.
        metadata: of the file.
        group: which row group.
        column: place of the leaf among columns.
        width: length of each list.

    Returns:
        `float32 [rows, width]`.
    """
    chunk, kind = metadata.row_group(group).column(column), metadata.schema.column(column)
    plain = (
        kind.physical_type == "FLOAT"
        and kind.max_repetition_level == 1
        and kind.max_definition_level > 0
        and not chunk.has_dictionary_page
        and chunk.compression in _CODECS
    )
    if not plain or not width:
        return None
    file.seek(chunk.data_page_offset)
    data = file.read(chunk.total_compressed_size)
    values = np.empty(metadata.row_group(group).num_rows * width, dtype=np.float32)
    try:
        whole = _fill(values, data, codec=_CODECS[chunk.compression], width=width)
    except (IndexError, ValueError, OSError):
        # A damaged page; who reads it instead will say so.
        return None
    return values.reshape(-1, width) if whole else None


def _fill(values: Float32Array, data: bytes, *, codec: str, width: int) -> bool:
    """Fill in the values of all pages; whether they were of the plain shape and just enough."""
    at = begin = 0
    while begin < len(data):
        page, count, begin = _page(data, begin, codec=codec, most=4 * values.nbytes + 2**20)
        first = _LENGTH + _length(page, 0)
        second = first + _LENGTH + _length(page, first)
        numbers = page[second:]
        # A null or an empty list has levels and no value.
        if numbers.size != values.itemsize * count or at + count > values.size:
            return False
        if not begins_every(page[_LENGTH:first], count, at % width, width):
            return False
        values[at : at + count] = numbers.view(np.float32)
        at += count
    return at == values.size


def _page(data: bytes, begin: int, *, codec: str, most: int) -> tuple[UInt8Array, int, int]:
    """A plain data page without its compression, its values, and where the next one begins."""
    header, start = _fields(data, begin)
    kind, size, packed, values = (header.get(one) for one in _HEADER)
    if kind != _DATA_PAGE or not isinstance(values, dict):
        raise ValueError(f"a page must be a data page, got one of kind {kind}")
    count, *encodings = (values.get(one) for one in _DATA_HEADER)
    if encodings != [_PLAIN, _RLE, _RLE]:
        raise ValueError(f"values must be plain and levels in runs, got encodings {encodings}")
    if not (isinstance(size, int) and isinstance(packed, int) and isinstance(count, int)):
        raise ValueError("a page must tell its sizes")
    if not 0 < packed <= len(data) - start or not 0 < size <= most:
        raise ValueError(f"a page must lie in its column, got {packed} bytes of {len(data)}")
    page: Any = memoryview(data)[start : start + packed]
    if codec:
        page = pa.decompress(page, size, codec=codec)
    return np.frombuffer(page, dtype=np.uint8), count, start + packed


def _length(page: UInt8Array, at: int) -> int:
    """Of coded levels, as told before them."""
    return int.from_bytes(page[at : at + _LENGTH].tobytes(), "little")


def _fields(data: bytes, at: int, *, depth: int = 0) -> tuple[dict[int, Any], int]:
    """Fields of a structure by number, those of structures in it likewise, and where it ends."""
    fields: dict[int, Any] = {}
    number = 0
    while data[at]:
        step, kind = data[at] >> 4, data[at] & 15
        at += 1
        if step:
            number += step
        else:
            number, at = _signed(data, at)
        fields[number], at = _value(data, at, kind, depth=depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, *, depth: int) -> tuple[Any, int]:
    """A value of one of the kinds that page headers have."""
    if kind in _BOOLEANS:
        return kind == _BOOLEANS[0], at
    if kind in _NUMBERS:
        return _signed(data, at)
    if kind == _BYTES:
        size, at = _unsigned(data, at)
        return bytes(data[at : at + size]), at + size
    if kind == _STRUCTURE and depth < _DEEPEST:
        return _fields(data, at, depth=depth + 1)
    raise ValueError(f"a page header must not hold a field of kind {kind} at depth {depth}")


def _signed(data: bytes, at: int) -> tuple[int, int]:
    number, at = _unsigned(data, at)
    return (number >> 1) ^ -(number & 1), at


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first."""
    number = 0
    for shift in range(0, 70, 7):
        byte = data[at + shift // 7]
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at + shift // 7 + 1
    raise ValueError("a number of a page header must have at most ten bytes")
