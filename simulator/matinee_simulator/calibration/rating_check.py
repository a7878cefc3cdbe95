"""Do simulated ratings look like those that the world was fitted on? Checked, not fitted.

Means, spreads and levels of ratings follow from the fit of the world itself; no parameter of the
users moves them.
"""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray
from matinee_policies.interactions import Interactions
from matinee_policies.philox import stream_key
from matinee_simulator.draws import normals
from matinee_simulator.world import World

_LEAST_RATINGS = 20


class RatingMoment(NamedTuple):
    """One moment of ratings.

    Attributes:
        name: what it is.
        data: of the data.
        standard_error: of that, by the bootstrap-free formula of its kind, NaN if there is none.
        n: ratings, users or items.
        simulated: of ratings that the world draws for the same pairs of users and items.
    """

    name: str
    data: float
    standard_error: float
    n: int
    simulated: float


def rating_check(world: World, interactions: Interactions, *, seed: int) -> list[RatingMoment]:
    """Compare ratings of the data with ratings of the world for the same pairs.

    Args:
        world: fitted on `interactions`.
        interactions: all ratings of the data.
        seed: of the noise of simulated ratings.
    """
    kept = interactions.subset_items(world.item_rows)
    present = np.flatnonzero(kept.user_counts())
    place = np.zeros(kept.n_users, dtype=np.int32)
    place[present] = np.arange(present.size, dtype=np.int32)
    users, items = place[kept.user_rows()], kept.matrix.indices
    data = _moments(kept.matrix.data.astype(np.float64), users, items)
    simulated = _moments(_drawn(world, users, items, seed=seed), users, items)
    return [
        RatingMoment(name, value, error, n, simulated[name][0])
        for name, (value, error, n) in data.items()
    ]


def _drawn(world: World, users: IndexArray, items: IndexArray, *, seed: int) -> FloatArray:
    stars = world.relevance_mean + world.relevance_sd * world.quality[items].astype(np.float64)
    stars = stars + world.user_bias[users]
    stars = stars + np.einsum("nf,nf->n", world.user_factors[users], world.item_factors[items])
    cells = users.astype(np.uint64) * np.uint64(world.n_items) + items.astype(np.uint64)
    noise = normals(stream_key(seed, "calibration", "rating"), cells, 1)[:, 0]
    levels = np.searchsorted(world.rating_cuts, stars + world.rating_noise * noise)
    return np.asarray(world.rating_levels[levels], dtype=np.float64)


def _moments(
    stars: FloatArray, users: IndexArray, items: IndexArray
) -> dict[str, tuple[float, float, int]]:
    """Value, standard error and sample of each moment."""
    n = stars.size
    sd = float(stars.std())
    found = {
        "mean of ratings": (float(stars.mean()), sd / np.sqrt(n), n),
        "sd of ratings": (sd, sd / np.sqrt(2 * n), n),
    }
    for what, rows in (("users", users), ("items", items)):
        means, counts = _group_means(stars, rows)
        often = means[counts >= _LEAST_RATINGS]
        if often.size > 1:
            spread = float(often.std())
            name = f"sd of the means of {what} with {_LEAST_RATINGS} ratings or more"
            found[name] = (spread, spread / np.sqrt(2 * often.size), int(often.size))
    means, counts = _group_means(stars, items)
    if np.ptp(counts) > 0 and np.ptp(means) > 0:
        tie = float(np.corrcoef(np.log(counts), means)[0, 1])
        error = (1 - tie**2) / np.sqrt(max(means.size - 1, 1))
        found["corr(log ratings, mean) of items"] = (tie, error, int(means.size))
    return found


def _group_means(stars: FloatArray, rows: AnyArray) -> tuple[FloatArray, AnyArray]:
    counts = np.bincount(rows)
    sums = np.bincount(rows, weights=stars)
    present = counts > 0
    return np.asarray(sums[present] / counts[present]), counts[present]
