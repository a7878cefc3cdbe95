"""Contexts of the service's logged decisions, the same to the bit as when they were decided.

Learning, replay and explanation read them. A bundle with a catalogue recomputes features from the
unit state as seen; a bundle without one takes the features that callers gave, as logged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.engine import catalogue_number
from matinee_platform.explain import NO_FEATURE_VERSION
from matinee_platform.learning.live_rows import LiveRows, blob_matrix
from matinee_policies.arrays import AnyArray, Float32Array, IndexArray
from matinee_policies.errors import ContextError
from matinee_policies.features import FEATURE_NAMES, FEATURE_VERSION, SLOT_FEATURE, slot_feature
from matinee_policies.records import PAD, ContextBatch


class LiveContexts(Protocol):
    """Turns logged decisions back into what the policy of their arm saw."""

    @property
    def dimension(self) -> int:
        """Features of a candidate, `d`."""

    def check(self, rows: LiveRows) -> None:
        """Refuse rows of other features or of another catalogue.

        Raises:
            ContextError: naming what was found.
        """

    def contexts(self, rows: LiveRows, *, with_features: bool = True) -> ContextBatch:
        """Contexts of `n` decisions."""

    def shown(self, rows: LiveRows) -> Float32Array:
        """Features of the items shown, with the slot that each took, `float32 [n, L, d]`."""


@dataclass(frozen=True, slots=True)
class CatalogueContexts:
    """Contexts over a catalogue.

    Attributes:
        builder: of the arm.
    """

    builder: ContextBuilder

    @property
    def dimension(self) -> int:
        """See `LiveContexts`."""
        return len(FEATURE_NAMES)

    def check(self, rows: LiveRows) -> None:
        """See `LiveContexts`."""
        _check_version(rows.feature_version, FEATURE_VERSION, "feature")
        _check_version(rows.catalogue_version, catalogue_number(self.builder.items), "catalogue")

    def contexts(self, rows: LiveRows, *, with_features: bool = True) -> ContextBatch:
        """See `LiveContexts`."""
        return self.builder.build(
            rows.state(), rows.candidates, rows.scores, with_features=with_features
        )

    def shown(self, rows: LiveRows) -> Float32Array:
        """See `LiveContexts`; a feature is of one candidate alone, so the others are not read."""
        positions = rows.positions()
        at = np.where(positions == PAD, 0, positions)
        scores = np.where(
            positions == PAD, np.float32(0.0), np.take_along_axis(rows.scores, at, axis=1)
        )
        # An empty slot ends a slate as padding ends a list of candidates.
        features = self.builder.features(rows.state(), rows.slate, np.ascontiguousarray(scores))
        features[:, :, SLOT_FEATURE] = slot_feature(rows.slate.shape[1])
        features[rows.slate == PAD] = 0.0
        return features


class GivenBuilder(Protocol):
    """Builds contexts from features that callers gave."""

    @property
    def dimension(self) -> int:
        """Numbers that callers give for each item, `d`."""

    def build(
        self, candidates: IndexArray, scores: Float32Array, features: Float32Array
    ) -> ContextBatch:
        """Contexts of `n` pages, the same to the bit whatever the batch."""


@dataclass(frozen=True, slots=True)
class CallerContexts:
    """Contexts over features that callers gave with their candidates.

    Attributes:
        builder: of the arm, the one that it decides with.
    """

    builder: GivenBuilder

    @property
    def dimension(self) -> int:
        """See `LiveContexts`."""
        return self.builder.dimension

    def check(self, rows: LiveRows) -> None:
        """See `LiveContexts`."""
        _check_version(rows.feature_version, NO_FEATURE_VERSION, "feature")

    def contexts(self, rows: LiveRows, *, with_features: bool = True) -> ContextBatch:
        """See `LiveContexts`; what the caller gave is there, whether or not it is read."""
        return self.builder.build(rows.candidates, rows.scores, self._features(rows))

    def shown(self, rows: LiveRows) -> Float32Array:
        """See `LiveContexts`; a caller's feature does not know its slot."""
        positions = rows.positions()
        shown: Float32Array = self._features(rows)[np.arange(len(rows))[:, None], positions]
        shown[positions == PAD] = 0.0
        return shown

    def _features(self, rows: LiveRows) -> Float32Array:
        return logged_features(rows.features, candidates=rows.candidates, dimension=self.dimension)


def logged_features(
    blobs: Sequence[bytes | None] | AnyArray, *, candidates: IndexArray, dimension: int
) -> Float32Array:
    """Features from their bytes, `float32 [n, K, d]`, zero at padding.

    Args:
        blobs: bytes of `float32 [K, d]`, of each decision's own `K`.
        candidates: `int32 [n, K]`.
        dimension: `d`.

    Raises:
        ContextError: if a decision has no features, or another number of them.
    """
    n, K = candidates.shape
    own = (candidates != PAD).sum(axis=1)
    found: list[bytes] = []
    for blob, size in zip(blobs, own.tolist(), strict=True):
        if blob is None or len(blob) % (4 * dimension) or len(blob) < 4 * dimension * size:
            got = "none" if blob is None else f"{len(blob)} bytes"
            raise ContextError(
                f"a logged decision of {size} candidates must hold float32 features of "
                f"{dimension} columns, got {got}"
            )
        found.append(blob)
    flat = blob_matrix(found, "features", "<f4", fill=0, width=K * dimension)
    features: Float32Array = flat.reshape(n, K, dimension)
    return features


def _check_version(logged: AnyArray, here: int, name: str) -> None:
    wrong = logged != here
    if wrong.any():
        raise ContextError(
            f"logged decisions must be of {name} version {here}, got {logged[wrong][0]}"
        )
