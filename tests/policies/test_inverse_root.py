"""Inverses beside exact rational arithmetic: right to the digits promised, or refused."""

from fractions import Fraction

import numpy as np
import pytest

from matinee_policies import ContextBatch, ContextError, OutcomeBatch, build_policy
from matinee_policies.inverse_root import MOST_ROUNDING, inverse_root
from matinee_policies.value_policy import ValuePolicy

KINDS: tuple[tuple[str, dict[str, str]], ...] = (
    ("lin_ucb", {"form": "shared"}),
    ("lin_ucb", {"form": "disjoint"}),
    ("lin_ucb", {"form": "hybrid"}),
    ("discounted_lin_ucb", {}),
    ("sliding_window_lin_ucb", {}),
)


def row_outcomes(X: np.ndarray) -> OutcomeBatch:
    """One shown item 0 per row, all on day 0, with reward 0."""
    n = len(X)
    return OutcomeBatch(
        component="engagement",
        first=True,
        features=X[:, None, :].astype(np.float32),
        rewards=np.zeros((n, 1)),
        shown=np.ones((n, 1), dtype=np.bool_),
        propensities=np.ones((n, 1)),
        shards=np.zeros(n, dtype=np.uint8),
        items=np.zeros((n, 1), dtype=np.int32),
        days=np.zeros(n, dtype=np.int64),
    )


def one_candidate(x: np.ndarray) -> ContextBatch:
    return ContextBatch(
        candidates=np.zeros((1, 1), dtype=np.int32),
        features=x.astype(np.float32)[None, None],
        scores=np.zeros((1, 1), dtype=np.float32),
        embeddings=np.zeros((1, 2), dtype=np.float32),
    )


def exact_variance(X: np.ndarray, x: np.ndarray, *, l2: float = 1.0) -> float:
    """x' (l2 I + X' X)^-1 x in fractions, by Gauss's elimination."""
    d = len(x)
    rows = [[Fraction(float(v)) for v in row] for row in X]
    right = [Fraction(float(v)) for v in x]
    A = [
        [sum((r[i] * r[j] for r in rows), Fraction(l2) * (i == j)) for j in range(d)] + [right[i]]
        for i in range(d)
    ]
    for k in range(d):
        for i in range(k + 1, d):
            share = A[i][k] / A[k][k]
            A[i] = [a - share * b for a, b in zip(A[i], A[k], strict=True)]
    solved = [Fraction(0)] * d
    for i in reversed(range(d)):
        rest = sum((A[i][j] * solved[j] for j in range(i + 1, d)), Fraction(0))
        solved[i] = (A[i][d] - rest) / A[i][i]
    return float(sum((a * b for a, b in zip(solved, right, strict=True)), Fraction(0)))


def width_of(kind: str, config: dict[str, str], X: np.ndarray, x: np.ndarray) -> float:
    policy = build_policy(kind, {**config, "alpha": 1.0, "l2": 1.0}, dimension=len(x))
    assert isinstance(policy, ValuePolicy)
    policy.learn(row_outcomes(X))
    return float(policy.values(one_candidate(x))[0, 0])


@pytest.mark.parametrize(("kind", "config"), KINDS)
def test_widths_are_right_or_refused_at_every_scale(kind: str, config: dict[str, str]) -> None:
    """At one scale all rows are accepted or all are refused: nothing is left to chance."""
    taken = {}
    for exponent in range(3, 13):
        count = 0
        for seed in range(12):
            rng = np.random.default_rng(seed)
            row = rng.uniform(0.5, 1.5, size=(1, 2)) * rng.choice([-1.0, 1.0], size=(1, 2))
            row = (row * 10.0**exponent).astype(np.float32)
            x = np.array([-row[0, 1], row[0, 0]]) / np.abs(row).max()
            x = x.astype(np.float32)
            try:
                width = width_of(kind, config, row, x)
            except ContextError:
                continue
            count += 1
            stacked = config.get("form") == "hybrid"
            exact = np.sqrt(
                exact_variance(np.tile(row, 2), np.tile(x, 2))
                if stacked
                else exact_variance(row, x)
            )
            assert abs(width - exact) <= MOST_ROUNDING * exact, (exponent, seed)
        taken[exponent] = count
    assert taken[3] == taken[4] == taken[5] == 12
    assert not any(taken[exponent] for exponent in range(7, 13))


@pytest.mark.parametrize(("kind", "config"), KINDS)
def test_one_large_feature_is_as_good_as_a_small_one(kind: str, config: dict[str, str]) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3)).astype(np.float32)
    X[:, 1] *= np.float32(1e6 if config.get("form") == "hybrid" else 1e12)
    if config.get("form") == "hybrid":
        # Its two parts are the same feature twice, which only the prior tells apart.
        X[:, 1] *= np.float32(1e-3)
    x = np.array([1.0, 0.0, 2.0], dtype=np.float32)
    stacked = config.get("form") == "hybrid"
    exact = exact_variance(np.tile(X, 2), np.tile(x, 2)) if stacked else exact_variance(X, x)
    assert width_of(kind, config, X, x) == pytest.approx(np.sqrt(exact), rel=MOST_ROUNDING)


def test_many_rows_are_no_reason_to_refuse() -> None:
    """A billion rows with a constant feature, as their sums."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(100, 32))
    X[:, 0] = 1.0
    A = np.eye(32) + 1e7 * X.T @ X
    half = inverse_root(A, l2=1.0)
    np.testing.assert_allclose(half.T @ half, np.linalg.inv(A), rtol=1e-8, atol=1e-16)


def test_a_stack_is_refused_for_one_of_its_matrices() -> None:
    good = np.eye(2) + np.outer([3.0, 1.0], [3.0, 1.0])
    bad = np.eye(2) + np.outer([3e9, 1e9], [3e9, 1e9])
    halves = inverse_root(np.stack([good, good]), l2=1.0)
    np.testing.assert_allclose(halves[1].T @ halves[1] @ good, np.eye(2), atol=1e-14)
    with pytest.raises(ContextError, match=r"of moderate size, got sums up to 9e\+18 beside l2"):
        inverse_root(np.stack([good, bad]), l2=1.0)
    for nonsense in (-good, 0.5 * np.eye(2), np.full((2, 2), np.nan)):
        with pytest.raises(ContextError, match="of moderate size"):
            inverse_root(nonsense, l2=1.0)
