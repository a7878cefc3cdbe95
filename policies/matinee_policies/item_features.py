"""What is known of each item before any unit comes: popularity, novelty, genres, embedding.

Computed once from the catalogue and the past ratings; `features.py` combines it with unit state.
"""

import functools
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from matinee_policies.array_file import content_digest, read_arrays, write_arrays
from matinee_policies.arrays import AnyArray, Float32Array, FloatArray
from matinee_policies.catalogue import Catalogue
from matinee_policies.errors import ContextError, DataError

if TYPE_CHECKING:
    from matinee_policies.interactions import Interactions

FEATURE_VERSION = 1
"""Rises when a feature's formula or place changes; logged with every decision."""

MEAN_PRIOR = 5.0
"""Ratings that the overall mean weighs in an item's shrunk mean rating."""

RESIDUAL_CLIP = 3.0
"""Standard deviations at which `popularity_residual` reaches 1."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ItemFeatures:
    """Item side of the features; `n` is an item's ratings, `N` the users, `M` the items.

    Attributes:
        popularity: sqrt(n / max n), in [0, 1], `float32 [M]`.
        popularity_residual: how much more popular an item is than its ratings explain: residual of
            log(1 + n) on the shrunk mean rating (sum + 5 mu) / (n + 5), by least squares over
            rated items, over its standard deviation, clipped at 3 and divided by 3; in [-1, 1],
            0 for an item without ratings, `float32 [M]`.
        novelty: -log2((n + 1) / (N + 1)) / log2(N + 1), in [0, 1], `float32 [M]`.
        genres: genre vectors of length one or zero, `float32 [M, G]`.
        embeddings: similarity vectors of length one or zero, `float32 [M, m]`.

    Raises:
        ContextError: the arrays do not fit together or leave their range.
    """

    popularity: Float32Array
    popularity_residual: Float32Array
    novelty: Float32Array
    genres: Float32Array
    embeddings: Float32Array

    def __post_init__(self) -> None:
        n = self.popularity.size
        low = {"popularity": 0.0, "popularity_residual": -1.0, "novelty": 0.0}
        for field in fields(self):
            array: AnyArray = getattr(self, field.name)
            shape = (n,) if field.name in low else (n, array.shape[-1] if array.ndim else 0)
            if array.dtype != np.float32 or array.shape != shape or not array.flags.c_contiguous:
                raise ContextError(
                    f"{field.name} must be a contiguous float32 array of shape {shape}, "
                    f"got {array.dtype} of shape {array.shape}"
                )
            least = low.get(field.name, -1.0)
            # Rows of length one may exceed 1 by rounding.
            if array.size and not (array.min() >= least - 1e-6 and array.max() <= 1.0 + 1e-6):
                raise ContextError(
                    f"{field.name} must be within {least:g} and 1, "
                    f"got {array.min():g} to {array.max():g}"
                )

    @classmethod
    def build(cls, catalogue: Catalogue, interactions: "Interactions") -> Self:
        """Compute from what the platform may see.

        Args:
            catalogue: the items, with embeddings.
            interactions: past ratings of the same items, in the same order.

        Raises:
            ContextError: catalogue and interactions do not hold the same items.
        """
        if not np.array_equal(catalogue.ids, interactions.item_ids):
            raise ContextError("catalogue and interactions must hold the same items in one order")
        counts = interactions.item_counts().astype(np.float64)
        sums = interactions.item_sums()
        return cls(
            popularity=np.sqrt(counts / max(counts.max(initial=0.0), 1.0)).astype(np.float32),
            popularity_residual=_popularity_residual(counts, sums).astype(np.float32),
            novelty=_novelty(counts, interactions.n_users).astype(np.float32),
            genres=catalogue.genre_vectors(),
            embeddings=np.ascontiguousarray(catalogue.embeddings),
        )

    def __len__(self) -> int:
        return int(self.popularity.size)

    @functools.cached_property
    def version(self) -> str:
        """16 hex digits that name this exact content and the feature version."""
        return content_digest(self._arrays(), {"feature_version": FEATURE_VERSION})

    def save(self, path: Path) -> None:
        """Write all fields to one `.npz` file."""
        write_arrays(
            path,
            kind="item features",
            arrays=self._arrays(),
            header={"feature_version": FEATURE_VERSION},
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged, of another feature version or breaks a rule.
        """
        names = [field.name for field in fields(cls)]
        arrays, header = read_arrays(path, kind="item features", names=names)
        if header.get("feature_version") != FEATURE_VERSION:
            raise DataError(
                path,
                rule=f"must be of feature version {FEATURE_VERSION}",
                value=header.get("feature_version"),
            )
        try:
            return cls(**arrays)
        except ContextError as error:
            raise DataError(path, rule=f"must hold valid item features ({error})") from None

    def _arrays(self) -> dict[str, AnyArray]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _popularity_residual(counts: FloatArray, sums: FloatArray) -> FloatArray:
    rated = counts > 0
    residual = np.zeros(counts.size)
    if not rated.any():
        return residual
    overall = sums.sum() / counts.sum()
    mean = (sums + MEAN_PRIOR * overall) / (counts + MEAN_PRIOR)
    x = mean[rated] - mean[rated].mean()
    y = np.log1p(counts[rated])
    y = y - y.mean()
    spread = float((x * x).sum())
    slope = float((x * y).sum()) / spread if spread > 0 else 0.0
    left = y - slope * x
    deviation = float(np.sqrt((left * left).mean()))
    if deviation > 0:
        residual[rated] = np.clip(left / deviation, -RESIDUAL_CLIP, RESIDUAL_CLIP) / RESIDUAL_CLIP
    return residual


def _novelty(counts: FloatArray, n_users: int) -> FloatArray:
    return np.asarray(1.0 - np.log2(counts + 1.0) / np.log2(max(n_users, 1) + 1.0))
