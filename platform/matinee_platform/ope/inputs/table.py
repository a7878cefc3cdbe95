"""Logs of actions from any table with named columns: CSV, Parquet, Arrow or a data frame.

The table is read once to check every value and to learn which items, texts and positions there are,
and then as often as it is evaluated, a bounded part at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from matinee_platform.ope.inputs import table_parts as read
from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_platform.ope.inputs.log_columns import LogColumns
from matinee_platform.ope.inputs.propensities import Estimator, with_propensities
from matinee_platform.ope.inputs.table_parts import LogTable, Part
from matinee_policies.arrays import AnyArray, FloatArray, Int64Array
from matinee_policies.datasets.table_columns import is_whole_id, time_column
from matinee_policies.errors import ConfigError
from matinee_policies.records import PAD

MOST_TEXTS = 1_000
"""Texts of one column of context, each a column of numbers in memory."""


def table_log(
    source: Path | str | pa.Table | pd.DataFrame,
    columns: LogColumns | Mapping[str, str | Sequence[str]],
    *,
    propensities: Estimator | None = None,
    items: Sequence[str] | None = None,
    positions: int | None = None,
    distinct: bool = False,
    time_unit: str = "s",
    delimiter: str | None = None,
) -> ActionLog:
    """Open a table as a log of actions.

    Args:
        source: a CSV or Parquet file, a folder of parts of one table, or a table in memory.
        columns: what its columns are for.
        propensities: estimator of the probabilities, for tables without a column of them only.
        items: all that could be shown, in the order of the laws' columns; default those that the
            table holds, by number or by text.
        positions: how many a page has; default those that the table holds.
        distinct: whether pages of several slots show no item twice by design.
        time_unit: of times that are numbers, `"s"`, `"ms"` or `"us"` since 1970.
        delimiter: of CSV files; default a comma, a tab for `.tsv`.

    Raises:
        DataError: naming the file, the column, the row, the value and the rule that it breaks.
        ConfigError: if columns or options break a rule, or there are neither propensities nor an
            estimator of them, or both.
    """
    named = columns if isinstance(columns, LogColumns) else LogColumns.of(columns)
    if not named.propensity and propensities is None:
        raise ConfigError(
            "the log has no propensities: name their column (propensity=COLUMN), or an estimator "
            "(uniform, empirical or logistic), which every result will then say"
        )
    if named.propensity and propensities is not None:
        raise ConfigError(
            f"propensities are in column {named.propensity[0]}, so none are estimated; leave out "
            f"the column or {propensities!r}"
        )
    table = read.table_of(source, delimiter=delimiter)
    known = _Known(items={label: k for k, label in enumerate(items or ())}, closed=bool(items))
    reader = _Reader(table, named, known, positions or read.MOST_POSITIONS, time_unit, distinct)
    low, high, rows = np.inf, -np.inf, 0
    for batch in reader.check():
        rows += len(batch)
        low, high = min(low, batch.rewards.min()), max(high, batch.rewards.max())
    known.settle()
    slots = named.slots
    log = ActionLog(
        stream=reader.batches,
        rows=rows,
        items=tuple(known.items),
        positions=slots if slots > 1 else positions or known.positions,
        slots=slots,
        contexts=known.contexts(named),
        distinct=distinct,
        has_units=bool(named.unit),
        has_times=bool(named.time),
        rewards=(float(low), float(high)),
    )
    return log if propensities is None else with_propensities(log, propensities)


@dataclass(slots=True)
class _Known:
    """What a table holds, learned in the first reading.

    Attributes:
        items: number of each.
        closed: whether there can be no other items.
        widest: entries of the longest list of items.
        texts: of each column of context that holds texts, place of each.
        positions: how many.
    """

    items: dict[str, int]
    closed: bool
    widest: int = 0
    texts: dict[str, dict[str, int]] = field(default_factory=dict)
    positions: int = 1

    def settle(self) -> None:
        """Put items in order: by number if all are whole numbers as `id_column` knows them."""
        if not self.closed:
            labels = sorted(self.items)
            if all(is_whole_id(label) for label in labels):
                labels.sort(key=int)
            self.items.update({label: k for k, label in enumerate(labels)})
            ordered = sorted(self.items.items(), key=lambda pair: pair[1])
            self.items.clear()
            self.items.update(ordered)
        for texts in self.texts.values():
            places = {text: k for k, text in enumerate(sorted(texts))}
            texts.clear()
            texts.update(places)

    def contexts(self, columns: LogColumns) -> tuple[str, ...]:
        """Names of the columns of context, one per text."""
        names: list[str] = []
        for name in columns.context:
            texts = self.texts.get(name)
            names += [name] if texts is None else [f"{name}={text}" for text in texts]
        return tuple(names)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads a table into batches."""

    table: LogTable
    columns: LogColumns
    known: _Known
    positions: int
    time_unit: str
    distinct: bool

    def batches(self) -> Iterator[ActionBatch]:
        """The log, after `check`."""
        first = 0
        for part in self.table.parts(self.columns):
            batch = self._batch(part, first)
            first += len(batch)
            yield batch

    def check(self) -> Iterator[ActionBatch]:
        """The same, where items and texts are met for the first time; also checks the order."""
        first, last = 0, -(1 << 62)
        for part in self.table.parts(self.columns):
            self._meet(part)
            batch = self._batch(part, first, with_context=False)
            if self.columns.time:
                self._check_order(part, batch.time, last)
                last = int(batch.time[-1])
            if self.distinct:
                self._check_distinct(part, batch.actions)
            if batch.offered is not None:
                self._check_offered(part, batch.actions, batch.offered)
            first += len(batch)
            yield batch

    def _meet(self, part: Part) -> None:
        for name in self.columns.action:
            places, labels = read.labels_of(part, name, may_be_empty=self.columns.slots > 1)
            self._meet_items(part, name, places, labels, rows=np.arange(places.size))
        for name in self.columns.offered:
            lengths, places, labels = read.lists_of(part, name)
            rows = np.repeat(np.arange(lengths.size), lengths)
            self._meet_items(part, name, places, labels, rows=rows)
            self.known.widest = max(self.known.widest, int(lengths.max()))
        for name in self.columns.context:
            if read.is_text(part, name):
                texts = self.known.texts.setdefault(name, {})
                for text in read.texts_of(part, name)[1]:
                    texts.setdefault(text, len(texts))
                if len(texts) > MOST_TEXTS:
                    raise ConfigError(
                        f"column {name} of the context must hold at most {MOST_TEXTS:,} texts"
                    )
            else:
                read.numbers_of(part, name)

    def _meet_items(
        self, part: Part, name: str, places: AnyArray, labels: Sequence[str], *, rows: AnyArray
    ) -> None:
        for place, label in enumerate(labels):
            if label not in self.known.items:
                if self.known.closed:
                    rule = f"{name} must be one of the {len(self.known.items)} items"
                    row = int(rows[np.argmax(places == place)])
                    raise part[0].error(row, rule=rule, value=label[:60])
                self.known.items[label] = len(self.known.items)

    def _batch(self, part: Part, first: int, *, with_context: bool = True) -> ActionBatch:
        columns = self.columns
        n = part[1][columns.reward[0]].length()
        rows = np.arange(first, first + n)
        actions = np.stack([self._actions(part, name) for name in columns.action], axis=1)
        empty = actions == PAD
        slots = np.tile(np.arange(columns.slots, dtype=np.int64), (n, 1))
        if columns.position:
            slots[:, 0] = read.positions_of(part, columns.position[0], most=self.positions)
            self.known.positions = max(self.known.positions, int(slots.max()) + 1)
        return ActionBatch(
            first=first,
            unit=read.units_of(part, columns.unit[0]) if columns.unit else rows.astype(np.uint64),
            time=self._times(part) if columns.time else rows,
            actions=actions,
            rewards=np.stack([read.numbers_of(part, name) for name in columns.reward], axis=1),
            logged=self._shares(part, columns.propensity, empty, above_zero=True)
            if columns.propensity
            else np.ones((n, columns.slots)),
            positions=slots,
            context=self._context(part, n) if columns.context and with_context else None,
            offered=self._offered(part) if columns.offered else None,
            target=self._shares(part, columns.target, empty) if columns.target else None,
            unreachable=self._unreachable(part, empty) if columns.unreachable else None,
        )

    def _actions(self, part: Part, name: str) -> Int64Array:
        places, labels = read.labels_of(part, name, may_be_empty=self.columns.slots > 1)
        numbers = np.array([self.known.items[label] for label in labels] + [PAD], dtype=np.int64)
        return numbers[places]

    def _offered(self, part: Part) -> Int64Array:
        lengths, places, labels = read.lists_of(part, self.columns.offered[0])
        numbers = np.array([self.known.items[label] for label in labels], dtype=np.int64)
        offered = np.full((lengths.size, self.known.widest), PAD, dtype=np.int64)
        offered[np.arange(self.known.widest) < lengths[:, None]] = numbers[places]
        return offered

    def _times(self, part: Part) -> Int64Array:
        file, columns = part
        (name,) = self.columns.time
        pair = [(file, columns[name])]
        return time_column(pair, name, unit=self.time_unit, ticks_per_second=1_000)

    def _shares(
        self, part: Part, names: Sequence[str], empty: AnyArray, *, above_zero: bool = False
    ) -> FloatArray:
        shares = [read.shares_of(part, name, above_zero=above_zero) for name in names]
        values = np.stack(shares, axis=1)
        wrong = empty & (values != 1.0)
        if wrong.any():
            row, slot = np.argwhere(wrong)[0]
            rule = f"{names[slot]} must be 1 where the slot is empty"
            raise part[0].error(int(row), rule=rule, value=float(values[row, slot]))
        return values

    def _unreachable(self, part: Part, empty: AnyArray) -> FloatArray:
        names = self.columns.unreachable
        masses = [read.shares_of(part, name, above_zero=False) for name in names]
        return np.where(empty, 0.0, np.stack(masses, axis=1))

    def _context(self, part: Part, n: int) -> FloatArray:
        blocks = []
        for name in self.columns.context:
            texts = self.known.texts.get(name)
            if texts is None:
                blocks.append(read.numbers_of(part, name)[:, None])
                continue
            places, labels = read.texts_of(part, name)
            block = np.zeros((n, len(texts)))
            block[np.arange(n), np.array([texts[label] for label in labels])[places]] = 1.0
            blocks.append(block)
        return np.concatenate(blocks, axis=1)

    def _check_order(self, part: Part, times: Int64Array, last: int) -> None:
        falls = np.flatnonzero(np.diff(times, prepend=last) < 0)
        if falls.size:
            rule = f"{self.columns.time[0]} must not fall; sort the log, or leave the column out"
            raise part[0].error(int(falls[0]), rule=rule)

    def _check_distinct(self, part: Part, actions: Int64Array) -> None:
        ordered = np.sort(actions, axis=1)
        again = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)).any(axis=1)
        if again.any():
            rule = "a page must not show an item twice, the log is said to be distinct"
            raise part[0].error(int(np.argmax(again)), rule=rule)

    def _check_offered(self, part: Part, actions: Int64Array, offered: Int64Array) -> None:
        name = self.columns.offered[0]
        ordered = np.sort(offered, axis=1)
        again = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)).any(axis=1)
        if again.any():
            raise part[0].error(int(np.argmax(again)), rule=f"{name} must list no item twice")
        inside = (actions[:, :, None] == offered[:, None, :]).any(axis=2) | (actions == PAD)
        if not inside.all():
            row = int(np.argmin(inside.all(axis=1)))
            raise part[0].error(row, rule=f"{name} must list every item that is shown")
