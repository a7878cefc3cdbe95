"""Write one part of a log, an Arrow file, row group by row group, from columns of numpy.

    RUN/KIND/ARM/part-00000.arrow    one day of one arm

Rows are handed over in batches of any size; each row group is put together, hashed and written
once, so that small batches cost little. Row groups depend on the batches, rows do not. Values are
written as they lie in memory: Parquet takes ten times as long for rows that are mostly lists
(docs/offline_speed.md), and `matinee export` makes it of a finished run.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from matinee_policies.arrays import AnyArray

Columns: TypeAlias = Mapping[str, AnyArray]

ROW_GROUP = 4_096
"""Rows that are held in memory before they are written."""

PART_SUFFIX = ".arrow"
"""Of the files of a log; a part that is not complete has another."""


def part_path(run: Path, kind: str, arm: str, day: int) -> Path:
    """Where the rows of a kind are that one arm wrote on one day."""
    return run / kind / arm / f"part-{day:05d}{PART_SUFFIX}"


class PartWriter:
    """Writes one part; it gets its final name when it is closed.

    Args:
        path: of the part.
        table: makes an Arrow table of columns.
        watch: told of the columns of every row group, in turn.
    """

    def __init__(
        self,
        path: Path,
        *,
        table: Callable[[Columns], pa.Table] | None = None,
        watch: Callable[[Columns], None] | None = None,
    ) -> None:
        self._path = path
        self._partial = path.with_suffix(".partial")
        self._table = table or (lambda columns: pa.table(dict(columns)))
        self._watch = watch
        self._waiting: list[Columns] = []
        self._rows = 0
        self._writer: pa.RecordBatchFileWriter | None = None
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, columns: Columns) -> None:
        """Add rows, given by column.

        Args:
            columns: arrays of equal length, which must not change any more; always the same names.
        """
        self._waiting.append(columns)
        self._rows += len(next(iter(columns.values())))
        if self._rows >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left; a part without rows leaves no file."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._partial.replace(self._path)

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = _joined(self._waiting)
        self._waiting, self._rows = [], 0
        if self._watch is not None:
            self._watch(columns)
        table = self._table(columns)
        if self._writer is None:
            self._writer = pa.ipc.new_file(self._partial, table.schema)
        self._writer.write_table(table)


def _joined(parts: list[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
