"""What drawn users think of drawn films: biases, a low-rank taste, noise, cut to half stars."""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
)

STARS = np.arange(0.5, 5.5, 0.5)

STAR_SHARES = np.array(
    [0.01359, 0.02788, 0.01776, 0.07488, 0.05504, 0.19881, 0.13027, 0.26596, 0.0848, 0.13101]
)
"""Share of each of `STARS` among the 100,836 ratings of MovieLens latest-small."""

FACTORS = 16

_USER_BIAS = 0.50
_ITEM_BIAS = 0.48
_POPULARITY_SLOPE = 0.30
_TASTE = 0.65
_NOISE = 0.74
_NOISE_SPREAD = 0.25
_CONTENT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Opinions:
    """What users would say of every film, before noise.

    Attributes:
        user_biases: `float64 [N]`, in stars.
        item_biases: `float64 [M]`, in stars.
        user_factors: `float32 [N, f]`; with `item_factors`, taste in stars.
        item_factors: `float32 [M, f]`.
    """

    user_biases: FloatArray
    item_biases: FloatArray
    user_factors: Float32Array
    item_factors: Float32Array

    def taste(self) -> Float32Array:
        """Taste of every user for every film, `float32 [M, N]`."""
        # Not a matrix product of a library: its bits may change with the number of threads.
        return np.asarray(np.einsum("mf,nf->mn", self.item_factors, self.user_factors))


def draw_opinions(
    random: np.random.Generator,
    *,
    n_users: int,
    genres: BoolArray,
    item_counts: Int64Array,
    quality: FloatArray,
) -> Opinions:
    """Draw biases and factors.

    Half of the variance of a film's factors comes from its genres; the sizes of the factors fall
    like k^-0.15. A film's bias rises with the log of its number of ratings.

    Args:
        random: generator to draw from.
        n_users: number of users.
        genres: genres of the films, `bool [M, G]`.
        item_counts: number of ratings of the films, `int64 [M]`.
        quality: shift of the bias of the films, in standard deviations, `float64 [M]`.
    """
    n_items = item_counts.size
    popularity = _standardise(np.log(item_counts))
    own = _standardise(quality + 1.5 * random.normal(size=n_items))
    loadings = random.normal(size=(genres.shape[1], FACTORS))
    content = _standardise(np.einsum("mg,gf->mf", genres.astype(np.float64), loadings))
    mixed = np.sqrt(_CONTENT_SHARE) * content + np.sqrt(1.0 - _CONTENT_SHARE) * random.normal(
        size=(n_items, FACTORS)
    )
    sizes = np.arange(1, FACTORS + 1) ** -0.15
    sizes *= _TASTE / np.sqrt((sizes**2).sum())
    return Opinions(
        user_biases=_USER_BIAS * random.normal(size=n_users),
        item_biases=_ITEM_BIAS * own + _POPULARITY_SLOPE * popularity,
        user_factors=random.normal(size=(n_users, FACTORS)).astype(np.float32),
        item_factors=(mixed * sizes).astype(np.float32),
    )


def draw_ratings(
    random: np.random.Generator, opinions: Opinions, *, users: IndexArray, items: IndexArray
) -> FloatArray:
    """Stars for each (user, item), cut so that their shares are `STAR_SHARES`, `float64 [nnz]`.

    Args:
        random: generator to draw from.
        opinions: what the users think.
        users: row of the user of each rating, `int32 [nnz]`.
        items: row of the item of each rating, `int32 [nnz]`.
    """
    taste = np.einsum("nf,nf->n", opinions.user_factors[users], opinions.item_factors[items])
    # Some users spread their ratings widely, others hardly.
    spread = np.exp(_NOISE_SPREAD * random.normal(size=opinions.user_biases.size))
    noise = _NOISE * random.normal(size=users.size)
    latent = opinions.user_biases[users] + spread[users] * (
        opinions.item_biases[items] + taste + noise
    )
    ranks = np.empty(latent.size)
    ranks[np.argsort(latent, kind="stable")] = np.arange(latent.size) + 0.5
    edges = np.cumsum(STAR_SHARES)[:-1] / STAR_SHARES.sum()
    return np.asarray(STARS[np.searchsorted(edges, ranks / latent.size)])


def _standardise(values: AnyArray) -> FloatArray:
    """Columns with mean 0 and standard deviation 1; a constant column becomes 0."""
    centred = values - values.mean(axis=0)
    deviation = np.sqrt((centred**2).mean(axis=0))
    return np.asarray(centred / np.where(deviation > 0, deviation, 1.0))
