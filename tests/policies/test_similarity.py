import numpy as np
import pytest

from matinee_policies.arrays import AnyArray
from matinee_policies.records import PAD
from matinee_policies.similarity import STEP, TILE, cosines, cosines_reference, gather_tile
from matinee_policies.testing_laws import plain_cosine


def unit_vectors(rows: int, features: int, *, seed: int = 0) -> AnyArray:
    return to_unit(np.random.default_rng(seed).normal(size=(rows, features)))


def to_unit(vectors: AnyArray) -> AnyArray:
    unit: AnyArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def compiled_cosines(candidates: AnyArray, table: AnyArray, item: int) -> AnyArray:
    """Cosines of up to `TILE` candidates with an item."""
    steps = -(-table.shape[1] // STEP)
    order = np.full(TILE, PAD, dtype=np.int32)
    order[: len(candidates)] = np.arange(len(candidates))
    rows = np.zeros((TILE, steps * STEP), dtype=table.dtype)
    block = np.full((steps, STEP, TILE), np.nan, dtype=table.dtype)
    gather_tile(candidates, order, 0, table, rows, block)
    vector = np.zeros((steps, STEP), dtype=table.dtype)
    vector.reshape(-1)[: table.shape[1]] = table[item]
    found = np.full(TILE, np.nan, dtype=table.dtype)
    cosines(block, vector, found)
    assert (found[len(candidates) :] == 0).all()
    return found[: len(candidates)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("features", [1, 7, 8, 20, 64])
def test_tiles_equal_their_twin_to_the_last_bit(features: int, dtype: type) -> None:
    table: AnyArray = unit_vectors(60, features).astype(dtype)
    table[3] = 0.0
    for size in (1, 9, TILE):
        candidates = np.random.default_rng(size).permutation(60)[:size].astype(np.int32)
        candidates[size - size // 3 :] = PAD
        vectors = np.where((candidates == PAD)[:, None], dtype(0.0), table[candidates])
        np.testing.assert_array_equal(
            compiled_cosines(candidates, table, 11), cosines_reference(vectors, table[11])
        )


def test_the_oracle_in_plain_python_gives_the_same_bits() -> None:
    table = unit_vectors(30, 20).astype(np.float32)
    found = cosines_reference(table, table[4])
    assert found.tolist() == [plain_cosine(row, table[4].tolist()) for row in table.tolist()]


@pytest.mark.parametrize("features", [2, 16, 64, 300])
def test_single_precision_keeps_its_bound(features: int) -> None:
    """At most (m + 2) 2^-24 from the exact cosine of the same vectors."""
    table = unit_vectors(200, features, seed=features).astype(np.float32)
    # Alike vectors have the largest sums.
    table[100:] = table[100:] * 0.1 + table[0]
    table = to_unit(table.astype(np.float64)).astype(np.float32)
    exact = table.astype(np.float64) @ table[0].astype(np.float64)
    error = np.abs(cosines_reference(table, table[0]) - exact).max()
    assert 0.0 < error <= (features + 2) * 2.0**-24
