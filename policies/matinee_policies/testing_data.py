"""Made-up decisions and outcomes for tests of policies."""

import numpy as np

from matinee_policies.arrays import AnyArray, UInt64Array
from matinee_policies.records import PAD, SHARDS, ContextBatch, OutcomeBatch


def example_contexts(
    seed: int, *, decisions: int, candidates: int, dimension: int, padded: bool = False
) -> ContextBatch:
    """Made-up decisions over a catalogue of 40 items; one of them has no similarity vector.

    Args:
        seed: any integer.
        decisions: `B`.
        candidates: `K`, at most 40.
        dimension: `d`.
        padded: whether rows have between 0 and `K` candidates.
    """
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(40, 6))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    embeddings[7] = 0.0
    rows = rng.permuted(np.tile(np.arange(40), (decisions, 1)), axis=1)[:, :candidates]
    if padded:
        sizes = rng.integers(0, candidates + 1, size=(decisions, 1))
        rows[np.arange(candidates) >= sizes] = PAD
    return ContextBatch(
        candidates=np.ascontiguousarray(rows, dtype=np.int32),
        features=rng.normal(size=(decisions, candidates, dimension)).astype(np.float32),
        scores=rng.uniform(0.01, 0.99, size=(decisions, candidates)).astype(np.float32),
        embeddings=embeddings.astype(np.float32),
    )


def example_outcomes(seed: int, *, slates: int, dimension: int, first: bool = True) -> OutcomeBatch:
    """Made-up outcomes of slates of 3 slots, with empty slots; `first` changes rewards only.

    Rewards are fractions in [0, 1], with some at the ends; a day has 20 slates; two policies of a
    mixture drew them.
    """
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(slates, 3, dimension)).astype(np.float32)
    shown = rng.random((slates, 3)) < 0.9
    shards = rng.integers(0, SHARDS, size=slates).astype(np.uint8)
    rewards = rng.random((2, slates, 3)) + features.sum(axis=2) * 0.1
    draws = np.random.default_rng([seed, 1])
    return OutcomeBatch(
        component="engagement" if first else "return_visit",
        first=first,
        features=features,
        rewards=rewards[0 if first else 1].clip(0.0, 1.0),
        shown=shown,
        propensities=np.ones((slates, 3)),
        shards=shards,
        items=rng.integers(0, 40, size=(slates, 3)).astype(np.int32),
        days=np.arange(slates, dtype=np.int64) // 20,
        base=draws.integers(0, 2, size=slates).astype(np.int8),
        base_propensity=draws.uniform(0.2, 0.8, size=slates),
    )


def example_keys(decisions: int) -> UInt64Array:
    """Made-up decision keys, `uint64 [decisions]`."""
    return np.random.default_rng(6).integers(0, 2**64, size=decisions, dtype=np.uint64)


def rows_of(contexts: ContextBatch, rows: AnyArray) -> ContextBatch:
    """Some decisions of a batch, by index; copies."""
    return contexts.rows(rows)


def rows_of_outcomes(outcomes: OutcomeBatch, rows: AnyArray) -> OutcomeBatch:
    """Some slates of a batch, by index; copies."""
    return outcomes.rows(rows)
