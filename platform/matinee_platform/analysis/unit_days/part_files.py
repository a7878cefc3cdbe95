"""One file of a log, Arrow or Parquet, of which only what is asked for is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from matinee_platform.analysis.unit_days.list_pages import list_values
from matinee_platform.log_schema import matrix
from matinee_platform.part_writer import PART_SUFFIX
from matinee_policies.arrays import AnyArray, IndexArray
from matinee_policies.errors import DataError

PARQUET_SUFFIX = ".parquet"
SUFFIXES = (PART_SUFFIX, PARQUET_SUFFIX)


class PartFile(Protocol):
    """A file that is open.

    Attributes:
        schema: of the Arrow tables that are read.
        rows: how many it has.
    """

    schema: pa.Schema
    rows: int

    def read(self, columns: list[str]) -> pa.Table:
        """Some columns, whole."""

    def range_of(self, column: str) -> tuple[Any, Any] | None:
        """Least and largest value of a column as the file's own statistics tell, if they do."""

    def lists(self, column: str, rows: IndexArray) -> AnyArray:
        """A column of lists of one length, in some rising rows, `[k, length]`."""


@contextmanager
def opened(path: Path) -> Iterator[PartFile]:
    """Open a file.

    Raises:
        DataError: if it is damaged, or something is missing in it.
    """
    try:
        if path.suffix == PARQUET_SUFFIX:
            with pq.ParquetFile(path) as file:
                yield _Parquet(file, path)
        else:
            with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as part:
                yield _Arrow(part)
    except (pa.ArrowException, OSError, KeyError, ValueError, AttributeError) as error:
        raise DataError(path, rule=f"must be a complete part of a log ({error})") from None


class _Parquet:
    """A Parquet file; row groups that are not asked for are left alone."""

    def __init__(self, file: pq.ParquetFile, path: Path) -> None:
        self._file, self._path = file, path
        self.schema = file.schema_arrow
        self.rows = int(file.metadata.num_rows)

    def read(self, columns: list[str]) -> pa.Table:
        return self._file.read(columns=self._there(columns), use_threads=False)

    def range_of(self, column: str) -> tuple[Any, Any] | None:
        metadata = self._file.metadata
        if not metadata.num_row_groups:
            return None
        place = self._leaf(column)
        low = high = None
        for group in range(metadata.num_row_groups):
            statistics = metadata.row_group(group).column(place).statistics
            if statistics is None or not statistics.has_min_max or statistics.null_count:
                return None
            least, most = statistics.min, statistics.max
            low = least if low is None else min(low, least)
            high = most if high is None else max(high, most)
        return low, high

    def lists(self, column: str, rows: IndexArray) -> AnyArray:
        found, first = [], 0
        with self._path.open("rb") as source:
            for group in range(self._file.metadata.num_row_groups):
                last = first + self._file.metadata.row_group(group).num_rows
                low, high = np.searchsorted(rows, [first, last])
                if low < high:
                    values = self._lists_of(column, group, source)
                    found.append(values[rows[low:high] - first])
                first = last
        return np.concatenate(found)

    def _lists_of(self, column: str, group: int, source: BinaryIO) -> AnyArray:
        values = list_values(
            source,
            self._file.metadata,
            group=group,
            column=self._leaf(column),
            width=self.schema.field(column).type.list_size,
        )
        if values is not None:
            return values
        table = self._file.read_row_group(group, columns=[column], use_threads=False)
        return matrix(table.column(column))

    def _leaf(self, column: str) -> int:
        """Place of the values of a column; a list has them below it, as `slate.list.element`."""
        schema = self._file.metadata.schema
        (place,) = (
            place
            for place in range(self._file.metadata.num_columns)
            if schema.column(place).path.split(".")[0] == column
        )
        return place

    def _there(self, columns: list[str]) -> list[str]:
        for name in columns:
            if name not in self.schema.names:
                raise KeyError(f"column {name} is missing")
        return columns


class _Arrow:
    """An Arrow file, mapped rather than read."""

    def __init__(self, part: pa.RecordBatchFileReader) -> None:
        self._part = part
        self.schema = part.schema
        self._batches = [part.get_batch(place) for place in range(part.num_record_batches)]
        self.rows = sum(batch.num_rows for batch in self._batches)

    def read(self, columns: list[str]) -> pa.Table:
        schema = pa.schema([self.schema.field(name) for name in columns])
        table = pa.Table.from_batches(
            [batch.select(columns) for batch in self._batches], schema=schema
        )
        # What a damaged file says of itself is checked before anything trusts it.
        table.validate(full=True)
        return table

    def range_of(self, column: str) -> tuple[Any, Any] | None:
        del column
        return None

    def lists(self, column: str, rows: IndexArray) -> AnyArray:
        found, first = [], 0
        for batch in self._batches:
            last = first + batch.num_rows
            low, high = np.searchsorted(rows, [first, last])
            found.append(matrix(batch.column(column))[rows[low:high] - first])
            first = last
        return np.concatenate(found)
