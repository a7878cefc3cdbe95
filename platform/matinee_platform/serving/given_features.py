"""Contexts from features that callers give: for arms without a catalogue.

Items are rows that the service gave to the callers' ids as they came, so the catalogue has no end
and no table. A policy that charges for redundancy measures similarity by the direction of the
features themselves; then candidates are numbered within their batch, row `b K + k` of a table of
their vectors. Without such a price, vectors have no numbers and candidates keep their rows.
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import Float32Array, IndexArray
from matinee_policies.diversity import diversity_of
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, ContextBatch

GIVEN = 0
"""Feature version of features that the caller gave."""

MOST_ITEMS = 2**31 - 1

_NO_VECTORS: Float32Array = np.zeros((MOST_ITEMS, 0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class GivenContexts:
    """Builds what a policy without catalogue sees.

    Attributes:
        dimension: numbers that callers give for each item.
        by_vectors: whether the policy measures similarity.
    """

    dimension: int
    by_vectors: bool

    def build(
        self, candidates: IndexArray, scores: Float32Array, features: Float32Array
    ) -> ContextBatch:
        """Contexts of `n` pages, the same to the bit whatever the batch.

        Args:
            candidates: rows of items, `PAD` from the right, `int32 [n, K]`.
            scores: `float32 [n, K]`, 0 at padding.
            features: `float32 [n, K, d]`, finite, 0 at padding.

        Raises:
            ContextError: if they do not fit together.
        """
        if features.shape != (*candidates.shape, self.dimension):
            raise ContextError(
                f"features must be {(*candidates.shape, self.dimension)}, got {features.shape}"
            )
        if not self.by_vectors:
            return ContextBatch(
                candidates=candidates, features=features, scores=scores, embeddings=_NO_VECTORS
            )
        numbers = np.arange(candidates.size, dtype=np.int32).reshape(candidates.shape)
        return ContextBatch(
            candidates=np.where(candidates == PAD, np.int32(PAD), numbers),
            features=features,
            scores=scores,
            embeddings=directions(features.reshape(-1, self.dimension)),
        )


def directions(features: Float32Array) -> Float32Array:
    """Features scaled to length one, `float32 [n, d]`; zero stays zero.

    Row by row in float64, the largest first, so that squares neither overflow nor vanish.
    """
    wide = features.astype(np.float64)
    largest = np.abs(wide).max(axis=1, initial=0.0, keepdims=True)
    wide /= np.where(largest > 0.0, largest, 1.0)
    squares = np.zeros(len(wide))
    # Column by column: the order of the sum does not depend on the number of rows.
    for column in range(wide.shape[1]):
        squares += wide[:, column] * wide[:, column]
    length = np.sqrt(squares)[:, None]
    scaled: Float32Array = (wide / np.where(length > 0.0, length, 1.0)).astype(np.float32)
    return scaled


def given_contexts(policy: Policy, *, dimension: int) -> GivenContexts:
    """What builds the contexts of a policy.

    Args:
        policy: of the arm.
        dimension: numbers that callers give for each item.

    Raises:
        ConfigError: if the policy reads what only a catalogue has.
    """
    members = [policy, *getattr(policy, "bases", ())]
    by_vectors = False
    for one in members:
        diversity = diversity_of(getattr(one.config, "diversity", 0.0))
        caps = getattr(one.config, "caps", None)
        if caps is not None and (caps.aspect or caps.creator):
            raise ConfigError("caps need a catalogue: items without one have no genres or creators")
        if diversity.price > 0.0 and diversity.kind not in ("mmr", "dpp"):
            raise ConfigError(
                f"diversity {diversity.kind!r} needs a catalogue: items without one have no genres"
            )
        by_vectors = by_vectors or diversity.price > 0.0
    own = [one for one in members if getattr(one.config, "form", "shared") != "shared"]
    if by_vectors and own:
        raise ConfigError(
            f"form {getattr(own[0].config, 'form', '')!r} and diversity do not go together without "
            "a catalogue"
        )
    return GivenContexts(dimension, by_vectors)
