"""Count draws in cells of like propensity and of like place, beside the masses of their laws."""

import numpy as np

from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.compiled import kernel

CELLS = 32
"""Of either kind; those of places hold equally many candidates."""

EDGES: FloatArray = 10.0 ** np.linspace(-4.0, -0.05, CELLS - 1)
"""Propensities between the cells, rising; one that is an edge belongs to the cell below it."""


@kernel
def add_draws(
    laws: FloatArray,
    chosen: Int64Array,
    edges: FloatArray,
    expected: FloatArray,
    observed: FloatArray,
    products: FloatArray,
) -> int:
    """Add draws to sums of both kinds of cells: by propensity first, then by place.

    Args:
        laws: `float64 [n, K]`.
        chosen: column that was drawn, below 0 for rows to leave out, `int64 [n]`.
        edges: `EDGES`.
        expected: receives the masses of each cell, `float64 [2, CELLS]`.
        observed: receives the draws of each cell, likewise.
        products: receives products of the masses of two cells in one row,
            `float64 [2, CELLS, CELLS]`.

    Returns:
        Rows that were added.
    """
    cells, K, draws = edges.size + 1, laws.shape[1], 0
    mass = np.zeros((2, cells))
    for i in range(laws.shape[0]):
        if chosen[i] < 0:
            continue
        draws += 1
        for kind in range(2):
            for cell in range(cells):
                mass[kind, cell] = 0.0
        for k in range(K):
            p = laws[i, k]
            if p <= 0.0:
                continue
            by_propensity, above = 0, edges.size
            while by_propensity < above:
                middle = (by_propensity + above) // 2
                if p > edges[middle] * (1.0 + 1e-12):
                    by_propensity = middle + 1
                else:
                    above = middle
            by_place = k * cells // K
            mass[0, by_propensity] += p
            mass[1, by_place] += p
            if k == chosen[i]:
                observed[0, by_propensity] += 1.0
                observed[1, by_place] += 1.0
        for kind in range(2):
            for a in range(cells):
                m = mass[kind, a]
                if m == 0.0:
                    continue
                expected[kind, a] += m
                for b in range(cells):
                    products[kind, a, b] += m * mass[kind, b]
    return draws


def add_draws_reference(
    laws: FloatArray, chosen: Int64Array
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The plain twin: masses, draws and products of both kinds of cells."""
    rows = np.flatnonzero(chosen >= 0)
    kept, picks = laws[rows], chosen[rows]
    by_propensity = np.searchsorted(EDGES * (1.0 + 1e-12), kept, side="left")
    by_place = np.broadcast_to(np.arange(laws.shape[1]) * CELLS // laws.shape[1], kept.shape)
    out = []
    for cells in (by_propensity, by_place):
        mass = np.stack([np.where(cells == c, kept, 0.0).sum(axis=1) for c in range(CELLS)], axis=1)
        drawn = np.bincount(cells[np.arange(len(picks)), picks], minlength=CELLS)
        out.append((mass.sum(axis=0), drawn.astype(np.float64), mass.T @ mass))
    expected, observed, products = (np.stack(one) for one in zip(*out, strict=True))
    return expected, observed, products
