"""Logs of actions as Parquet files of named columns, for other tools and for keeping.

    unit, time, action, reward, propensity, position, context NAME, offered, target, unreachable

as far as the log has them; with several slots `action_1`, `action_2` and so on, null where a slot
is empty. What columns cannot say (items never shown, where the probabilities came from, notes)
stands as JSON in the file's metadata, so that `parquet_log` reads back what was written, to the
last bit. Features of items are not kept.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_platform.ope.inputs.log_columns import LogColumns
from matinee_platform.ope.inputs.table import table_log
from matinee_platform.parquet_part import ParquetPart
from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ConfigError, DataError
from matinee_policies.records import PAD

KEY = b"matinee.action_log"
"""Of the JSON in the metadata of a file."""

_BY_SLOT = {"reward": "rewards", "propensity": "logged", "target": "target"}
_FORM = 1


def write_parquet(path: Path, log: ActionLog) -> None:
    """Write a log as one file, part by part.

    Raises:
        ConfigError: if the file is there, or is not named `.parquet`.
    """
    if path.suffix != ".parquet" or path.exists():
        raise ConfigError(f"the file must end in .parquet and not be there yet, got {path}")
    columns, schema = None, None
    with ParquetPart(path) as part:
        for batch in log.stream():
            if columns is None:
                columns = _columns(log, batch)
                schema = {KEY: json.dumps(_described(log, columns)).encode()}
            part.write(_table(log, batch, columns).replace_schema_metadata(schema))


def is_exported(path: Path) -> bool:
    """Whether a file was written by `write_parquet`."""
    return path.is_file() and path.suffix == ".parquet" and _description(path) is not None


def parquet_log(path: Path | str) -> ActionLog:
    """Open a file that `write_parquet` wrote.

    Raises:
        DataError: if it is another file, or naming what is wrong in it.
    """
    path = Path(path)
    said = _description(path)
    if said is None or said.get("form") != _FORM:
        raise DataError(path, rule=f"must be an exported log of actions, form {_FORM}")
    columns = LogColumns(**{use: tuple(names) for use, names in said["columns"].items()})
    log = table_log(
        path,
        columns,
        items=said["items"],
        positions=said["positions"] if columns.position else None,
        distinct=said["distinct"],
    )
    return replace(
        log,
        positions=said["positions"],
        contexts=tuple(said["contexts"]),
        propensities=said["propensities"],
        notes=tuple(said["notes"]),
    )


def _description(path: Path) -> dict[str, Any] | None:
    try:
        metadata = parquet.read_schema(path).metadata or {}
        said = json.loads(metadata[KEY]) if KEY in metadata else None
    except (pa.ArrowException, OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def _columns(log: ActionLog, batch: ActionBatch) -> LogColumns:
    def by_slot(name: str) -> tuple[str, ...]:
        if log.slots == 1:
            return (name,)
        return tuple(f"{name}_{slot + 1}" for slot in range(log.slots))

    given = batch.arrays()
    return LogColumns(
        action=by_slot("action"),
        reward=by_slot("reward"),
        propensity=by_slot("propensity"),
        position=("position",) if log.slots == 1 else (),
        unit=("unit",) if log.has_units else (),
        time=("time",) if log.has_times else (),
        context=tuple(f"context {name}" for name in log.contexts),
        offered=("offered",) if "offered" in given else (),
        target=by_slot("target") if "target" in given else (),
        unreachable=by_slot("unreachable") if "unreachable" in given else (),
    )


def _described(log: ActionLog, columns: LogColumns) -> dict[str, Any]:
    return {
        "form": _FORM,
        "columns": asdict(columns),
        "items": log.items,
        "positions": log.positions,
        "distinct": log.distinct,
        "contexts": log.contexts,
        "propensities": log.propensities,
        "notes": log.notes,
    }


def _table(log: ActionLog, batch: ActionBatch, columns: LogColumns) -> pa.Table:
    names = pa.array(log.items, pa.string())
    data: dict[str, Any] = {}
    if columns.unit:
        data["unit"] = batch.unit
    if columns.time:
        data["time"] = pa.array(batch.time).cast(pa.timestamp("ms", tz="UTC"))
    data |= {
        name: _items(batch.actions[:, slot], names) for slot, name in enumerate(columns.action)
    }
    for use, field in (*_BY_SLOT.items(), ("unreachable", "unreachable")):
        values = getattr(batch, field)
        data |= {name: values[:, slot] for slot, name in enumerate(getattr(columns, use))}
    if columns.position:
        data["position"] = batch.positions[:, 0] + 1
    if batch.context is not None:
        data |= {name: batch.context[:, k] for k, name in enumerate(columns.context)}
    if batch.offered is not None:
        data["offered"] = _lists(batch.offered, names)
    return pa.table(data)


def _items(numbers: AnyArray, names: pa.Array) -> pa.Array:
    indices = pa.array(numbers.astype(np.int32), mask=numbers == PAD)
    return names.take(indices)


def _lists(offered: AnyArray, names: pa.Array) -> pa.ListArray:
    given = offered != PAD
    ends = np.concatenate([[0], np.cumsum(given.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), _items(offered[given], names))
