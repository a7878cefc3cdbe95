"""Small systems: against numpy, and eight at a time with the bits that each has alone."""

import numpy as np
import pytest

from matinee_policies.candidates.cholesky import (
    EIGHT,
    cholesky_solve,
    cholesky_solve_reference,
    solve_eight,
)


@pytest.mark.parametrize("size", [1, 2, 5, 17])
def test_eight_systems_have_the_bits_of_each_alone(size: int) -> None:
    rng = np.random.default_rng(size)
    roots = rng.normal(size=(EIGHT, size, size + 3))
    systems = roots @ roots.transpose(0, 2, 1)
    sides = rng.normal(size=(EIGHT, size))
    A, b = (np.moveaxis(array, 0, -1).copy(order="C") for array in (systems, sides))
    solve_eight(A, b, np.empty((size, EIGHT)), np.empty((size, EIGHT)))
    for lane in range(EIGHT):
        alone = sides[lane].copy()
        cholesky_solve(systems[lane].copy(), alone, size)
        assert b[:, lane].tobytes() == alone.tobytes()
        expected = cholesky_solve_reference(systems[lane], sides[lane])
        np.testing.assert_allclose(alone, expected, rtol=1e-8)
