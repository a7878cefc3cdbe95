"""The records that policies take and give: contexts, slates, outcomes.

All are batches of arrays with a leading dimension `B` (a live request is `B = 1`), frozen, and
refuse arrays that do not fit together. Dimensions: `B` decisions, `K` candidates, `L` slots,
`d` features, `M` items of the catalogue, `m` dimensions of an embedding.
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    UInt8Array,
)
from matinee_policies.errors import ContextError

PAD = -1
"""Marks an empty place among candidates (right of the real ones) or in a slate."""

SHARDS = 64
"""Learners sum over this many fixed shards of units, added in shard order."""


@dataclass(frozen=True, slots=True)
class ContextBatch:
    """What a policy sees of `B` decisions.

    Attributes:
        candidates: catalogue rows, `int32 [B, K]`; `PAD` fills a row from the right.
        features: `float32 [B, K, d]`, finite; rows of padding are ignored.
        scores: score of the candidate source in (0, 1), `float32 [B, K]`.
        embeddings: similarity vector of every item of the catalogue, `float32 [M, m]`; rows have
            length one, or zero for an item about which nothing is known.
    """

    candidates: IndexArray
    features: Float32Array
    scores: Float32Array
    embeddings: Float32Array

    def __post_init__(self) -> None:
        _check(self.candidates, "candidates", np.int32, 2)
        _check(self.features, "features", np.float32, 3)
        _check(self.scores, "scores", np.float32, 2)
        _check(self.embeddings, "embeddings", np.float32, 2)
        if self.features.shape[:2] != self.candidates.shape:
            raise ContextError(
                f"features must be [B, K, d] with [B, K] = {self.candidates.shape}, "
                f"got {self.features.shape}"
            )
        if self.scores.shape != self.candidates.shape:
            raise ContextError(
                f"scores must have the shape of candidates {self.candidates.shape}, "
                f"got {self.scores.shape}"
            )

    def __len__(self) -> int:
        return int(self.candidates.shape[0])


@dataclass(frozen=True, slots=True)
class SlateBatch:
    """Slates chosen for `B` decisions, with the exact probability of each choice.

    Attributes:
        positions: index into the decision's candidates of the item at each slot, `int32 [B, L]`;
            `PAD` where candidates ran out.
        items: catalogue rows of the same items, `int32 [B, L]`.
        propensities: P(item at slot l | context, items at slots < l), `float64 [B, L]`, in (0, 1];
            1 where the slot is padding.
    """

    positions: IndexArray
    items: IndexArray
    propensities: FloatArray

    def __len__(self) -> int:
        return int(self.positions.shape[0])


@dataclass(frozen=True, slots=True)
class OutcomeBatch:
    """One matured reward component of `n` slates, ready to be learned once.

    Attributes:
        component: name of the reward component, e.g. `"engagement"`.
        first: whether this is the first component of these slates to mature: it brings the
            features into the statistics; later components only add their reward.
        features: of the items shown, slot feature included, `float32 [n, L, d]`.
        rewards: weighted reward of each slot in value units, `float64 [n, L]`, finite where shown.
        shown: which slots held an item, `bool [n, L]`.
        propensities: as logged, `float64 [n, L]`.
        shards: shard of the unit, `uint8 [n]`, below `SHARDS`.

    Rows must come in the canonical order of the log (day, page, unit), so that sums do not depend
    on how the slates were batched.
    """

    component: str
    first: bool
    features: Float32Array
    rewards: FloatArray
    shown: BoolArray
    propensities: FloatArray
    shards: UInt8Array

    def __post_init__(self) -> None:
        _check(self.features, "features", np.float32, 3)
        _check(self.rewards, "rewards", np.float64, 2)
        _check(self.shown, "shown", np.bool_, 2)
        _check(self.propensities, "propensities", np.float64, 2)
        _check(self.shards, "shards", np.uint8, 1)
        shape = self.features.shape[:2]
        for name in ("rewards", "shown", "propensities"):
            if getattr(self, name).shape != shape:
                raise ContextError(
                    f"{name} must have shape {shape} like features, got {getattr(self, name).shape}"
                )
        if self.shards.shape != shape[:1]:
            raise ContextError(f"shards must have shape {shape[:1]}, got {self.shards.shape}")
        if self.shards.size and int(self.shards.max()) >= SHARDS:
            raise ContextError(f"shards must be below {SHARDS}, got {int(self.shards.max())}")
        if not np.isfinite(self.rewards[self.shown]).all():
            raise ContextError("rewards of shown slots must be finite, got NaN or infinity")

    def __len__(self) -> int:
        return int(self.features.shape[0])


def _check(array: AnyArray, name: str, dtype: type, dimensions: int) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != dimensions:
        got = (
            f"{array.dtype} with {array.ndim} dimensions"
            if isinstance(array, np.ndarray)
            else type(array).__name__
        )
        raise ContextError(
            f"{name} must be a {np.dtype(dtype).name} array with {dimensions} dimensions, got {got}"
        )
