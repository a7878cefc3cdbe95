"""Made-up data that we and every peer draw alike: the same seed gives the same numbers.

Peers read this with the numpy of their own environment.
"""

from typing import Any

import numpy as np


def disjoint_rounds(seed: int, *, n: int, d: int, K: int) -> tuple[Any, Any]:
    """Rounds whose arms share one context: `float64 [n, d]` of length one, rewards `[n, K]`."""
    rng = np.random.default_rng(seed)
    contexts = _unit(rng.normal(size=(n, d)))
    truth = _unit(rng.normal(size=(K, d)))
    return contexts, contexts @ truth.T + 0.1 * rng.normal(size=(n, K))


def shared_rounds(seed: int, *, n: int, d: int, K: int) -> tuple[Any, Any]:
    """Rounds with features of every action: `float64 [n, K, d]` of length one, rewards `[n, K]`."""
    rng = np.random.default_rng(seed)
    features = _unit(rng.normal(size=(n, K, d)))
    truth = _unit(rng.normal(size=d))
    return features, features @ truth + 0.1 * rng.normal(size=(n, K))


def slates(seed: int, *, B: int, K: int, m: int) -> tuple[Any, Any]:
    """Values `float64 [B, K]` in [0, 1) and vectors of length one, `float32 [B, K, m]`."""
    rng = np.random.default_rng(seed)
    values = rng.random((B, K))
    return values, np.ascontiguousarray(_unit(rng.normal(size=(B, K, m))), dtype=np.float32)


def _unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)
