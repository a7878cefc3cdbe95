"""Write and read the Parquet log of one arm: a part per day, complete once it has its final name.

    RUN/decisions/ARM/part-00000.parquet    one row per decision
    RUN/rewards/ARM/part-00000.parquet      one row per reward event
    RUN/features/ARM/part-00000.parquet     full features of about 1 % of the decisions

The content hash covers every value of every row in the log's order (day, block, page, unit), and
nothing of the files: neither compression nor the batches in which rows came can change it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matinee_platform.log_schema import (
    DecisionRows,
    RewardRows,
    column_values,
    decision_table,
    feature_table,
    reward_table,
)
from matinee_policies.arrays import AnyArray, Float32Array, UInt64Array
from matinee_policies.errors import DataError

ROW_GROUP = 4_096
"""Rows held in memory before they are written."""

KINDS = ("decisions", "rewards", "features")
"""Folders of a run's log."""

_COMPRESSION: dict[str, Any] = {"compression": "zstd", "compression_level": 1}


class PartWriter:
    """Writes one part in row groups; the part gets its final name when it is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_suffix(".partial")
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._writer: pq.ParquetWriter | None = None
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, table: pa.Table) -> None:
        """Add rows."""
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left; a part without rows leaves no file."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._partial.replace(self._path)

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._partial,
                table.schema,
                use_dictionary=False,
                write_statistics=False,
                **_COMPRESSION,
            )
        self._writer.write_table(table, row_group_size=ROW_GROUP)
        self._waiting, self._rows = [], 0


class DayHash:
    """SHA-256 over one day: each column is hashed by itself, so batches do not show."""

    def __init__(self) -> None:
        self._columns: dict[str, Any] = {}

    def update(self, columns: dict[str, AnyArray]) -> None:
        """Add rows, given by column."""
        for name, values in columns.items():
            digest = self._columns.setdefault(
                name, hashlib.sha256(f"{name}:{values.dtype}".encode())
            )
            digest.update(np.ascontiguousarray(values).data)

    def chained(self, previous: str) -> str:
        """Digest of the days before, given as `previous`, and this one."""
        total = hashlib.sha256(previous.encode())
        for name in sorted(self._columns):
            total.update(name.encode() + self._columns[name].digest())
        return total.hexdigest()


class DecisionLog:
    """Appends to the log of one arm, day by day.

    Args:
        run: folder of the run.
        arm: name of the arm.

    Attributes:
        content_hash: digest of every row of the days closed so far.
        decisions: number of decisions logged.
    """

    def __init__(self, run: Path, arm: str) -> None:
        self._run = run
        self._arm = arm
        self._parts: dict[str, PartWriter] = {}
        self._day = DayHash()
        self.content_hash = ""
        self.decisions = 0

    def open_day(self, day: int) -> None:
        """Start the parts of `day`."""
        self._day = DayHash()
        self._parts = {
            kind: PartWriter(self._run / kind / self._arm / f"part-{day:05d}.parquet")
            for kind in KINDS
        }

    def append_decisions(self, rows: DecisionRows) -> None:
        """Log decisions."""
        self._day.update(_columns("decisions", rows))
        self._parts["decisions"].append(decision_table(rows))
        self.decisions += rows.decision_id.size

    def append_rewards(self, rows: RewardRows) -> None:
        """Log reward events."""
        if rows.decision_id.size:
            self._day.update(_columns("rewards", rows))
            self._parts["rewards"].append(reward_table(rows))

    def append_features(self, decision_ids: UInt64Array, features: Float32Array) -> None:
        """Log full features `[n, K, d]` of a sample of decisions."""
        if decision_ids.size:
            self._parts["features"].append(feature_table(decision_ids, features))

    def close_day(self) -> None:
        """Complete the parts of the day."""
        for part in self._parts.values():
            part.close()
        self._parts = {}
        self.content_hash = self._day.chained(self.content_hash)


def rehash(run: Path, arm: str, *, days: int) -> tuple[int, str]:
    """Decisions and content hash of one arm's log, computed anew from its parts.

    Args:
        run: folder of the run.
        arm: name of the arm.
        days: length of the run.

    Raises:
        DataError: if a part cannot be read.
    """
    digest, decisions = "", 0
    for day in range(days):
        today = DayHash()
        for kind in ("decisions", "rewards"):
            for table in read_parts(run, kind, arm, day=day):
                today.update({f"{kind}.{name}": v for name, v in column_values(table).items()})
                decisions += table.num_rows if kind == "decisions" else 0
        digest = today.chained(digest)
    return decisions, digest


def _columns(kind: str, rows: DecisionRows | RewardRows) -> dict[str, AnyArray]:
    return {f"{kind}.{field.name}": getattr(rows, field.name) for field in fields(rows)}


def read_parts(
    run: Path, kind: str, arm: str, columns: list[str] | None = None, *, day: int | None = None
) -> Iterator[pa.Table]:
    """Row groups of one arm's log, in the order in which they were written.

    Args:
        run: folder of the run.
        kind: `"decisions"`, `"rewards"`, `"features"`, or a folder of parts beside the log.
        arm: name of the arm.
        columns: columns to read, all if not given.
        day: the day to read, all if not given; a day on which nothing happened has no rows.

    Raises:
        DataError: if a part cannot be read.
    """
    name = "part-*.parquet" if day is None else f"part-{day:05d}.parquet"
    for path in sorted((run / kind / arm).glob(name)):
        try:
            with pq.ParquetFile(path) as part:
                for group in range(part.num_row_groups):
                    yield part.read_row_group(group, columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise DataError(path, rule=f"must be a complete Parquet part ({error})") from None
