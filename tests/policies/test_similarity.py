import math

import numpy as np
import pytest

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.redundancy_codes import CODE_DPP, CODE_MMR
from matinee_policies.redundancy_vectors import LEFT, REPEATED, SEEN, new_ledger, show, take_in
from matinee_policies.similarity import cosines_reference
from matinee_policies.testing_laws import plain_cosine
from matinee_policies.walk_arrays import NO_DOUBLES, NO_SINGLES, table


def unit_vectors(rows: int, features: int, *, seed: int = 0) -> AnyArray:
    vectors = np.random.default_rng(seed).normal(size=(rows, features))
    unit: AnyArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def compiled_redundancy(vectors: AnyArray, shown: list[int], *, code: int, step: int) -> FloatArray:
    """Redundancies given the items shown, taken in `step` at a time."""
    count, m = vectors.shape
    tables = (table(vectors), NO_DOUBLES) if vectors.dtype == np.float32 else (NO_SINGLES, vectors)
    tables = (tables[0], table(tables[1]))
    ledger = new_ledger(count, len(shown), m, code)
    ledger.notes[:, [SEEN, REPEATED]] = 0.0
    ledger.notes[:, LEFT] = 1.0
    for slot, item in enumerate(shown):
        take_in(item, item, slot, code, *tables, ledger.notes, ledger.shown)
        show(item, item, slot, code, *tables, ledger.notes, ledger.shown)
        if (slot + 1) % step == 0:
            for k in range(count):
                take_in(k, k, slot + 1, code, *tables, ledger.notes, ledger.shown)
    return np.array(
        [take_in(k, k, len(shown), code, *tables, ledger.notes, ledger.shown) for k in range(count)]
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("features", [1, 7, 8, 20, 24, 64, 100])
def test_one_cosine_equals_that_of_numpy_and_of_plain_python(features: int, dtype: type) -> None:
    vectors: AnyArray = unit_vectors(20, features).astype(dtype)
    vectors[3] = 0.0
    found = compiled_redundancy(vectors, [11], code=CODE_MMR, step=1)
    expected = cosines_reference(vectors, vectors[11])
    np.testing.assert_allclose(found, np.maximum(expected, 0.0), rtol=0, atol=1e-15 * features)
    plain = [plain_cosine(row, vectors[11].tolist()) for row in vectors.tolist()]
    np.testing.assert_allclose(expected, plain, rtol=0, atol=1e-15 * features)


@pytest.mark.parametrize("code", [CODE_MMR, CODE_DPP])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_when_a_candidate_is_brought_up_to_date(
    code: int, dtype: type
) -> None:
    """After every item, after some, or all at the end; among the items are twins."""
    vectors: AnyArray = unit_vectors(30, 20, seed=2).astype(dtype)
    vectors[4] = vectors[2]
    shown = [2, 9, 4, 17, 23, 1, 12]
    expected = compiled_redundancy(vectors, shown, code=code, step=1)
    for step in (2, 3, 10):
        found = compiled_redundancy(vectors, shown, code=code, step=step)
        np.testing.assert_array_equal(found, expected)


def test_logarithms_never_stand_in_the_wrong_order_by_more_than_the_slack() -> None:
    """Neighbours among the numbers of float64: a smaller one may not lose more than 1e-14 / 2."""
    starts = np.exp(np.random.default_rng(3).uniform(math.log(1e-6), 0.0, size=20_000))
    for start in starts.tolist():
        assert math.log(math.nextafter(start, 0.0)) <= math.log(start) + 5e-15
