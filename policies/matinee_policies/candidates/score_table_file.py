"""Read the lists of units from a Parquet file of (unit, item, score).

The file is read by pieces, rows in any order, and of each unit only the best `top` items are kept:
memory is bounded by the units of the run and the size of a piece, not by the file.

Scores become 1 / (1 + exp(-(score - mean) / sd)), with mean and standard deviation over all rows of
the file (`score_map: logistic`), or stay what they are if they lie in (0, 1) already (`identity`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    IndexArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.candidates.item_ids import NOT_SHOWN, ItemIndex
from matinee_policies.candidates.score_table import (
    ABSENT,
    ScoreTable,
    best_first,
    build_score_table,
    find_keys,
    logistic_scores,
)
from matinee_policies.candidates.source_data import SourceData, Units
from matinee_policies.config import Config, check_whole
from matinee_policies.errors import ConfigError, DataError

KIND = "score_table"

_MAPS = ("logistic", "identity")
_ROWS_AT_ONCE = 1 << 18
# Rows are thinned to the best of each unit whenever so many have gathered.
_ROWS_HELD = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTableConfig(Config):
    """Settings of a score table.

    Attributes:
        path: the Parquet file, from the current folder.
        unit: column of unit ids, text or whole numbers.
        item: column of item ids, as they stand in the data.
        score: column of scores, larger is better.
        top: items kept per unit, at least 1.
        score_map: `"logistic"` or `"identity"`.
        fallback: kind of the fitted source that serves units without a list.
        fallback_settings: its settings.
    """

    path: str
    unit: str = "unit"
    item: str = "item"
    score: str = "score"
    top: int = 300
    score_map: str = "logistic"
    fallback: str = "popularity"
    fallback_settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("path", "unit", "item", "score"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise ConfigError(f"{name} must be a text, got {value!r}")
        check_whole("top", self.top, low=1)
        if self.score_map not in _MAPS:
            raise ConfigError(
                f"score_map must be one of {', '.join(_MAPS)}, got {self.score_map!r}"
            )


@dataclass(frozen=True, slots=True)
class TableReading:
    """A table as read, and what was left out.

    Attributes:
        table: the lists of units of this run.
        rows: rows of the file.
        other_units: rows of units that are not in this run.
        other_items: rows of items that the catalogue leaves out.
    """

    table: ScoreTable
    rows: int
    other_units: int
    other_items: int


def read_score_table(config: ScoreTableConfig, data: SourceData) -> TableReading:
    """Read the lists of the units of `data`.

    Raises:
        DataError: the file or a column is missing, or a value breaks a rule.
        ConfigError: no row is of a unit of this run.
    """
    path = Path(config.path)
    index = ItemIndex(data)
    wanted = np.unique(data.units.keys)
    kept = _Kept(top=config.top, path=path)
    total = squares = 0.0
    rows = other_units = other_items = 0
    for batch in _batches(path, config):
        units = _keys(batch.column(0), data.units, path, config.unit)
        raw = _scores(batch.column(2), path, config)
        items = _item_rows(batch.column(1), index, path, config.item)
        wide = raw.astype(np.float64)
        total, squares = total + float(wide.sum()), squares + float(wide @ wide)
        here = find_keys(wanted, units) != ABSENT
        shown = items != NOT_SHOWN
        rows += raw.size
        other_units += int((~here).sum())
        other_items += int((here & ~shown).sum())
        kept.add(units, items.astype(np.int32), raw, here & shown)
    if rows == 0:
        raise DataError(path, rule="must hold at least one row")
    if other_units == rows:
        example = str(batch.column(0)[0].as_py())
        raise data.units.stranger(path, given=rows, what="rows", example=example)
    keys, items_kept, raw_kept = kept.result()
    mean = total / rows
    sd = max(squares / rows - mean * mean, 0.0) ** 0.5
    scores = (
        raw_kept if config.score_map == "identity" else logistic_scores(raw_kept, mean=mean, sd=sd)
    )
    table = build_score_table(
        keys, items_kept, raw_kept, scores=scores, n_items=len(data.catalogue)
    )
    return TableReading(table, rows, other_units, other_items)


class _Kept:
    """The best `top` pairs of each unit so far."""

    def __init__(self, *, top: int, path: Path) -> None:
        self._top = top
        self._path = path
        self._parts: list[tuple[UInt64Array, IndexArray, Float32Array]] = []
        self._held = 0

    def add(self, keys: UInt64Array, items: IndexArray, raw: Float32Array, kept: BoolArray) -> None:
        self._parts.append((keys[kept], items[kept], raw[kept]))
        self._held += int(kept.sum())
        if self._held > _ROWS_HELD:
            self._thin()

    def result(self) -> tuple[UInt64Array, IndexArray, Float32Array]:
        self._thin()
        return self._parts[0]

    def _thin(self) -> None:
        keys = np.concatenate([part[0] for part in self._parts])
        items = np.concatenate([part[1] for part in self._parts])
        raw = np.concatenate([part[2] for part in self._parts])
        places = np.unique(keys, return_inverse=True)[1].astype(np.int64)
        again = np.diff(np.sort((places << 32) + items)) == 0
        if again.any():
            raise DataError(
                self._path,
                rule=f"a unit must list an item once; {int(again.sum())} pairs come again",
            )
        order = best_first(keys, items, raw)
        ordered = keys[order]
        first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        place = np.arange(order.size) - np.repeat(first, np.diff([*first.tolist(), order.size]))
        best = order[place < self._top]
        self._parts = [(keys[best], items[best], raw[best])]
        self._held = best.size


def _batches(path: Path, config: ScoreTableConfig) -> Iterator[pa.RecordBatch]:
    if not path.is_file():
        raise DataError(path, rule="file must exist")
    wanted = [config.unit, config.item, config.score]
    try:
        with pq.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            missing = [name for name in wanted if name not in columns]
            if missing:
                raise DataError(
                    path, rule=f"must have a column {missing[0]!r}; its columns are", value=columns
                )
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=wanted):
                yield batch.select(wanted)
    except pa.ArrowException as error:
        raise DataError(path, rule=f"must be an undamaged Parquet file ({error})") from None


def _keys(column: pa.Array, units: Units, path: Path, name: str) -> UInt64Array:
    _refuse_nulls(column, path, name)
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    kind = coded.type.value_type
    if not (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)
    ):
        raise DataError(
            path, rule=f"column {name!r} must hold text or whole numbers", value=str(kind)
        )
    keys = units.key_of([str(value) for value in coded.dictionary.to_pylist()])
    places: AnyArray = coded.indices.to_numpy(zero_copy_only=False)
    return keys[places]


def _item_rows(column: pa.Array, index: ItemIndex, path: Path, name: str) -> Int64Array:
    _refuse_nulls(column, path, name)
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    rows = index.rows(coded.dictionary.to_numpy(zero_copy_only=False), path=path)
    places: AnyArray = coded.indices.to_numpy(zero_copy_only=False)
    return rows[places]


def _scores(column: pa.Array, path: Path, config: ScoreTableConfig) -> Float32Array:
    _refuse_nulls(column, path, config.score)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise DataError(
            path, rule=f"column {config.score!r} must hold numbers", value=str(column.type)
        )
    with np.errstate(over="ignore"):
        raw = column.to_numpy(zero_copy_only=False).astype(np.float32)
    bad = ~np.isfinite(raw)
    if config.score_map == "identity":
        bad |= ~((raw > 0.0) & (raw < 1.0))
    if bad.any():
        rule = "finite" if config.score_map == "logistic" else "above 0 and below 1"
        raise DataError(path, rule=f"scores must be {rule}", value=float(raw[bad][0]))
    # Zero and minus zero tie.
    return np.asarray(raw + np.float32(0.0), dtype=np.float32)


def _refuse_nulls(column: pa.Array, path: Path, name: str) -> None:
    if column.null_count:
        raise DataError(path, rule=f"column {name!r} must hold no nulls", value=column.null_count)
