"""Who the simulated users are: everything that is fixed about them before their first visit.

Everything about user `u` is a pure function of (seed, u), so two arms, two batches and two
processes meet the same user under the same number. Tastes are a smoothed bootstrap of the world's
real users: p = mean + sqrt(1 - v) (p_u' - mean) + sqrt(v) N(0, Cov), which keeps mean and
covariance, and gives any number of users from a few hundred.
"""

import dataclasses
import math
from typing import Self

import numpy as np

from matinee_policies.arrays import (
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.errors import ContextError
from matinee_policies.philox import stream_key
from matinee_simulator.catalogue_calendar import n_at_start
from matinee_simulator.draws import normals, uniforms
from matinee_simulator.parameters import Parameters
from matinee_simulator.world import World


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Population:
    """`n` simulated users, by number.

    Attributes:
        users: their numbers, `int64 [n]`.
        parameters: under which they were drawn.
        taste: p_u / s, so that relevance is quality + taste . factors, `float32 [n, d]`.
        rating_bias: b_u in stars, `float32 [n]`.
        watch_bias: b_u', logit of the watched fraction, `float32 [n]`.
        leave_frailty: f_u, `float32 [n]`.
        return_frailty: phi_u, of correlation `frailty_correlation` with f_u, `float32 [n]`.
        arrival_day: day of the first visit, counted from the start of the run, `int32 [n]`.
        is_new: whether nothing is known of the user before the run, `bool [n]`.
        history_length: ratings before the run, 0 for new users, `int32 [n]`.
    """

    users: Int64Array
    parameters: Parameters
    taste: Float32Array
    rating_bias: Float32Array
    watch_bias: Float32Array
    leave_frailty: Float32Array
    return_frailty: Float32Array
    arrival_day: IndexArray
    is_new: BoolArray
    history_length: IndexArray

    def __len__(self) -> int:
        return int(self.users.size)

    @classmethod
    def draw(cls, world: World, users: Int64Array, *, seed: int, parameters: Parameters) -> Self:
        """Draw the users with the given numbers.

        Args:
            world: whose real users are resampled.
            users: user numbers, >= 0, `int64 [n]`.
            seed: of the run.
            parameters: of the users.

        Raises:
            ContextError: `users` is not int64 of one dimension, or holds a negative number.
        """
        numbers = _checked(users)
        luck = uniforms(stream_key(seed, "population", "shares"), numbers, 3)
        source = _whole(luck[:, 0], world.user_bias.size)
        is_new = luck[:, 1] < parameters.new_user_share
        lengths = np.where(is_new, 0, history_lengths(world, parameters)[source])
        traits = normals(stream_key(seed, "population", "traits"), numbers, 4)
        # The second row of the Cholesky factor of [[1, rho], [rho, 1]].
        rho = parameters.frailty_correlation
        inclined = rho * traits[:, 2] + math.sqrt(1.0 - rho**2) * traits[:, 3]
        noise = normals(
            stream_key(seed, "population", "taste"), numbers, world.item_factors.shape[1]
        )
        factors = smoothed(world.user_factors, source, noise, share=parameters.bootstrap_noise)
        bias = smoothed(
            world.user_bias[:, None], source, traits[:, :1], share=parameters.bootstrap_noise
        )
        return cls(
            users=users,
            parameters=parameters,
            taste=(factors / world.relevance_sd).astype(np.float32),
            rating_bias=bias[:, 0].astype(np.float32),
            watch_bias=(parameters.watch_bias_sd * traits[:, 1]).astype(np.float32),
            leave_frailty=(parameters.leave_frailty_sd * traits[:, 2]).astype(np.float32),
            return_frailty=(parameters.return_frailty_sd * inclined).astype(np.float32),
            arrival_day=_whole(luck[:, 2], parameters.arrival_days),
            is_new=is_new,
            history_length=lengths.astype(np.int32),
        )


def smoothed(
    pool: Float32Array, source: IndexArray, noise: FloatArray, *, share: float
) -> FloatArray:
    """Rows of `pool` moved at random so that mean and covariance stay those of the pool.

    Args:
        pool: real rows, `float32 [U, k]`.
        source: which of them each user starts from, `int32 [n]`.
        noise: standard normal draws, `float64 [n, k]`.
        share: share of the variance that comes from the noise, in [0, 1].

    Returns:
        `float64 [n, k]`; each row depends on its own `source` and `noise` only.
    """
    wide = pool.astype(np.float64)
    mean = wide.mean(axis=0)
    centred = wide - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(wide))
    # The symmetric root: it does not depend on the signs of the eigenvectors.
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    moved = np.sqrt(1.0 - share) * centred[source] + mean
    # One column at a time: a matrix product would depend on the number of users.
    for column in range(root.shape[1]):
        moved += np.sqrt(share) * noise[:, column, None] * root[:, column]
    return np.asarray(moved)


def history_lengths(world: World, parameters: Parameters) -> IndexArray:
    """Length of the history of a user that starts from each real one, `int32 [U]`.

    Real counts are scaled, rounded and clipped to `[history_least, history_most]` so that their
    mean is `history_mean`, and then to half of the items there at the start.
    """
    counts = world.user_counts.astype(np.float64)
    low, high = 0.0, parameters.history_most / counts.min()
    for _ in range(60):
        scale = (low + high) / 2
        if _clipped(scale * counts, parameters).mean() < parameters.history_mean:
            low = scale
        else:
            high = scale
    most = n_at_start(world, parameters) // 2
    lengths = np.minimum(_clipped(high * counts, parameters), most)
    return np.asarray(lengths.astype(np.int32))


def _clipped(lengths: FloatArray, parameters: Parameters) -> FloatArray:
    return np.clip(np.round(lengths), parameters.history_least, parameters.history_most)


def _whole(draws: FloatArray, n: int) -> IndexArray:
    """Whole numbers below `n` from uniform draws."""
    return np.minimum((draws * n).astype(np.int32), np.int32(n - 1))


def _checked(users: Int64Array) -> UInt64Array:
    if users.ndim != 1 or users.dtype != np.int64:
        raise ContextError(
            f"users must be int64 with 1 dimension, got {users.dtype} with {users.ndim}"
        )
    if users.size and int(users.min()) < 0:
        raise ContextError(f"users must be >= 0, got {int(users.min())}")
    return users.astype(np.uint64)
