"""Read columns of the parts of a log, Arrow files of a run or Parquet files of its export.

    FOLDER/decisions/ARM/part-00000.arrow | .parquet
    FOLDER/rewards/ARM/part-00000.arrow | .parquet

Only the columns that count are read, and of those not the ones that a Parquet file's statistics
tell: slates without an empty slot, a day that is one for all rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from matinee_platform.analysis.unit_days.fold_kernels import DecisionColumns, RewardColumns
from matinee_platform.analysis.unit_days.part_files import SUFFIXES, opened
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.log_schema import matrix
from matinee_policies.arrays import AnyArray, Float32Array, IndexArray, Int8Array, UInt64Array
from matinee_policies.errors import DataError
from matinee_policies.records import PAD

MAX_SLOTS = 100
"""Most slots that a slate can have."""

_PLAIN = ("decision_id", "unit", "bucket", "decided_at", "served_by")


@dataclass(frozen=True, slots=True)
class Part:
    """The rows that one arm wrote on one day.

    Attributes:
        arm: name.
        decisions: file of decisions; None if rewards came and no decision was taken.
        rewards: file of rewards; None without any.
    """

    arm: str
    decisions: Path | None
    rewards: Path | None


def list_parts(folder: Path) -> list[Part]:
    """Parts of a log in the order of their names, then of arms.

    Raises:
        DataError: if there is no log.
    """
    if not (folder / "decisions").is_dir():
        raise DataError(folder, rule="must hold the log of a run, a folder 'decisions'")
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for kind in ("decisions", "rewards"):
        for path in sorted((folder / kind).glob("*/part-*")):
            if path.suffix in SUFFIXES:
                files = found.setdefault((path.stem, path.parent.name), {})
                if kind in files:
                    raise DataError(path, rule=f"must be there once, not also as {files[kind]}")
                files[kind] = path
    if not any("decisions" in files for files in found.values()):
        raise DataError(folder, rule="must hold decisions, and holds none")
    return [
        Part(arm, files.get("decisions"), files.get("rewards"))
        for (_, arm), files in sorted(found.items())
    ]


def count_decisions(part: Part) -> int:
    """Decisions of a part, from what its file says of itself."""
    if part.decisions is None:
        return 0
    with opened(part.decisions) as file:
        return file.rows


def read_decisions(path: Path | None) -> tuple[DecisionColumns, int]:
    """Columns of decisions, and the slots of a slate; none if there is no file."""
    if path is None:
        kinds = (np.uint64, np.uint64, np.int16, np.int16, np.int64, np.bool_, np.int32)
        none: list[Any] = [np.zeros(0, dtype=kind) for kind in kinds]
        return DecisionColumns(*none), MAX_SLOTS
    with opened(path) as file:
        slots = int(file.schema.field("slate").type.list_size)
        items, days = file.range_of("slate"), file.range_of("day")
        full = items is not None and items[0] > PAD
        one_day = days is not None and days[0] == days[1]
        names = [*_PLAIN, *([] if one_day else ["day"]), *([] if full else ["slate"])]
        table = file.read(names)
        n = table.num_rows
        columns = DecisionColumns(
            decision_id=_numbers(table, "decision_id", np.uint64),
            unit=_numbers(table, "unit", np.uint64),
            bucket=_numbers(table, "bucket", np.int16),
            day=np.full(n, days[0], dtype=np.int16)
            if days is not None and one_day
            else _numbers(table, "day", np.int16),
            at=_numbers(table, "decided_at", np.int64),
            fallback=_codes(table.column("served_by"), ("fallback",)) == 0,
            shown=np.full(n, slots, dtype=np.int32) if full else _shown(table.column("slate")),
        )
    return columns, slots


def read_ids(path: Path) -> UInt64Array:
    """Ids of the decisions of a file, `uint64 [n]`."""
    with opened(path) as file:
        return _numbers(file.read(["decision_id"]), "decision_id", np.uint64)


def read_rewards(path: Path | None) -> RewardColumns:
    """Columns of rewards; none if there is no file."""
    if path is None:
        kinds = (np.uint64, np.int8, np.int16, np.float32)
        none: list[Any] = [np.zeros(0, dtype=kind) for kind in kinds]
        return RewardColumns(*none)
    with opened(path) as file:
        table = file.read(["decision_id", "component", "slot", "value"])
        return RewardColumns(
            decision_id=_numbers(table, "decision_id", np.uint64),
            component=_codes(table.column("component"), COMPONENTS),
            slot=_numbers(table, "slot", np.int16),
            value=_numbers(table, "value", np.float32),
        )


def read_states(path: Path, rows: IndexArray) -> Float32Array:
    """Unit states of some rows of a file, rising, `float32 [k, S]`."""
    with opened(path) as file:
        return file.lists("unit_state", rows)


def _shown(column: pa.ChunkedArray) -> IndexArray:
    """Slots that are not empty, by decision, `int32 [n]`."""
    pieces = [(matrix(chunk) != PAD).sum(axis=1, dtype=np.int32) for chunk in column.chunks]
    return np.concatenate([np.zeros(0, dtype=np.int32), *pieces])


def _numbers(table: pa.Table, name: str, kind: type) -> AnyArray:
    column = table.column(name)
    if column.null_count:
        raise ValueError(f"{name} must have a value in every row, {column.null_count} have none")
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())
    values: AnyArray = column.to_numpy()
    return np.ascontiguousarray(values).astype(kind, casting="same_kind", copy=False)


def _codes(column: pa.ChunkedArray, words: Sequence[str]) -> Int8Array:
    """Place of each word among `words`, -1 for others, `int8 [n]`."""
    pieces = [np.zeros(0, dtype=np.int8)]
    for chunk in column.chunks:
        coded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        own = coded.dictionary.to_pylist()
        # One more at the end, for an index of -1: a null is no word either.
        places = [words.index(word) if word in words else -1 for word in own]
        lookup = np.array([*places, -1], dtype=np.int8)
        indices = coded.indices.fill_null(-1) if coded.null_count else coded.indices
        pieces.append(lookup[indices.to_numpy(zero_copy_only=False)])
    return np.concatenate(pieces)
