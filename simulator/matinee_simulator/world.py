"""The world: items and a pool of real users, with a truth fitted on real ratings.

The truth is a biased matrix factorization r_ui = mu + b_u + b_i + p_u . q_i of the ratings.
Relevance is x_ui = (b_i + p_u . q_i - m) / s, with mean 0 and sd 1 over all pairs of users and
items; appeal c_i says how much more an item is clicked than its ratings and its age explain
(`appeal.py`). Simulated users are drawn from the pool by `population.py`.
"""

import dataclasses
from pathlib import Path
from typing import Any, Self

import numpy as np

from matinee_policies.array_file import content_digest, read_arrays, write_arrays
from matinee_policies.arrays import AnyArray, Float32Array, FloatArray, IndexArray, Int64Array
from matinee_policies.candidates.biased_als import BiasedALSConfig, BiasedFactors, fit_biased_als
from matinee_policies.catalogue import Catalogue, similarity_embeddings
from matinee_policies.errors import DataError
from matinee_policies.interactions import Interactions
from matinee_policies.philox import stream_key
from matinee_simulator.appeal import age_columns, appeal_gap, first_rated
from matinee_simulator.draws import normals

_LEAST_ITEMS = 20
_LEAST_USERS = 2

_DIMENSIONS = {
    "item_rows": ("M",),
    "quality": ("M",),
    "item_factors": ("M", "d"),
    "appeal": ("M",),
    "topics": ("M", "G"),
    "similarity": ("M", "m"),
    "popularity": ("M",),
    "user_factors": ("U", "d"),
    "user_bias": ("U",),
    "user_counts": ("U",),
    "rating_levels": ("R",),
    "rating_cuts": ("R - 1",),
}

_SCALARS = ("relevance_mean", "relevance_sd", "rating_noise")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class World:
    """The known truth about `M` items and a pool of `U` real users.

    Attributes:
        item_rows: rows of the items in the catalogue that the world was built from, ascending,
            `int32 [M]`.
        quality: (b_i - m) / s, `float32 [M]`; relevance is quality + taste . factors.
        item_factors: q, `float32 [M, d]`.
        appeal: c, mean 0 and sd 1, `float32 [M]`; > 0 promises more than the item holds.
        topics: g, genres as vectors of length 1 or 0, `float32 [M, G]`.
        similarity: e, vectors of length 1 or 0 for redundancy within a slate, `float32 [M, m]`.
        popularity: number of ratings, >= 1, `int64 [M]`.
        user_factors: p of the real users, `float32 [U, d]`; taste is p / s.
        user_bias: b_u in stars, `float32 [U]`.
        user_counts: ratings of each real user, >= 1, `int64 [U]`.
        rating_levels: the ratings that occur, ascending, `float32 [R]`.
        rating_cuts: scores between them, in stars above the global mean, `float64 [R - 1]`.
        relevance_mean: m, in stars.
        relevance_sd: s, in stars, > 0.
        rating_noise: sd of a rating around the truth, in stars.

    Raises:
        DataError: the fields do not fit together, or hold NaN or infinity.
    """

    item_rows: IndexArray
    quality: Float32Array
    item_factors: Float32Array
    appeal: Float32Array
    topics: Float32Array
    similarity: Float32Array
    popularity: Int64Array
    user_factors: Float32Array
    user_bias: Float32Array
    user_counts: Int64Array
    rating_levels: Float32Array
    rating_cuts: FloatArray
    relevance_mean: float
    relevance_sd: float
    rating_noise: float

    def __post_init__(self) -> None:
        sizes = {"R - 1": self.rating_levels.size - 1}
        for name, dimensions in _DIMENSIONS.items():
            array: AnyArray = getattr(self, name)
            expected = tuple(
                sizes.setdefault(dimension, array.shape[axis] if axis < array.ndim else -1)
                for axis, dimension in enumerate(dimensions)
            )
            if array.shape != expected:
                raise DataError(
                    "world",
                    rule=f"{name} must be [{', '.join(dimensions)}] = {expected}",
                    value=array.shape,
                )
            if not np.isfinite(array).all():
                raise DataError("world", rule=f"{name} must be finite")
        if not (np.isfinite(self.relevance_sd) and self.relevance_sd > 0):
            raise DataError("world", rule="relevance_sd must be > 0", value=self.relevance_sd)

    @classmethod
    def from_interactions(
        cls, catalogue: Catalogue, interactions: Interactions, *, seed: int, min_ratings: int = 5
    ) -> Self:
        """Fit the truth on ratings.

        Args:
            catalogue: items, aligned with the columns of `interactions`.
            interactions: ratings of real users.
            seed: of the fit and of the hidden part of appeal.
            min_ratings: items with fewer ratings are left out of the world.

        Raises:
            DataError: too few items or users remain, or all ratings are alike.
        """
        if len(catalogue) != interactions.n_items:
            raise DataError(
                "world",
                rule=f"catalogue must have the {interactions.n_items} items of the interactions",
                value=len(catalogue),
            )
        rows = np.flatnonzero(interactions.item_counts() >= min_ratings).astype(np.int32)
        _check_enough("items", f"with at least {min_ratings} ratings", rows.size, _LEAST_ITEMS)
        kept = interactions.subset_items(rows)
        pool = np.flatnonzero(kept.user_counts())
        _check_enough("users", "with ratings of these items", pool.size, _LEAST_USERS)
        factors = fit_biased_als(kept.matrix, BiasedALSConfig(), seed=seed)
        mean, sd = relevance_moments(
            factors.item_bias, factors.item_factors, factors.user_factors[pool]
        )
        if not sd > 0:
            raise DataError("world", rule="ratings must differ between items")
        popularity = kept.item_counts()
        levels, cuts, noise = _rating_scale(kept, factors, seed=seed)
        genres = catalogue.subset(rows).genre_vectors()
        return cls(
            item_rows=rows,
            quality=_narrow((factors.item_bias - mean) / sd),
            item_factors=_narrow(factors.item_factors),
            appeal=_narrow(
                appeal_gap(
                    popularity,
                    factors.item_bias,
                    age=age_columns(catalogue.years[rows], first_rated(kept)),
                    items=rows,
                    seed=seed,
                )
            ),
            topics=genres,
            similarity=similarity_embeddings(factors.item_factors, genres),
            popularity=popularity,
            user_factors=_narrow(factors.user_factors[pool]),
            user_bias=_narrow(factors.user_bias[pool]),
            user_counts=kept.user_counts()[pool],
            rating_levels=levels,
            rating_cuts=cuts,
            relevance_mean=mean,
            relevance_sd=sd,
            rating_noise=noise,
        )

    @property
    def n_items(self) -> int:
        """Number of items, `M`."""
        return int(self.item_rows.size)

    @property
    def n_topics(self) -> int:
        """Number of topics, `G`."""
        return int(self.topics.shape[1])

    @property
    def version(self) -> str:
        """16 hex digits that name this exact truth."""
        return content_digest(self._arrays(), self._header())

    def save(self, path: Path) -> None:
        """Write all fields to one `.npz` file."""
        write_arrays(path, kind="world", arrays=self._arrays(), header=self._header())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged or breaks a rule of the world.
        """
        arrays, header = read_arrays(path, kind="world", names=tuple(_DIMENSIONS))
        types = {name: array.dtype for name, array in arrays.items()}
        if types != _TYPES or {type(header.get(name)) for name in _SCALARS} != {float}:
            raise DataError(path, rule="must hold the fields of a world with their types")
        fields: dict[str, Any] = {**arrays, **header}
        try:
            return cls(**fields)
        except DataError as error:
            raise DataError(path, rule=f"must hold a valid world ({error})") from None

    def _arrays(self) -> dict[str, AnyArray]:
        return {name: getattr(self, name) for name in _DIMENSIONS}

    def _header(self) -> dict[str, float]:
        return {name: float(getattr(self, name)) for name in _SCALARS}


_TYPES = {
    name: np.dtype(np.float32)
    for name in _DIMENSIONS
    if name not in ("item_rows", "popularity", "user_counts", "rating_cuts")
} | {
    "item_rows": np.dtype(np.int32),
    "popularity": np.dtype(np.int64),
    "user_counts": np.dtype(np.int64),
    "rating_cuts": np.dtype(np.float64),
}


def relevance_moments(
    item_bias: AnyArray, item_factors: AnyArray, user_factors: AnyArray
) -> tuple[float, float]:
    """Mean and sd of b_i + p_u . q_i over all pairs of users and items, in closed form.

    Args:
        item_bias: b, `[M]`.
        item_factors: q, `[M, d]`.
        user_factors: p, `[U, d]`.

    Returns:
        m and s.
    """
    # b_i + p.q_i = [p, 1].[q_i, b_i]: the moments follow from those of both sides.
    items = np.column_stack([item_factors, item_bias]).astype(np.float64)
    users = np.column_stack([user_factors, np.ones(len(user_factors))]).astype(np.float64)
    mean = float(users.mean(axis=0) @ items.mean(axis=0))
    square = np.sum((users.T @ users) * (items.T @ items)) / (len(users) * len(items))
    return mean, float(np.sqrt(max(0.0, square - mean**2)))


def _rating_scale(
    ratings: Interactions, factors: BiasedFactors, *, seed: int
) -> tuple[Float32Array, FloatArray, float]:
    """Rating levels, the cut points between them and the noise of a rating around the truth.

    Cut points are set so that truth plus noise, over the observed pairs, falls into the levels as
    often as the observed ratings do.
    """
    users, items = ratings.user_rows(), ratings.matrix.indices
    truth = factors.user_bias[users] + factors.item_bias[items]
    truth = truth + np.einsum("nf,nf->n", factors.user_factors[users], factors.item_factors[items])
    observed = ratings.matrix.data.astype(np.float64) - factors.global_mean
    noise = float(np.sqrt(np.mean((observed - truth) ** 2)))
    cells = users.astype(np.uint64) * np.uint64(ratings.n_items) + items.astype(np.uint64)
    draws = normals(stream_key(seed, "world", "rating"), cells, 1)[:, 0]
    levels, counts = np.unique(ratings.matrix.data, return_counts=True)
    shares = np.cumsum(counts[:-1]) / counts.sum()
    return levels, np.quantile(truth + noise * draws, shares), noise


def _check_enough(what: str, which: str, got: int, least: int) -> None:
    if got < least:
        raise DataError("world", rule=f"needs at least {least} {what} {which}", value=got)


def _narrow(values: AnyArray) -> Float32Array:
    return np.ascontiguousarray(values, dtype=np.float32)
