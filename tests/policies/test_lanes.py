from fractions import Fraction

import numpy as np
import pytest

from matinee_policies.arrays import AnyArray
from matinee_policies.compiled import kernel
from matinee_policies.lanes import (
    LANE_BYTES,
    add_lanes,
    aligned_zeros,
    convert_lanes,
    double_lanes,
    lanes_of,
    load_lanes,
    multiply_add,
    spread_lanes,
    store_lanes,
    sum_eight,
    sum_lanes,
    zero_lanes,
)


@kernel
def _walk(a: AnyArray, b: AnyArray, out: AnyArray) -> int:
    """Row 0: a b + a; row 1: a[2] + b; row 2: the sum of a, and zeros."""
    lanes: int = lanes_of(a)
    store_lanes(out, 0, multiply_add(load_lanes(a, 0), load_lanes(b, 1), load_lanes(a, 0)))
    store_lanes(out, lanes, add_lanes(spread_lanes(a, 2), load_lanes(b, 0)))
    store_lanes(out, 2 * lanes, zero_lanes(a))
    out[2, 0] = sum_lanes(load_lanes(a, 0))
    return lanes


@kernel
def _convert(a: AnyArray, out: AnyArray) -> None:
    store_lanes(out, 0, convert_lanes(a, 1, out))


@pytest.mark.parametrize(("dtype", "count"), [(np.float32, 16), (np.float64, 8)])
def test_lanes_do_what_numpy_does(dtype: type, count: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, count + 1)).astype(dtype)
    out: AnyArray = np.full((3, count), 7.0, dtype)
    assert _walk(a, b, out) == count
    for lane in range(count):
        # One rounding: the exact value, rounded once.
        exact = Fraction(float(a[lane])) * Fraction(float(b[lane + 1])) + Fraction(float(a[lane]))
        assert (
            abs(Fraction(float(out[0, lane])) - exact)
            <= abs(exact) * Fraction(float(np.finfo(dtype).eps)) / 2
        )
    np.testing.assert_array_equal(out[1], a[2] + b[:count])
    halves = a[:count]
    while len(halves) > 1:
        halves = halves[: len(halves) // 2] + halves[len(halves) // 2 :]
    assert out[2, 0] == halves[0]
    assert not out[2, 1:].any()


@pytest.mark.parametrize("given", [np.float32, np.float64])
@pytest.mark.parametrize(("wanted", "count"), [(np.float32, 16), (np.float64, 8)])
def test_lanes_are_converted_with_one_rounding(given: type, wanted: type, count: int) -> None:
    a: AnyArray = np.random.default_rng(1).normal(size=17).astype(given)
    out: AnyArray = np.zeros(count, wanted)
    _convert(a, out)
    np.testing.assert_array_equal(out, a[1 : count + 1].astype(wanted))


@kernel
def _sum_rows(a: AnyArray, out: AnyArray) -> None:
    """The sums of eight rows of a vector each."""
    lanes: int = lanes_of(a)
    sums = sum_eight(
        double_lanes(load_lanes(a, 0)),
        double_lanes(load_lanes(a, lanes)),
        double_lanes(load_lanes(a, 2 * lanes)),
        double_lanes(load_lanes(a, 3 * lanes)),
        double_lanes(load_lanes(a, 4 * lanes)),
        double_lanes(load_lanes(a, 5 * lanes)),
        double_lanes(load_lanes(a, 6 * lanes)),
        double_lanes(load_lanes(a, 7 * lanes)),
    )
    store_lanes(out, 0, sums)


@pytest.mark.parametrize(("dtype", "count"), [(np.float32, 16), (np.float64, 8)])
def test_sums_of_eight_vectors_stay_apart(dtype: type, count: int) -> None:
    """Whole numbers add up exactly, in any order."""
    rows: AnyArray = np.random.default_rng(2).integers(-99, 99, size=(8, count)).astype(dtype)
    out = np.full(8, np.nan)
    _sum_rows(rows, out)
    np.testing.assert_array_equal(out, rows.sum(axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 8, 200])
def test_aligned_zeros_start_a_cache_line(dtype: type, size: int) -> None:
    for _ in range(5):
        zeros = aligned_zeros(size, np.empty(0, dtype))
        assert zeros.shape == (size,)
        assert zeros.dtype == dtype
        assert not zeros.any()
        assert zeros.ctypes.data % LANE_BYTES == 0
