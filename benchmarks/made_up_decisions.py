"""Made-up decisions of the size of a live request, and a policy that has learned something."""

import numpy as np

from matinee_policies.arrays import UInt64Array
from matinee_policies.diversity import MMR
from matinee_policies.lin_ucb import LinUCB, LinUCBConfig
from matinee_policies.records import SHARDS, ContextBatch, OutcomeBatch

CATALOGUE = 5_000
SIMILARITY = 64
PRICE = 0.02


def contexts_of(*, decisions: int, candidates: int, dimension: int, seed: int = 0) -> ContextBatch:
    """Decisions over a catalogue of 5,000 items with vectors of 64 dimensions."""
    rng = np.random.default_rng(seed)
    items = max(CATALOGUE, candidates)
    embeddings = rng.normal(size=(items, SIMILARITY)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    first = rng.integers(0, items, size=(decisions, 1))
    rows = (first + 7 * np.arange(candidates)) % items
    shape = (decisions, candidates)
    return ContextBatch(
        candidates=np.ascontiguousarray(rows, dtype=np.int32),
        features=rng.random((*shape, dimension), dtype=np.float32),
        scores=rng.uniform(0.01, 0.99, size=shape).astype(np.float32),
        embeddings=embeddings,
    )


def keys_of(decisions: int) -> UInt64Array:
    """Keys of as many decisions."""
    return np.random.default_rng(1).integers(0, 2**64, size=decisions, dtype=np.uint64)


def learned_policy(dimension: int, *, slots: int = 10) -> LinUCB:
    """Shared LinUCB with MMR that has seen a few hundred slates."""
    policy = LinUCB(LinUCBConfig(diversity=MMR(price=PRICE)), dimension=dimension)
    rng = np.random.default_rng(2)
    n = 300
    policy.learn(
        OutcomeBatch(
            component="engagement",
            first=True,
            features=rng.random((n, slots, dimension), dtype=np.float32),
            rewards=rng.random((n, slots)),
            shown=np.ones((n, slots), dtype=np.bool_),
            propensities=np.ones((n, slots)),
            shards=rng.integers(0, SHARDS, size=n).astype(np.uint8),
        )
    )
    return policy
