"""Made-up data that we and every peer draw alike: the same seed gives the same numbers.

Peers read this with the numpy of their own environment.
"""

from typing import Any

import numpy as np

_CATALOGUE = 5_000


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


def slates(seed: int, *, B: int, K: int, m: int) -> tuple[Any, Any, Any]:
    """Candidates of a catalogue of 5,000 items.

    Returns:
        Values `float64 [B, K]` in [0, 1); catalogue rows, distinct in a slate, `int32 [B, K]`; the
        catalogue's vectors of length one, `float32 [5000, m]`.
    """
    rng = np.random.default_rng(seed)
    values = rng.random((B, K))
    rows = np.stack([rng.choice(_CATALOGUE, K, replace=False) for _ in range(B)])
    table = np.ascontiguousarray(_unit(rng.normal(size=(_CATALOGUE, m))), dtype=np.float32)
    return values, rows.astype(np.int32), table


def _unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)
