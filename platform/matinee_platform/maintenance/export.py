"""The event log as Parquet files, written while the service runs.

    decisions.parquet   a row per decision, columns as in `records.DecisionRecord` and `seq`
    rewards.parquet     a row per reward event
    items.parquet       ids of items that callers named
    export.json         from where to where

Reading goes up to one place of the log and no further: what is exported is complete and never
changes but by forgetting and retention. Raw ids of units are not in the log, hence not here.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matinee_platform.json_file import write_json
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.storage.ports import EventReader
from matinee_platform.storage.records import LoggedDecision, LoggedReward, ServedBy
from matinee_policies.errors import ConfigError

_PAGE_ROWS = 5_000
_TIME = pa.timestamp("ms", tz="UTC")
_SERVED_BY = [one.name.lower() for one in ServedBy]

_DECISIONS = pa.schema(
    [
        ("seq", pa.int64()),
        ("decision_id", pa.uint64()),
        ("experiment", pa.string()),
        ("arm", pa.string()),
        ("unit", pa.uint64()),
        ("bucket", pa.int16()),
        ("decided_at", _TIME),
        ("page", pa.int32()),
        ("snapshot", pa.int32()),
        ("feature_version", pa.int32()),
        ("catalogue_version", pa.uint64()),
        ("served_by", pa.string()),
        ("last_watched", pa.int32()),
        ("unit_state", pa.list_(pa.float32())),
        ("candidates", pa.list_(pa.int32())),
        ("scores", pa.list_(pa.float32())),
        ("slate", pa.list_(pa.int32())),
        ("propensities", pa.list_(pa.float64())),
        ("features", pa.list_(pa.float32())),
        ("base", pa.int32()),
        ("base_propensity", pa.float64()),
    ]
)
_REWARDS = pa.schema(
    [
        ("seq", pa.int64()),
        ("decision_id", pa.uint64()),
        ("component", pa.string()),
        ("slot", pa.int16()),
        ("value", pa.float64()),
        ("received_at", _TIME),
        ("occurred_at", _TIME),
    ]
)
_ITEMS = pa.schema([("item_row", pa.int32()), ("item_id", pa.string())])
_ARRAYS = {
    "unit_state": "<f4",
    "candidates": "<i4",
    "scores": "<f4",
    "slate": "<i4",
    "propensities": "<f8",
    "features": "<f4",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFacts:
    """What an export holds: rows with `after < seq <= upto`."""

    after: int
    upto: int
    decisions: int
    rewards: int
    items: int


def export_log(reader: EventReader, target: Path, *, after: int = 0) -> ExportFacts:
    """Write the log up to now.

    Args:
        reader: of the log.
        target: new folder; it appears whole or not at all.
        after: place up to which an earlier export went.

    Raises:
        ConfigError: the target is there.
        LogUnavailableError: the database is away.
    """
    if target.exists():
        raise ConfigError(f"folder of an export must be new, got {target}")
    upto = reader.last_seq()
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        named: set[int] = set()
        decisions = rewards = 0
        with ExitStack() as open_files:
            file = open_files.enter_context(_writer(partial / "decisions.parquet", _DECISIONS))
            for page in _decision_pages(reader, after=after, upto=upto):
                file.write_table(_decision_table(page))
                decisions += len(page)
                named |= _named_items(page)
            file = open_files.enter_context(_writer(partial / "rewards.parquet", _REWARDS))
            for events in _reward_pages(reader, after=after, upto=upto):
                file.write_table(_reward_table(events))
                rewards += len(events)
            file = open_files.enter_context(_writer(partial / "items.parquet", _ITEMS))
            rows = sorted(named)
            for at in range(0, len(rows), _PAGE_ROWS):
                some = rows[at : at + _PAGE_ROWS]
                columns = {"item_row": some, "item_id": reader.items(some)}
                file.write_table(pa.table(columns, schema=_ITEMS))
        facts = ExportFacts(
            after=after, upto=upto, decisions=decisions, rewards=rewards, items=len(named)
        )
        write_json(partial / "export.json", asdict(facts))
        partial.replace(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return facts


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd")


def _decision_pages(
    reader: EventReader, *, after: int, upto: int
) -> Iterator[Sequence[LoggedDecision]]:
    while page := reader.decisions(after=after, upto=upto, limit=_PAGE_ROWS):
        yield page
        after = page[-1].seq


def _reward_pages(
    reader: EventReader, *, after: int, upto: int
) -> Iterator[Sequence[LoggedReward]]:
    while page := reader.rewards(after=after, upto=upto, limit=_PAGE_ROWS):
        yield page
        after = page[-1].seq


def _decision_table(page: Sequence[LoggedDecision]) -> pa.Table:
    columns = {}
    for field in _DECISIONS:
        name = field.name
        if name == "seq":
            columns[name] = pa.array([one.seq for one in page], field.type)
        elif name == "served_by":
            columns[name] = pa.array([_SERVED_BY[one.record.served_by] for one in page])
        elif name in _ARRAYS:
            blocks = [getattr(one.record, name) for one in page]
            columns[name] = _lists(blocks, _ARRAYS[name], field.type)
        else:
            columns[name] = pa.array([getattr(one.record, name) for one in page], field.type)
    return pa.table(columns, schema=_DECISIONS)


def _reward_table(page: Sequence[LoggedReward]) -> pa.Table:
    columns = {
        field.name: pa.array([getattr(one.record, field.name) for one in page], field.type)
        for field in _REWARDS
        if field.name not in ("seq", "component")
    }
    columns["seq"] = pa.array([one.seq for one in page], pa.int64())
    columns["component"] = pa.array([COMPONENTS[one.record.component] for one in page])
    return pa.table({field.name: columns[field.name] for field in _REWARDS}, schema=_REWARDS)


def _lists(blocks: Sequence[bytes | None], dtype: str, kind: pa.DataType) -> pa.Array:
    """Arrays of any length, none where there is none, from their bytes laid end to end."""
    size = np.dtype(dtype).itemsize
    ends = np.cumsum([0, *(len(block or b"") // size for block in blocks)], dtype=np.int32)
    values = np.frombuffer(b"".join(block or b"" for block in blocks), dtype=dtype)
    missing = np.array([block is None for block in blocks])
    return pa.ListArray.from_arrays(
        pa.array(ends), pa.array(values), type=kind, mask=pa.array(missing)
    )


def _named_items(page: Sequence[LoggedDecision]) -> set[int]:
    """Rows of items that callers named: those of decisions without a catalogue."""
    rows: set[int] = set()
    for one in page:
        if one.record.catalogue_version == 0:
            rows.update(np.frombuffer(one.record.candidates, dtype="<i4").tolist())
    return rows - {-1}
