"""Write and read the log of one arm: an Arrow file per day, complete once it has its final name.

    RUN/decisions/ARM/part-00000.arrow    one row per decision
    RUN/rewards/ARM/part-00000.arrow      one row per reward event
    RUN/features/ARM/part-00000.arrow     full features of about 1 % of the decisions

The content hash covers every value of every row in the log's order (day, block, page, unit), and
nothing of the files: neither compression nor the batches in which rows came can change it.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from matinee_platform.log_rows import DecisionRows, RewardRows
from matinee_platform.log_schema import column_values, decision_table, feature_table, reward_table
from matinee_platform.part_writer import PART_SUFFIX, Columns, PartWriter, part_path
from matinee_policies.arrays import Float32Array, UInt64Array
from matinee_policies.errors import DataError

KINDS = ("decisions", "rewards", "features")
"""Folders of a run's log."""

HASHED = ("decisions", "rewards")
"""What the content hash covers."""


class DayHash:
    """SHA-256 over one day: each column is hashed by itself, so batches do not show."""

    def __init__(self) -> None:
        self._columns: dict[str, Any] = {}

    def update(self, kind: str, columns: Columns) -> None:
        """Add rows of a kind, given by column."""
        for column, values in columns.items():
            name = f"{kind}.{column}"
            digest = self._columns.get(name)
            if digest is None:
                digest = hashlib.sha256(f"{name}:{values.dtype}".encode())
                self._columns[name] = digest
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
        self._parts = {kind: self._part(kind, day) for kind in KINDS}

    def append_decisions(self, rows: DecisionRows) -> None:
        """Log decisions."""
        self._parts["decisions"].append(_columns(rows))
        self.decisions += rows.decision_id.size

    def append_rewards(self, rows: RewardRows) -> None:
        """Log reward events."""
        if rows.decision_id.size:
            self._parts["rewards"].append(_columns(rows))

    def append_features(self, decision_ids: UInt64Array, features: Float32Array) -> None:
        """Log full features `[n, K, d]` of a sample of decisions."""
        if decision_ids.size:
            self._parts["features"].append({"decision_id": decision_ids, "features": features})

    def close_day(self) -> None:
        """Complete the parts of the day."""
        for part in self._parts.values():
            part.close()
        self._parts = {}
        self.content_hash = self._day.chained(self.content_hash)

    def _part(self, kind: str, day: int) -> PartWriter:
        return PartWriter(
            part_path(self._run, kind, self._arm, day),
            table=_TABLES[kind],
            watch=partial(self._day.update, kind) if kind in HASHED else None,
        )


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
        for kind in HASHED:
            for table in read_parts(run, kind, arm, day=day):
                today.update(kind, column_values(table))
                decisions += table.num_rows if kind == "decisions" else 0
        digest = today.chained(digest)
    return decisions, digest


def _columns(rows: DecisionRows | RewardRows) -> Columns:
    return {field.name: getattr(rows, field.name) for field in fields(rows)}


_TABLES: Mapping[str, Callable[[Columns], pa.Table]] = {
    "decisions": lambda columns: decision_table(DecisionRows(**columns)),
    "rewards": lambda columns: reward_table(RewardRows(**columns)),
    "features": lambda columns: feature_table(columns["decision_id"], columns["features"]),
}


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
    folder = run / kind / arm
    if day is None:
        paths = sorted(folder.glob(f"part-*{PART_SUFFIX}"))
    else:
        path = part_path(run, kind, arm, day)
        paths = [path] if path.exists() else []
    for path in paths:
        yield from read_part(path, columns)


def read_part(path: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Row groups of one part, mapped rather than read.

    Args:
        path: of the part.
        columns: columns to read, all if not given.

    Raises:
        DataError: if the part is damaged.
    """
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as part:
            for group in range(part.num_record_batches):
                table = pa.Table.from_batches([part.get_batch(group)])
                table = table if columns is None else table.select(columns)
                # What a damaged file says of itself is checked before anything trusts it.
                table.validate(full=True)
                yield table
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(path, rule=f"must be a complete Arrow file ({error})") from None
