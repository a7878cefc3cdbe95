"""Tiles of symmetric matrices against numpy, for whole and broken tiles."""

import numpy as np
import pytest

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.quadratic_form import row_dots
from matinee_policies.rounds.tiles import (
    TILE,
    add_outer_to_tiles,
    convert_tiles,
    fill_tile_products,
    fill_tiles,
    multiply_tiles,
    read_tiles,
    tiles_size,
)

DIMENSIONS = [1, 7, 8, 9, 16, 33]


def symmetric(rng: np.random.Generator, dimension: int) -> FloatArray:
    half = rng.normal(size=(dimension, dimension))
    return np.ascontiguousarray((half + half.T) / 2)


def padded(dimension: int) -> int:
    return -(-dimension // TILE) * TILE


def padded_rows(rows: FloatArray) -> FloatArray:
    wide = np.zeros((len(rows), padded(rows.shape[1])))
    wide[:, : rows.shape[1]] = rows
    return wide


def tiles_of(A: FloatArray) -> FloatArray:
    tiles = np.zeros(tiles_size(len(A)))
    fill_tiles(A, tiles, 0)
    return tiles


@pytest.mark.parametrize("d", DIMENSIONS)
def test_tiles_hold_the_upper_half_and_give_the_matrix_back(d: int) -> None:
    A = symmetric(np.random.default_rng(d), d)
    whole = np.zeros((padded(d), padded(d)))
    whole[:d, :d] = A
    expected = [
        whole[top : top + TILE, left : left + TILE].ravel()
        for top in range(0, d, TILE)
        for left in range(top, d, TILE)
    ]
    tiles = np.full(5 + tiles_size(d), 0.0)
    fill_tiles(A, tiles, 5)
    np.testing.assert_array_equal(tiles, np.concatenate([np.zeros(5), *expected]))
    back = np.full((d, d), np.nan)
    read_tiles(tiles, 5, back)
    np.testing.assert_array_equal(back, A)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("d", DIMENSIONS)
def test_forms_are_dot_products_with_the_tiles_of_products(d: int, dtype: type) -> None:
    """Bound of Higham (2002, section 3.1), for three roundings of each of d^2 terms and a sum."""
    rng = np.random.default_rng(d)
    matrices = [symmetric(rng, d) for _ in range(4)]
    x = rng.normal(size=d)
    exact, size = np.zeros(tiles_size(d)), tiles_size(d)
    fill_tile_products(padded_rows(x[None])[0], exact)
    products: AnyArray = np.zeros(size, dtype)
    tiles: AnyArray = np.full((4, size), np.nan, dtype)
    convert_tiles(exact, 0, size, products, 0)
    for k, A in enumerate(matrices):
        convert_tiles(tiles_of(A), 0, size, tiles, k * size)
    forms = np.full(4, np.nan)
    row_dots(tiles, products, forms)
    for form, A in zip(forms, matrices, strict=True):
        moduli = abs(x) @ abs(A) @ abs(x)
        assert abs(form - x @ A @ x) <= (d * d + 4) * float(np.finfo(dtype).eps) / 2 * moduli


@pytest.mark.parametrize("d", DIMENSIONS)
def test_products_with_a_vector_equal_numpy(d: int) -> None:
    rng = np.random.default_rng(d)
    A, x = symmetric(rng, d), rng.normal(size=d)
    product = np.full(padded(d), np.nan)
    tiles = np.concatenate([np.full(3, np.nan), tiles_of(A)])
    multiply_tiles(tiles, 3, padded_rows(x[None])[0], product)
    np.testing.assert_allclose(product[:d], A @ x, rtol=1e-12, atol=1e-12)
    assert not product[d:].any()


@pytest.mark.parametrize("d", DIMENSIONS)
def test_outer_products_are_added_one_after_the_other(d: int) -> None:
    rng = np.random.default_rng(d)
    A, rows = symmetric(rng, d), rng.normal(size=(6, d))
    together, alone, back = tiles_of(A), tiles_of(A), np.empty((d, d))
    wide = padded_rows(rows)
    add_outer_to_tiles(together, 0, -wide, wide, 5)
    for row in range(5):
        add_outer_to_tiles(alone, 0, -wide[row : row + 1], wide[row : row + 1], 1)
    np.testing.assert_array_equal(together, alone)
    read_tiles(together, 0, back)
    np.testing.assert_allclose(back, A - rows[:5].T @ rows[:5], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(back, back.T)
