"""Moments by unit: numpy and exact fractions as oracles, also where raw sums lose their digits."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee_platform.analysis.inference.moments import (
    Moments,
    cumulative,
    moments_by_group,
)
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ContextError


def assert_same(found: Moments, expected: Moments, *, rel: float = 1e-9) -> None:
    assert found.n == expected.n
    np.testing.assert_allclose(found.mean, expected.mean, rtol=rel)
    np.testing.assert_allclose(found.centred, expected.centred, rtol=rel, atol=1e-9)


def columns(seed: int, *, n: int, mean: float = 0.0) -> list[FloatArray]:
    rng = np.random.default_rng(seed)
    first = rng.normal(mean, 1.0, size=n)
    second = 0.5 * first + rng.normal(mean, 2.0, size=n)
    return [first, second, rng.poisson(3.0, size=n).astype(np.float64)]


def exact_variance(values: FloatArray) -> float:
    parts = [Fraction(value) for value in values.tolist()]
    mean = sum(parts) / len(parts)
    return float(sum((part - mean) ** 2 for part in parts) / (len(parts) - 1))


def test_equal_those_of_numpy() -> None:
    values = columns(1, n=400)
    found = Moments.of(*values)
    np.testing.assert_allclose(found.mean, np.mean(values, axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(values), rtol=1e-12)
    assert found.variance == pytest.approx(values[0].var(ddof=1), rel=1e-12)
    assert found.error2 == pytest.approx(values[0].var(ddof=1) / 400, rel=1e-12)


@pytest.mark.parametrize(("mean", "rel"), [(0.0, 1e-12), (1e6, 1e-10), (-1e9, 1e-7)])
def test_keep_their_digits_beside_a_large_mean(mean: float, rel: float) -> None:
    values = mean + np.random.default_rng(2).normal(size=1_000)
    expected = exact_variance(values)
    looks = np.arange(values.size) // 100
    by_look = moments_by_group([values], looks, groups=10)
    shifted = values - mean
    for found in (
        Moments.of(values),
        cumulative(by_look)[-1],
        Moments.from_sums(
            values.size,
            np.array([shifted.sum()]),
            np.array([[(shifted * shifted).sum()]]),
            shift=np.array([mean]),
        ),
    ):
        assert found.variance == pytest.approx(expected, rel=rel)
        assert found.value == pytest.approx(values.mean(), rel=1e-14)


def test_many_units_of_one_group_keep_their_digits() -> None:
    # A running sum of 3e14 rounds each unit; the second pass takes back what it lost.
    values = 1e9 + np.random.default_rng(6).normal(size=300_000)
    apart = values - 1e9
    (found,) = moments_by_group([values], np.zeros(values.size, dtype=np.int64), groups=1)
    assert found.value == pytest.approx(1e9 + apart.mean(), abs=2e-7, rel=0)
    assert found.variance == pytest.approx(apart.var(ddof=1), rel=1e-11)


def test_raw_sums_equal_the_units_where_the_mean_is_small() -> None:
    values = np.array(columns(3, n=300))
    found = Moments.from_sums(300, values.sum(axis=1), values @ values.T)
    assert_same(found, Moments.of(*values))
    constant = Moments.from_sums(3, np.array([0.3]), np.array([[0.03 - 1e-17]]))
    assert constant.variance == 0.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(0, 2**31))
def test_merge_as_if_taken_together(sizes: list[int], seed: int) -> None:
    parts = [columns(seed + k, n=size, mean=10.0 * k) for k, size in enumerate(sizes)]
    running = cumulative([Moments.of(*part) for part in parts])
    for k, found in enumerate(running):
        together = [np.concatenate(column) for column in zip(*parts[: k + 1], strict=True)]
        assert_same(found, Moments.of(*together))


def test_by_group_equal_those_of_each_group() -> None:
    values = columns(4, n=500, mean=50.0)
    group = np.random.default_rng(4).integers(-1, 6, size=500)
    found = moments_by_group(values, group, groups=7)
    assert len(found) == 7
    for k in range(6):
        assert_same(found[k], Moments.of(*(column[group == k] for column in values)))
    assert found[6].n == 0
    assert np.isnan(found[6].mean).all()


def test_maps_and_selections_are_those_of_the_units() -> None:
    values = np.array(columns(5, n=60))
    matrix, offset = np.array([[1.0, -2.0, 0.5], [0.0, 0.0, 3.0]]), np.array([7.0, -1.0])
    found = Moments.of(*values).mapped(matrix, offset)
    assert_same(found, Moments.of(*(matrix @ values + offset[:, None])))
    assert_same(Moments.of(*values).select(2, 0), Moments.of(values[2], values[0]))


def test_too_few_units_have_no_variance() -> None:
    for n in (0, 1):
        found = Moments.of(np.ones(n))
        assert np.isnan([found.variance, found.error2, found.covariance[0, 0]]).all()
    assert Moments.of(np.ones(1)).value == 1.0
    assert np.isnan(Moments.of(np.ones(0)).value)


def test_bad_columns_are_refused() -> None:
    with pytest.raises(ContextError, match=r"got nan in row 1 of column 0 \(2 of 3\)"):
        Moments.of(np.array([1.0, np.nan, np.inf]))
    with pytest.raises(ContextError, match=r"columns must be \[2\] each, got \[3\] for column 1"):
        Moments.of(np.ones(2), np.ones(3))
    with pytest.raises(ContextError, match="at least one column"):
        Moments.of()
    with pytest.raises(ContextError, match="equal columns, got 1 and 2"):
        Moments.of(np.ones(2)).merged(Moments.of(np.ones(2), np.ones(2)))
    with pytest.raises(ContextError, match=r"got 3, \[1\] and \[2, 2\]"):
        Moments(3, np.ones(1), np.ones((2, 2)))
    with pytest.raises(ContextError, match="below 2, got 2 numbers up to 2"):
        moments_by_group([np.ones(2)], np.array([0, 2]), groups=2)
