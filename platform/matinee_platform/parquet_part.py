"""Write one part of a log as a Parquet file, in row groups that are read fast.

A row group costs a reader some time whatever it holds: at the size in which a run writes its log,
as much as its rows. Numbers that hardly repeat get no dictionary, which would be decoded in vain.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 65_536
"""Rows that are held in memory before they are written: 80 MB of decisions among 100 candidates."""

COMPRESSION = "zstd"

_IDS = ("decision_id", "unit")


class ParquetPart:
    """A file; it gets its name when it is complete, and is not there if nothing was written.

    Args:
        path: to write.

    Attributes:
        rows: written so far.

    Example:
        >>> with ParquetPart(Path("part-00000.parquet")) as part:  # doctest: +SKIP
        ...     part.write(table)
    """

    def __init__(self, path: Path) -> None:
        self.rows = 0
        self._path = path
        self._partial = path.with_suffix(".partial")
        self._waiting: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()
            if kind is None:
                self._partial.replace(self._path)

    def write(self, table: pa.Table) -> int:
        """Add rows, always of the same columns; how many they were."""
        self._waiting.append(table)
        self.rows += table.num_rows
        if sum(one.num_rows for one in self._waiting) >= ROW_GROUP:
            self._flush()
        return int(table.num_rows)

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        self._waiting = []
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._partial,
                table.schema,
                compression=COMPRESSION,
                use_dictionary=_with_dictionary(table.schema),
            )
        self._writer.write_table(table, row_group_size=ROW_GROUP)


def _with_dictionary(schema: pa.Schema) -> list[str]:
    """Leaves whose values repeat."""
    leaves = []
    for field in schema:
        is_list = pa.types.is_fixed_size_list(field.type) or pa.types.is_list(field.type)
        kind = field.type.value_type if is_list else field.type
        if field.name not in _IDS and not pa.types.is_floating(kind):
            leaves.append(f"{field.name}.list.element" if is_list else field.name)
    return leaves
