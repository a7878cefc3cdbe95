"""Evaluated policies as files: a row of item, position and probability for each that can be shown.

    item,position,probability
    12,1,0.25

Positions count from 1; without the column the law is the same at all of them. Pairs that have no
row have probability 0.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from matinee_platform.ope.inputs import table_parts as read
from matinee_platform.ope.inputs.action_log import ActionLog, shown_counts
from matinee_platform.ope.inputs.target_law import TargetLaw, table_law
from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.datasets.table_columns import id_column
from matinee_policies.datasets.table_file import open_tables, read_columns, require_columns
from matinee_policies.errors import ConfigError, ContextError, DataError

ITEM, POSITION, PROBABILITY = "item", "position", "probability"

_ROUNDING = 1e-6


def read_policy_table(path: Path | str, log: ActionLog) -> tuple[ActionLog, TargetLaw]:
    """A policy for a log.

    Args:
        path: CSV or Parquet.
        log: whose items the table speaks of.

    Returns:
        The log, whose items now are also those that the table alone has (they are out of its
        reach), and the law.

    Raises:
        DataError: naming the row and the rule, or the position whose probabilities do not sum to 1.
    """
    (file,) = open_tables(Path(path))
    has_positions = POSITION in file.names
    wanted = [ITEM, *([POSITION] if has_positions else []), PROBABILITY]
    require_columns(file, {name: name for name in wanted})
    part = (file, read_columns(file, dict.fromkeys(wanted)))
    if file.delimiter is not None:
        types = read.number_types(wanted[1:])
        part = (file, {**part[1], **read_columns(file, types)})
    found = id_column([(file, part[1][ITEM])], ITEM)
    shares = read.shares_of(part, PROBABILITY, above_zero=False)
    places = np.zeros(shares.size, dtype=np.int64)
    if has_positions:
        places = read.positions_of(part, POSITION, most=read.MOST_POSITIONS)
    known = {label: k for k, label in enumerate(log.items)}
    items = (*log.items, *(label for label in found.labels if label not in known))
    known = {label: k for k, label in enumerate(items)}
    rows = np.array([known[label] for label in found.labels])[found.rows]
    _check_once(part, rows, places)
    table = np.zeros((len(items), max(log.positions if has_positions else 1, places.max() + 1)))
    table[rows, places] = shares
    if not has_positions:
        table = np.repeat(table, log.positions, axis=1)
    for position, total in enumerate(table.sum(axis=0), start=1):
        if not abs(total - 1.0) <= _ROUNDING:
            rule = f"probabilities of position {position} must sum to 1"
            raise DataError(file.path, rule=rule, value=float(total))
    return replace(log, items=items), table_law(table)


def policy_frequencies(log: ActionLog) -> FloatArray:
    """How often a log shows each item at each position: its policy, blind to all else.

    Returns:
        Shares of each position's shown slots, `float64 [K, P]`.

    Raises:
        ContextError: if a position shows nothing.
    """
    counts = shown_counts(log)
    totals = counts.sum(axis=0)
    if not totals.all():
        raise ContextError(f"the log shows nothing at position {int(np.argmin(totals)) + 1}")
    shares: FloatArray = counts / totals
    return shares


def write_policy_table(path: Path, log: ActionLog, table: FloatArray) -> None:
    """Write a law as a CSV file that `read_policy_table` reads, to the last bit.

    Args:
        path: to write; must not be there.
        log: whose items the rows of the table are.
        table: `float64 [K, P]`.

    Raises:
        ConfigError: if the file is there.
        ContextError: if the table is not of the log's items and positions.
    """
    if table.shape != (len(log.items), log.positions):
        wanted = (len(log.items), log.positions)
        raise ContextError(f"a policy's table must be {wanted} for this log, got {table.shape}")
    if path.exists():
        raise ConfigError(f"the file must not be there yet, got {path}")
    lines = [f"{ITEM},{POSITION},{PROBABILITY}"]
    for k, p in np.argwhere(table > 0.0):
        lines.append(f"{_quoted(log.items[k])},{p + 1},{float(table[k, p])!r}")
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial.replace(path)


def _quoted(label: str) -> str:
    if any(mark in label for mark in ',"'):
        return '"' + label.replace('"', '""') + '"'
    return label


def _check_once(part: read.Part, rows: AnyArray, places: AnyArray) -> None:
    pairs = np.stack([rows, places], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    if first.size < len(pairs):
        again = int(np.setdiff1d(np.arange(len(pairs)), first)[0])
        raise part[0].error(again, rule="each item and position must have one row")
