"""A reranking policy with plain arrays, cell by cell.

Two decisions with three candidates each, two slots; what the features mean is up to you.
"""

# %%
import numpy as np

from matinee_policies import ContextBatch, LinUCB, LinUCBConfig, OutcomeBatch

contexts = ContextBatch(
    candidates=np.array([[0, 1, 2], [3, 4, 5]], dtype=np.int32),
    features=np.random.default_rng(0).random((2, 3, 4), dtype=np.float32),
    scores=np.full((2, 3), 0.5, dtype=np.float32),
    embeddings=np.eye(6, dtype=np.float32),
)
policy = LinUCB(LinUCBConfig(alpha=0.5, diversity=0.1), dimension=4)
slates = policy.decide(contexts, slots=2, keys=np.array([1, 2], dtype=np.uint64))
print("shown", slates.items.tolist(), "with probabilities", slates.propensities.round(3).tolist())

# %% [markdown]
# The probabilities are exact, slot by slot: re-scoring the slates gives the same numbers.

# %%
print("equal", (policy.propensities(contexts, slates.positions) == slates.propensities).all())

# %% [markdown]
# Somebody clicked the first item of the first slate; the policy learns from both slates.

# %%
shown = np.take_along_axis(contexts.features, slates.positions[:, :, None], axis=1)
policy.learn(
    OutcomeBatch(
        component="engagement",
        first=True,
        features=shown,
        rewards=np.array([[1.0, 0.0], [0.0, 0.0]]),
        shown=np.ones((2, 2), dtype=np.bool_),
        propensities=slates.propensities,
        shards=np.array([0, 1], dtype=np.uint8),
    )
)
print("theta", policy.theta.round(3).tolist())
