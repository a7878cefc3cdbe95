"""Symmetric matrices of many arms as tiles of 8 x 8: their forms, products and rank-one steps.

Tiles on and above the diagonal lie behind each other, row of tiles by row of tiles, each in whole
and row by row. So a matrix takes little more than half of its bytes, every vector is aligned, and
the form x' A x is a plain dot product with the tiles of x x', off-diagonals twice. Dimensions are
padded with zeros to a multiple of 8.

The order of each sum depends on the dimension alone.
"""

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.compiled import kernel
from matinee_policies.lanes import (
    add_lanes,
    convert_lanes,
    lanes_of,
    load_lanes,
    multiply_add,
    spread_lanes,
    store_lanes,
    sum_eight,
    zero_lanes,
)

TILE = 8
"""Rows and columns of a tile, and numbers of float64 in a vector."""


@kernel
def tiles_size(dimension: int) -> int:
    """Numbers in the tiles of a matrix."""
    count = (dimension + TILE - 1) // TILE
    return count * (count + 1) // 2 * TILE * TILE


@kernel
def fill_tiles(A: FloatArray, tiles: FloatArray, first: int) -> None:
    """Write a symmetric matrix, `float64 [d, d]`, as tiles, from `first` on.

    The padding of `tiles` is left as it is.
    """
    d = A.shape[0]
    place = first
    for top in range(0, d, TILE):
        for left in range(top, d, TILE):
            for i in range(min(TILE, d - top)):
                for j in range(min(TILE, d - left)):
                    tiles[place + i * TILE + j] = A[top + i, left + j]
            place += TILE * TILE


@kernel
def read_tiles(tiles: FloatArray, first: int, A: FloatArray) -> None:
    """Write tiles back as a whole matrix, `float64 [d, d]`: the inverse of `fill_tiles`."""
    d = A.shape[0]
    place = first
    for top in range(0, d, TILE):
        for left in range(top, d, TILE):
            for i in range(min(TILE, d - top)):
                for j in range(min(TILE, d - left)):
                    A[top + i, left + j] = tiles[place + i * TILE + j]
            if left > top:
                for j in range(min(TILE, d - left)):
                    for i in range(min(TILE, d - top)):
                        A[left + j, top + i] = tiles[place + i * TILE + j]
            place += TILE * TILE


@kernel
def fill_tile_products(x: FloatArray, products: FloatArray) -> None:
    """Write the tiles of x x', off-diagonals twice; `x` is padded."""
    D = x.size
    zero = zero_lanes(x)
    place = 0
    for top in range(0, D, TILE):
        for left in range(top, D, TILE):
            columns = load_lanes(x, left)
            if left > top:
                columns = add_lanes(columns, columns)
            for i in range(TILE):
                row = multiply_add(spread_lanes(x, top + i), columns, zero)
                store_lanes(products, place, row)
                place += TILE


@kernel
def convert_tiles(tiles: FloatArray, first: int, size: int, wanted: AnyArray, start: int) -> None:
    """Round `size` numbers from `first` on to the type of `wanted`, into it from `start` on."""
    lanes: int = lanes_of(wanted)
    for p in range(0, size, lanes):
        store_lanes(wanted, start + p, convert_lanes(tiles, first + p, wanted))


@kernel
def multiply_tiles(tiles: FloatArray, first: int, x: FloatArray, product: FloatArray) -> None:
    """Write A x; each number of A is loaded once and serves its mirror image too.

    Args:
        tiles: holds A from `first` on.
        first: where A begins.
        x: padded, `float64 [D]`.
        product: `float64 [D]`.
    """
    D = x.size
    zero = zero_lanes(x)
    for left in range(0, D, TILE):
        store_lanes(product, left, zero)
    place = first
    for top in range(0, D, TILE):
        x0 = spread_lanes(x, top)
        x1 = spread_lanes(x, top + 1)
        x2 = spread_lanes(x, top + 2)
        x3 = spread_lanes(x, top + 3)
        x4 = spread_lanes(x, top + 4)
        x5 = spread_lanes(x, top + 5)
        x6 = spread_lanes(x, top + 6)
        x7 = spread_lanes(x, top + 7)
        s0 = zero
        s1 = zero
        s2 = zero
        s3 = zero
        s4 = zero
        s5 = zero
        s6 = zero
        s7 = zero
        for left in range(top, D, TILE):
            a0 = load_lanes(tiles, place)
            a1 = load_lanes(tiles, place + 8)
            a2 = load_lanes(tiles, place + 16)
            a3 = load_lanes(tiles, place + 24)
            a4 = load_lanes(tiles, place + 32)
            a5 = load_lanes(tiles, place + 40)
            a6 = load_lanes(tiles, place + 48)
            a7 = load_lanes(tiles, place + 56)
            place += 64
            even = multiply_add(x0, a0, load_lanes(product, left))
            odd = multiply_add(x1, a1, zero)
            even = multiply_add(x2, a2, even)
            odd = multiply_add(x3, a3, odd)
            even = multiply_add(x4, a4, even)
            odd = multiply_add(x5, a5, odd)
            even = multiply_add(x6, a6, even)
            odd = multiply_add(x7, a7, odd)
            store_lanes(product, left, add_lanes(even, odd))
            if left > top:
                columns = load_lanes(x, left)
                s0 = multiply_add(a0, columns, s0)
                s1 = multiply_add(a1, columns, s1)
                s2 = multiply_add(a2, columns, s2)
                s3 = multiply_add(a3, columns, s3)
                s4 = multiply_add(a4, columns, s4)
                s5 = multiply_add(a5, columns, s5)
                s6 = multiply_add(a6, columns, s6)
                s7 = multiply_add(a7, columns, s7)
        if top + TILE < D:
            mirrored = sum_eight(s0, s1, s2, s3, s4, s5, s6, s7)
            store_lanes(product, top, add_lanes(load_lanes(product, top), mirrored))


@kernel
def add_outer_to_tiles(
    tiles: FloatArray, first: int, rows: FloatArray, columns: FloatArray, count: int
) -> None:
    """Add u v' of `count` pairs of vectors to A, one after the other: the order counts in the bits.

    Args:
        tiles: holds A from `first` on, symmetric also afterwards: the sum of u v' must be.
        first: where A begins.
        rows: u of each pair, padded, `float64 [>= count, D]`.
        columns: v of each pair, as `rows`.
        count: how many pairs.
    """
    D = rows.shape[1]
    place = first
    for top in range(0, D, TILE):
        for left in range(top, D, TILE):
            a0 = load_lanes(tiles, place)
            a1 = load_lanes(tiles, place + 8)
            a2 = load_lanes(tiles, place + 16)
            a3 = load_lanes(tiles, place + 24)
            a4 = load_lanes(tiles, place + 32)
            a5 = load_lanes(tiles, place + 40)
            a6 = load_lanes(tiles, place + 48)
            a7 = load_lanes(tiles, place + 56)
            for row in range(0, count * D, D):
                v = load_lanes(columns, row + left)
                u = row + top
                a0 = multiply_add(spread_lanes(rows, u), v, a0)
                a1 = multiply_add(spread_lanes(rows, u + 1), v, a1)
                a2 = multiply_add(spread_lanes(rows, u + 2), v, a2)
                a3 = multiply_add(spread_lanes(rows, u + 3), v, a3)
                a4 = multiply_add(spread_lanes(rows, u + 4), v, a4)
                a5 = multiply_add(spread_lanes(rows, u + 5), v, a5)
                a6 = multiply_add(spread_lanes(rows, u + 6), v, a6)
                a7 = multiply_add(spread_lanes(rows, u + 7), v, a7)
            store_lanes(tiles, place, a0)
            store_lanes(tiles, place + 8, a1)
            store_lanes(tiles, place + 16, a2)
            store_lanes(tiles, place + 24, a3)
            store_lanes(tiles, place + 32, a4)
            store_lanes(tiles, place + 40, a5)
            store_lanes(tiles, place + 48, a6)
            store_lanes(tiles, place + 56, a7)
            place += 64
