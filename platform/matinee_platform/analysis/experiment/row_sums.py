"""From rows, one for each unit and day, to units: what each did in its first days, and on which.

Rows are taken in blocks that stay in the processor's cache, so that narrow columns are widened
without a copy of them all.
"""

from collections.abc import Iterator

import numpy as np

from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_policies.arrays import BoolArray, FloatArray, IndexArray, UInt64Array
from matinee_policies.compiled import lean_kernel

ROWS_AT_ONCE = 2**15
"""Rows that are widened together."""

_EVER = 2**31 - 1


def sums_by_unit(units: UnitDays, name: str, *, last: int | None) -> FloatArray:
    """Sum of a column over the rows of each unit, 0 for a unit without any, `float64 [n]`.

    Args:
        units: and their rows.
        name: of the column.
        last: last day since exposure that counts; None for all.
    """
    totals, column = np.zeros(len(units)), getattr(units, name)
    for rows in row_blocks(units.row_unit.size):
        add_rows(
            units.row_unit[rows],
            units.row_day[rows].astype(np.int32),
            column[rows].astype(np.float64),
            _EVER if last is None else last,
            totals,
        )
    return totals


def days_by_unit(units: UnitDays, *, last_bit: int) -> UInt64Array:
    """A bit for each day since exposure on which a unit came, `uint64 [n]`.

    Args:
        units: and their rows; a row without pages is no visit.
        last_bit: of the day from which on all days share one bit, at most 63.
    """
    bits = np.zeros(len(units), dtype=np.uint64)
    for rows in row_blocks(units.row_unit.size):
        mark_days(
            units.row_unit[rows],
            units.row_day[rows].astype(np.int32),
            units.pages[rows] > 0,
            last_bit,
            bits,
        )
    return bits


def row_blocks(rows: int) -> Iterator[slice]:
    """All of so many rows, some at a time."""
    for start in range(0, rows, ROWS_AT_ONCE):
        yield slice(start, start + ROWS_AT_ONCE)


@lean_kernel
def add_rows(
    unit: IndexArray, day: IndexArray, values: FloatArray, last: int, totals: FloatArray
) -> None:
    """Add values of days up to `last` to the totals of their units."""
    for row in range(unit.size):
        if day[row] <= last:
            totals[unit[row]] += values[row]


@lean_kernel
def mark_days(
    unit: IndexArray, day: IndexArray, came: BoolArray, last_bit: int, bits: UInt64Array
) -> None:
    """Set the bits of the days on which units came."""
    for row in range(unit.size):
        if came[row]:
            bits[unit[row]] |= np.uint64(1) << np.uint64(min(day[row], last_bit))
