"""Named columns of a table's files in parts of bounded size, for tables that need not fit memory.

The files and their rules are those of `table_file.py`; what the columns mean belongs to
`table_columns.py`, whose functions take these parts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from matinee_policies.datasets.table_file import (
    TableFile,
    check_lines,
    csv_blame,
    csv_options,
)
from matinee_policies.errors import DataError


def stream_columns(
    file: TableFile, types: Mapping[str, pa.DataType | None], *, rows: int
) -> Iterator[tuple[TableFile, dict[str, pa.ChunkedArray]]]:
    """Columns of one file, part by part in order.

    Args:
        file: the file.
        types: as of `read_columns`.
        rows: of a part at most, at least 1.

    Yields:
        The file, such that its errors name rows of this part, and the columns.

    Raises:
        DataError: as `read_columns`, when its turn comes; also if there is no row.
    """
    is_csv = file.delimiter is not None
    batches = _csv_batches(file, types) if is_csv else _parquet_batches(file, types, rows=rows)
    first = 0
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            part = batch.slice(start, rows)
            columns = {name: pa.chunked_array([part.column(name)]) for name in types}
            yield replace(file, first=first), columns
            first += part.num_rows
    if not first:
        raise DataError(file.path, rule="must hold at least one row")


def _csv_batches(
    file: TableFile, types: Mapping[str, pa.DataType | None]
) -> Iterator[pa.RecordBatch]:
    given = {name: kind or pa.string() for name, kind in types.items()}
    rows = 0
    try:
        with arrow_csv.open_csv(file.path, **csv_options(file, given)) as reader:
            for batch in reader:
                rows += batch.num_rows
                yield batch
        check_lines(file, rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise csv_blame(file, types, str(error)) from None


def _parquet_batches(
    file: TableFile, types: Mapping[str, pa.DataType | None], *, rows: int
) -> Iterator[pa.RecordBatch]:
    try:
        with parquet.ParquetFile(file.path) as opened:
            yield from opened.iter_batches(batch_size=rows, columns=list(types))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:120]
        raise DataError(file.path, rule=f"must be an undamaged Parquet file ({reason})") from None
