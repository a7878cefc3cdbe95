"""Sums and sums of products by group of units, in one pass over the units each.

numpy would pass over them once for every pair of columns.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.compiled import lean_kernel

_AT_ONCE = 4_096
"""Units whose columns stay in the processor's cache."""


def group_totals(columns: Sequence[FloatArray], group: Int64Array, *, groups: int) -> FloatArray:
    """Sum of each column over each group, in the order of the units, `float64 [groups, k]`.

    Args:
        columns: `float64 [n]` each.
        group: within 0 and `groups`, `int64 [n]`.
        groups: how many.
    """
    totals = np.zeros((groups, len(columns)))
    for rows, some in _blocks(columns, group):
        add_totals(rows, some, totals)
    return totals


def group_products(
    columns: Sequence[FloatArray], group: Int64Array, centre: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Sums of deviations from a centre, and of their products.

    Args:
        columns: `float64 [n]` each.
        group: `int64 [n]`.
        centre: of each group, `float64 [groups, k]`.

    Returns:
        `float64 [groups, k]` and `float64 [groups, k, k]`.
    """
    groups, k = centre.shape
    rest, products, apart = np.zeros((groups, k)), np.zeros((groups, k, k)), np.empty(k)
    for rows, some in _blocks(columns, group):
        add_products(rows, some, centre, rest, products, apart)
    upper = np.triu_indices(k)
    products[:, upper[1], upper[0]] = products[:, upper[0], upper[1]]
    return rest, products


def _blocks(
    columns: Sequence[FloatArray], group: Int64Array
) -> Iterator[tuple[FloatArray, Int64Array]]:
    packed = np.empty((len(columns), _AT_ONCE))
    for start in range(0, group.size, _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        own = group[some]
        for place, column in enumerate(columns):
            packed[place, : own.size] = column[some]
        yield packed[:, : own.size], own


@lean_kernel
def add_totals(rows: FloatArray, group: Int64Array, totals: FloatArray) -> None:
    """Add rows, by column `[k, n]`, to the totals of their groups."""
    for row in range(rows.shape[1]):
        for column in range(rows.shape[0]):
            totals[group[row], column] += rows[column, row]


@lean_kernel
def add_products(
    rows: FloatArray,
    group: Int64Array,
    centre: FloatArray,
    rest: FloatArray,
    products: FloatArray,
    apart: FloatArray,
) -> None:
    """Add deviations of rows from the centre of their group, and the upper half of products."""
    for row in range(rows.shape[1]):
        own = group[row]
        for column in range(rows.shape[0]):
            apart[column] = rows[column, row] - centre[own, column]
            rest[own, column] += apart[column]
        for i in range(rows.shape[0]):
            for j in range(i, rows.shape[0]):
                products[own, i, j] += apart[i] * apart[j]
