import math

import numpy as np
import pytest

from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.greedy_slates import greedy_dpp, greedy_mmr, greedy_slate_reference

GREEDY = {"mmr": greedy_mmr, "dpp": greedy_dpp}


def made_up(decisions: int, candidates: int, features: int, *, spread: float = 1.0) -> AnyArray:
    """Unit vectors around a few centres; one candidate of each decision is unknown."""
    rng = np.random.default_rng(candidates)
    centres = rng.normal(size=(5, features))
    vectors = centres[rng.integers(5, size=(decisions, candidates))]
    vectors = vectors + spread * rng.normal(size=vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors[:, 3] = 0.0
    return vectors


@pytest.mark.parametrize("kind", GREEDY)
@pytest.mark.parametrize("price", [0.0, 0.05, 1.0])
@pytest.mark.parametrize(("candidates", "features"), [(5, 3), (33, 8), (100, 64)])
def test_slates_equal_their_twin(kind: str, price: float, candidates: int, features: int) -> None:
    """Utilities to 1e-10 in double precision; single precision gives the twin's slates too."""
    rng = np.random.default_rng(0)
    vectors = made_up(20, candidates, features)
    for dtype in (np.float64, np.float32):
        table = vectors.astype(dtype)
        # Nearly equal values in half of them: all tiles are then worked on.
        values = rng.random((20, candidates)) * np.repeat([1.0, 1e-3], 10)[:, None]
        slots = min(candidates, 10)
        slates = GREEDY[kind](values, table, slots=slots, price=price)
        rows = np.arange(values.size, dtype=np.int32).reshape(values.shape)
        by_rows = GREEDY[kind](
            values, (rows, table.reshape(-1, features)), slots=slots, price=price
        )
        np.testing.assert_array_equal(slates, by_rows)
        for b in range(20):
            expected, _ = greedy_slate_reference(
                values[b], table[b], slots=slots, price=price, kind=kind
            )
            assert slates[b].tolist() == expected


def test_each_item_of_mmr_is_the_best_by_exact_cosines() -> None:
    """Of vectors in single precision, against products of their copies in double precision."""
    vectors = made_up(50, 100, 64).astype(np.float32)
    values = np.random.default_rng(1).random((50, 100))
    slates = greedy_mmr(values, vectors, slots=10, price=0.5)
    for b in range(50):
        exact = vectors[b].astype(np.float64)
        cosines = exact @ exact.T
        for slot in range(10):
            before = slates[b, :slot]
            utility = values[b] - 0.5 * cosines[:, before].max(axis=1, initial=0.0)
            utility[before] = -np.inf
            assert utility[slates[b, slot]] >= utility.max() - 1e-14


def test_dpp_maximises_the_determinant_step_by_step() -> None:
    """Against differences of the log determinant of the cosine matrix, by numpy."""
    vectors = made_up(10, 12, 20, spread=2.0)
    vectors[:, 3] = np.eye(20)[0]
    values = np.random.default_rng(2).random((10, 12))
    slates = greedy_dpp(values, vectors, slots=6, price=0.2)
    for b in range(10):
        cosines = vectors[b] @ vectors[b].T
        chosen: list[int] = []
        for slot in range(6):
            gains = [
                -math.inf
                if i in chosen
                else values[b, i]
                + 0.2 * (_log_det(cosines, [*chosen, i]) - _log_det(cosines, chosen))
                for i in range(12)
            ]
            assert slates[b, slot] == int(np.argmax(gains))
            chosen.append(int(slates[b, slot]))


def _log_det(matrix: AnyArray, rows: list[int]) -> float:
    return float(np.linalg.slogdet(matrix[np.ix_(rows, rows)])[1]) if rows else 0.0


@pytest.mark.parametrize("kind", GREEDY)
def test_bits_do_not_depend_on_the_batch_and_short_rows_are_padded(kind: str) -> None:
    table = made_up(1, 40, 8)[0].astype(np.float32)
    rng = np.random.default_rng(3)
    rows = np.array([rng.permutation(40)[:7] for _ in range(30)], dtype=np.int32)
    rows[::3, 2:] = -1
    values = rng.random((30, 7))
    slates = GREEDY[kind](values, (rows, table), slots=5, price=0.3)
    assert (slates[::3, 2:] == -1).all()
    assert (slates[::3, :2] >= 0).all()
    for b in range(30):
        alone = GREEDY[kind](values[b : b + 1], (rows[b : b + 1], table), slots=5, price=0.3)
        np.testing.assert_array_equal(alone[0], slates[b])


def test_bad_input_is_refused() -> None:
    values, vectors = np.zeros((2, 4)), np.zeros((2, 4, 3))
    rows = np.zeros((2, 4), dtype=np.int32)
    with pytest.raises(ContextError, match="slots must be a whole number >= 1, got 0"):
        greedy_mmr(values, vectors, slots=0, price=0.1)
    with pytest.raises(ConfigError, match=r"price must be >= 0, got -0\.1"):
        greedy_mmr(values, vectors, slots=2, price=-0.1)
    with pytest.raises(ContextError, match="values must be finite and within 1e\\+12, got nan"):
        greedy_mmr(np.full((2, 4), np.nan), vectors, slots=2, price=0.1)
    with pytest.raises(ContextError, match="vectors must be finite, got inf"):
        greedy_mmr(values, np.full((2, 4, 3), np.inf), slots=2, price=0.1)
    with pytest.raises(ContextError, match=r"vectors must be \[B, K, m\]"):
        greedy_dpp(values, vectors[:, :3], slots=2, price=0.1)
    with pytest.raises(ContextError, match="candidates must be -1 or below 3"):
        greedy_dpp(values, (rows + 3, np.zeros((3, 2))), slots=2, price=0.1)
    with pytest.raises(ContextError, match="candidates must be int32 of shape"):
        greedy_dpp(values, (rows[:1], np.zeros((3, 2))), slots=2, price=0.1)
