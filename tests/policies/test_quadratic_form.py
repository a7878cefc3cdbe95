import numpy as np
import pytest

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.quadratic_form import (
    ROWS,
    blocks_size,
    copy_features,
    dot_lanes,
    feature_dot,
    fill_blocks,
    fill_products,
    fill_triangle,
    row_dots,
    row_forms,
    triangle_size,
)

TYPES = [np.float32, np.float64]


def lanes_in(dtype: type) -> int:
    return 64 // np.dtype(dtype).itemsize


def symmetric(rng: np.random.Generator, dimension: int) -> FloatArray:
    half = rng.normal(size=(dimension, dimension))
    return np.ascontiguousarray((half + half.T) / 2)


def tolerance(dimension: int, dtype: type, X: FloatArray, A: FloatArray) -> FloatArray:
    """Bound of Higham (2002, section 3.1): (terms + 4) units of rounding of the sum of moduli."""
    eps = float(np.finfo(dtype).eps) / 2
    moduli = np.einsum("ki,ij,kj->k", abs(X), abs(A), abs(X))
    bound: FloatArray = (dimension * dimension + 4) * eps * moduli
    return bound


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("dimension", [1, 7, 8, 16, 33, 64])
def test_forms_of_rows_equal_the_formula(dimension: int, dtype: type) -> None:
    rng = np.random.default_rng(dimension)
    lanes = lanes_in(dtype)
    D = -(-dimension // lanes) * lanes
    A = symmetric(rng, dimension)
    X: AnyArray = np.zeros((ROWS, D), dtype)
    X[:, :dimension] = rng.normal(size=(ROWS, dimension))
    blocks: AnyArray = np.zeros(blocks_size(D, lanes), dtype)
    fill_blocks(A, blocks)
    forms = np.full(ROWS + 3, np.nan)
    row_forms(X, blocks, forms, 2)
    exact = X[:, :dimension].astype(np.float64)
    expected = np.einsum("ki,ij,kj->k", exact, A, exact)
    assert (abs(forms[2:-1] - expected) <= tolerance(dimension, dtype, exact, A)).all()
    assert np.isnan(forms[[0, 1, -1]]).all()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("dimension", [1, 7, 8, 16, 33, 64])
def test_forms_under_many_matrices_equal_the_formula(dimension: int, dtype: type) -> None:
    rng = np.random.default_rng(dimension)
    lanes = lanes_in(dtype)
    size, D = triangle_size(dimension, lanes), -(-dimension // lanes) * lanes
    x: AnyArray = np.zeros(D, dtype)
    x[:dimension] = rng.normal(size=dimension)
    products: AnyArray = np.zeros(size + lanes, dtype)
    fill_products(x, dimension, products, 0)
    matrices = [symmetric(rng, dimension) for _ in range(3)]
    triangles: AnyArray = np.full(3 * (size + lanes), np.nan, dtype)
    for k, A in enumerate(matrices):
        padded = np.zeros((D, D))
        padded[:dimension, :dimension] = A
        fill_triangle(padded, dimension, triangles, k * (size + lanes))
    for k, A in enumerate(matrices):
        got = dot_lanes(triangles, k * (size + lanes), products, 0, size)
        exact = x[None, :dimension].astype(np.float64)
        bound = tolerance(dimension, dtype, exact, A)
        assert abs(got - (exact @ A @ exact.T).item()) <= bound[0]


def test_the_form_of_a_row_is_its_own() -> None:
    rng = np.random.default_rng(0)
    A = symmetric(rng, 16)
    X = rng.normal(size=(ROWS, 16))
    blocks = np.zeros(blocks_size(16, 8))
    fill_blocks(A, blocks)
    together, alone = np.empty(ROWS), np.empty(ROWS)
    row_forms(X, blocks, together, 0)
    for row in range(ROWS):
        only = np.zeros((ROWS, 16))
        only[0] = X[row]
        row_forms(only, blocks, alone, 0)
        assert alone[0] == together[row]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("vectors", [1, 2, 5])
@pytest.mark.parametrize("count", [4, 12])
def test_dot_products_of_many_rows_equal_a_matrix_product(
    dtype: type, vectors: int, count: int
) -> None:
    rng = np.random.default_rng(vectors)
    rows: AnyArray = rng.normal(size=(count, vectors * lanes_in(dtype))).astype(dtype)
    x: AnyArray = rng.normal(size=(rows.shape[1],)).astype(dtype)
    dots = np.full(count, np.nan)
    row_dots(rows, x, dots)
    exact_rows, exact_x = rows.astype(np.float64), x.astype(np.float64)
    expected, moduli = exact_rows @ exact_x, abs(exact_rows) @ abs(exact_x)
    assert (abs(dots - expected) <= rows.shape[1] * float(np.finfo(dtype).eps) * moduli).all()
    # The sum of a row is its own: the same in another place, among other rows.
    moved = np.full(4, np.nan)
    row_dots(np.ascontiguousarray(rows[[3, 2, 1, 3]]), x, moved)
    np.testing.assert_array_equal(moved, dots[[3, 2, 1, 3]])


@pytest.mark.parametrize("size", [1, 7, 8, 33])
def test_features_are_taken_in_whole_and_in_broken_vectors(size: int) -> None:
    rng = np.random.default_rng(size)
    features = rng.normal(size=(3, size)).astype(np.float32)
    weights = rng.normal(size=size)
    for dtype in TYPES:
        X: AnyArray = np.full((3, size + 5), 9.0, dtype)
        for row in range(3):
            got = feature_dot(features[row], weights)
            assert got == pytest.approx(features[row].astype(np.float64) @ weights, rel=1e-12)
            copy_features(features[row], X, row)
        np.testing.assert_array_equal(X[:, :size], features.astype(dtype))
        assert (X[:, size:] == 9.0).all()
