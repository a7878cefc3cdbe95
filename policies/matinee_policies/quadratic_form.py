"""Quadratic forms x' A x of many rows under one symmetric matrix, and of one row under many.

Many rows: A is held as blocks of columns as wide as a vector, each down to its diagonal only, which
halves the products of a matrix product. Eight rows share every load of A. Of one row under many
matrices: x' A x is a dot product of the lower triangle of A with that of x x', off-diagonals twice,
which halves the bytes to read.

The order of each sum depends on the dimension alone, never on the other rows (see `lanes.py`).
Every row and matrix is padded with zeros to a multiple of the vector.
"""

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, FloatArray
from matinee_policies.compiled import lean_kernel
from matinee_policies.lanes import (
    add_lanes,
    convert_lanes,
    double_lanes,
    lanes_of,
    load_lanes,
    multiply_add,
    spread_lanes,
    store_lanes,
    sum_lanes,
    zero_lanes,
)

VECTOR = 8
"""Numbers of float64 in a vector."""

ROWS = 8
"""Rows that `row_forms` takes at a time."""


@lean_kernel
def blocks_size(dimension: int, lanes: int) -> int:
    """Length of the blocks of a matrix, for a padded dimension."""
    count = dimension // lanes
    return lanes * lanes * count * (count + 1) // 2


@lean_kernel
def fill_blocks(A: FloatArray, blocks: AnyArray) -> None:
    """Write a symmetric matrix as blocks of columns, each down to the end of its diagonal.

    Args:
        A: `float64 [d, d]`.
        blocks: `[blocks_size]`, the type to compute in; zeros beyond `d` stay.
    """
    d = A.shape[0]
    lanes: int = lanes_of(blocks)
    place = 0
    for start in range(0, d, lanes):
        width = min(lanes, d - start)
        for j in range(start + width):
            # What lies above the diagonal block counts for its mirror image too.
            if width == lanes:
                a = convert_lanes(A, j * d + start, blocks)
                store_lanes(blocks, place, add_lanes(a, a) if j < start else a)
            else:
                for lane in range(width):
                    weight = 2.0 if j < start else 1.0
                    blocks[place + lane] = weight * A[j, start + lane]
            place += lanes


@lean_kernel
def row_forms(X: AnyArray, blocks: AnyArray, forms: FloatArray, first: int) -> None:
    """Forms of eight rows, into `forms` from `first` on.

    Args:
        X: rows, `[8, D]`, of the type of `blocks`.
        blocks: by `fill_blocks`.
        forms: `float64 [>= first + 8]`.
        first: place of the first row.
    """
    D = X.shape[1]
    lanes: int = lanes_of(X)
    zero = zero_lanes(X)
    place = 0
    v0 = zero
    v1 = zero
    v2 = zero
    v3 = zero
    v4 = zero
    v5 = zero
    v6 = zero
    v7 = zero
    for start in range(0, D, lanes):
        y0 = zero
        y1 = zero
        y2 = zero
        y3 = zero
        y4 = zero
        y5 = zero
        y6 = zero
        y7 = zero
        for j in range(start + lanes):
            a = load_lanes(blocks, place)
            place += lanes
            y0 = multiply_add(spread_lanes(X, j), a, y0)
            y1 = multiply_add(spread_lanes(X, D + j), a, y1)
            y2 = multiply_add(spread_lanes(X, 2 * D + j), a, y2)
            y3 = multiply_add(spread_lanes(X, 3 * D + j), a, y3)
            y4 = multiply_add(spread_lanes(X, 4 * D + j), a, y4)
            y5 = multiply_add(spread_lanes(X, 5 * D + j), a, y5)
            y6 = multiply_add(spread_lanes(X, 6 * D + j), a, y6)
            y7 = multiply_add(spread_lanes(X, 7 * D + j), a, y7)
        v0 = multiply_add(y0, load_lanes(X, start), v0)
        v1 = multiply_add(y1, load_lanes(X, D + start), v1)
        v2 = multiply_add(y2, load_lanes(X, 2 * D + start), v2)
        v3 = multiply_add(y3, load_lanes(X, 3 * D + start), v3)
        v4 = multiply_add(y4, load_lanes(X, 4 * D + start), v4)
        v5 = multiply_add(y5, load_lanes(X, 5 * D + start), v5)
        v6 = multiply_add(y6, load_lanes(X, 6 * D + start), v6)
        v7 = multiply_add(y7, load_lanes(X, 7 * D + start), v7)
    forms[first] = sum_lanes(v0)
    forms[first + 1] = sum_lanes(v1)
    forms[first + 2] = sum_lanes(v2)
    forms[first + 3] = sum_lanes(v3)
    forms[first + 4] = sum_lanes(v4)
    forms[first + 5] = sum_lanes(v5)
    forms[first + 6] = sum_lanes(v6)
    forms[first + 7] = sum_lanes(v7)


@lean_kernel
def triangle_size(dimension: int, lanes: int) -> int:
    """Length of a lower triangle that ends on a whole vector."""
    return (dimension * (dimension + 1) // 2 + lanes - 1) // lanes * lanes


@lean_kernel
def fill_triangle(A: FloatArray, dimension: int, triangles: AnyArray, first: int) -> None:
    """Write the lower triangle of a matrix row by row.

    Args:
        A: `float64 [D, D]`, D a multiple of the lanes of `triangles`.
        dimension: rows of `A` that count.
        triangles: `[>= first + triangle_size + lanes]`, one axis, the type to compute in; all up
            to there is written, with zeros behind the triangle.
        first: where to begin.
    """
    D = A.shape[1]
    lanes: int = lanes_of(triangles)
    place = first
    for i in range(dimension):
        # A vector that reaches beyond its row is mended by the next one.
        for j in range(0, i + 1, lanes):
            store_lanes(triangles, place + j, convert_lanes(A, i * D + j, triangles))
        place += i + 1
    for end in range(place, first + triangle_size(dimension, lanes) + lanes):
        triangles[end] = 0.0


@lean_kernel
def fill_products(x: AnyArray, dimension: int, products: AnyArray, first: int) -> None:
    """Write the lower triangle of x x', off-diagonals twice.

    Args:
        x: `[D]`, of the type of `products`, D a multiple of the lanes.
        dimension: elements of `x` that count.
        products: `[>= first + triangle_size + lanes]`, one axis; what comes behind the triangle, up
            to there, means nothing.
        first: where to begin.
    """
    lanes: int = lanes_of(x)
    zero = zero_lanes(x)
    place = first
    for i in range(dimension):
        one = spread_lanes(x, i)
        twice = add_lanes(one, one)
        for j in range(0, i + 1, lanes):
            store_lanes(products, place + j, multiply_add(twice, load_lanes(x, j), zero))
        products[place + i] = x[i] * x[i]
        place += i + 1


@lean_kernel
def dot_lanes(a: AnyArray, start_a: int, b: AnyArray, start_b: int, size: int) -> float:
    """Dot product of `size` elements from two arrays, a multiple of the lanes of both."""
    lanes: int = lanes_of(a)
    s0 = zero_lanes(a)
    s1 = zero_lanes(a)
    s2 = zero_lanes(a)
    s3 = zero_lanes(a)
    whole = size - size % (4 * lanes)
    for p in range(0, whole, 4 * lanes):
        i, j = start_a + p, start_b + p
        s0 = multiply_add(load_lanes(a, i), load_lanes(b, j), s0)
        s1 = multiply_add(load_lanes(a, i + lanes), load_lanes(b, j + lanes), s1)
        s2 = multiply_add(load_lanes(a, i + 2 * lanes), load_lanes(b, j + 2 * lanes), s2)
        s3 = multiply_add(load_lanes(a, i + 3 * lanes), load_lanes(b, j + 3 * lanes), s3)
    for p in range(whole, size, lanes):
        s0 = multiply_add(load_lanes(a, start_a + p), load_lanes(b, start_b + p), s0)
    total: float = sum_lanes(add_lanes(add_lanes(s0, s1), add_lanes(s2, s3)))
    return total


@lean_kernel
def row_dots(rows: AnyArray, x: AnyArray, dots: FloatArray) -> None:
    """Dot products of many rows with one; four rows share every load of it.

    Args:
        rows: `[K, size]`, K a multiple of four and size one of the lanes.
        x: `[size]`, of the type of `rows`.
        dots: `float64 [K]`; the lanes of each sum are added in float64.
    """
    K, size = rows.shape
    lanes: int = lanes_of(x)
    zero = zero_lanes(x)
    whole = size - size % (2 * lanes)
    for k in range(0, K, 4):
        first = k * size
        e0 = zero
        e1 = zero
        e2 = zero
        e3 = zero
        o0 = zero
        o1 = zero
        o2 = zero
        o3 = zero
        for p in range(0, whole, 2 * lanes):
            place = first + p
            even = load_lanes(x, p)
            e0 = multiply_add(load_lanes(rows, place), even, e0)
            e1 = multiply_add(load_lanes(rows, place + size), even, e1)
            e2 = multiply_add(load_lanes(rows, place + 2 * size), even, e2)
            e3 = multiply_add(load_lanes(rows, place + 3 * size), even, e3)
            odd = load_lanes(x, p + lanes)
            place += lanes
            o0 = multiply_add(load_lanes(rows, place), odd, o0)
            o1 = multiply_add(load_lanes(rows, place + size), odd, o1)
            o2 = multiply_add(load_lanes(rows, place + 2 * size), odd, o2)
            o3 = multiply_add(load_lanes(rows, place + 3 * size), odd, o3)
        if whole < size:
            place = first + whole
            even = load_lanes(x, whole)
            e0 = multiply_add(load_lanes(rows, place), even, e0)
            e1 = multiply_add(load_lanes(rows, place + size), even, e1)
            e2 = multiply_add(load_lanes(rows, place + 2 * size), even, e2)
            e3 = multiply_add(load_lanes(rows, place + 3 * size), even, e3)
        dots[k] = sum_lanes(double_lanes(add_lanes(e0, o0)))
        dots[k + 1] = sum_lanes(double_lanes(add_lanes(e1, o1)))
        dots[k + 2] = sum_lanes(double_lanes(add_lanes(e2, o2)))
        dots[k + 3] = sum_lanes(double_lanes(add_lanes(e3, o3)))


@lean_kernel
def feature_dot(x: Float32Array, weights: FloatArray) -> float:
    """Dot product in float64 of features, `float32 [d]`, with `weights`, `float64 [>= d]`."""
    lanes: int = lanes_of(weights)
    whole = x.size - x.size % lanes
    partial = zero_lanes(weights)
    for i in range(0, whole, lanes):
        partial = multiply_add(convert_lanes(x, i, weights), load_lanes(weights, i), partial)
    total: float = sum_lanes(partial)
    for i in range(whole, x.size):
        total = multiply_add(np.float64(x[i]), weights[i], total)
    return total


@lean_kernel
def copy_features(x: Float32Array, X: AnyArray, row: int) -> None:
    """Copy features, `float32 [d]`, into a row of `X`, `[rows, >= d]`, in its type."""
    lanes: int = lanes_of(X)
    whole = x.size - x.size % lanes
    place = row * X.shape[1]
    for i in range(0, whole, lanes):
        store_lanes(X, place + i, convert_lanes(x, i, X))
    for i in range(whole, x.size):
        X[row, i] = x[i]
