"""What the rounds of an online bandit leave behind: states to go on from, and what happened."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray, Int64Array
from matinee_policies.config import check_range, check_whole

REFRESH_EVERY = 1024
"""Updates after which an inverse is computed anew from its sums, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """What happened in `T` rounds.

    Attributes:
        actions: arm played, `int32 [T]`.
        propensities: probability of playing it given all before, `float64 [T]`, in (0, 1]; NaN
            where it has no closed form (`PosteriorDraws`).
        rewards: reward of the arm played, `float64 [T]`.
    """

    actions: IndexArray
    propensities: FloatArray
    rewards: FloatArray


@dataclass(frozen=True, slots=True)
class DisjointState:
    """Ridge regressions of `K` arms that share nothing (Li et al. 2010, algorithm 1).

    Attributes:
        inverse: A_k^-1 with A_k = l2 I + sum x x' over the rounds of arm k, `float64 [K, d, d]`.
        theta: A_k^-1 sum x r, `float64 [K, d]`.
        gram: sum x x', `float64 [K, d, d]`.
        moments: sum x r, `float64 [K, d]`.
        counts: rounds that each arm was played, `int64 [K]`.
        rounds: rounds played so far; random numbers and decay go on from here.
        l2: weight of the prior that all coefficients are 0, above 0.
        refresh_every: updates of an arm after which its inverse is computed anew from `gram`, in
            O(d^3), so that rounding cannot add up; never if 0.
    """

    inverse: FloatArray
    theta: FloatArray
    gram: FloatArray
    moments: FloatArray
    counts: Int64Array
    rounds: int
    l2: float
    refresh_every: int

    @classmethod
    def prior(
        cls, *, arms: int, dimension: int, l2: float = 1.0, refresh_every: int = REFRESH_EVERY
    ) -> Self:
        """Nothing played yet; the prior enters as its inverse."""
        _check_prior(dimension, l2=l2, refresh_every=refresh_every)
        check_whole("arms", arms, low=1)
        return cls(
            inverse=np.tile(np.eye(dimension) / l2, (arms, 1, 1)),
            theta=np.zeros((arms, dimension)),
            gram=np.zeros((arms, dimension, dimension)),
            moments=np.zeros((arms, dimension)),
            counts=np.zeros(arms, dtype=np.int64),
            rounds=0,
            l2=l2,
            refresh_every=refresh_every,
        )


@dataclass(frozen=True, slots=True)
class SharedState:
    """One ridge regression for all arms (Chu et al. 2011, algorithm 1).

    Attributes:
        inverse: A^-1 with A = l2 I + sum x x' over the rows of arms played, `float64 [d, d]`.
        theta: A^-1 sum x r, `float64 [d]`.
        gram: sum x x', `float64 [d, d]`.
        moments: sum x r, `float64 [d]`.
        rounds: rounds played so far; random numbers and decay go on from here.
        l2: weight of the prior that all coefficients are 0, above 0.
        refresh_every: rounds after which the inverse is computed anew from `gram`; never if 0.
    """

    inverse: FloatArray
    theta: FloatArray
    gram: FloatArray
    moments: FloatArray
    rounds: int
    l2: float
    refresh_every: int

    @classmethod
    def prior(cls, *, dimension: int, l2: float = 1.0, refresh_every: int = REFRESH_EVERY) -> Self:
        """Nothing played yet; the prior enters as its inverse."""
        _check_prior(dimension, l2=l2, refresh_every=refresh_every)
        return cls(
            inverse=np.eye(dimension) / l2,
            theta=np.zeros(dimension),
            gram=np.zeros((dimension, dimension)),
            moments=np.zeros(dimension),
            rounds=0,
            l2=l2,
            refresh_every=refresh_every,
        )


@dataclass(frozen=True, slots=True)
class HybridState:
    """A shared regression beside one of each of `K` arms (Li et al. 2010, algorithm 2).

    With z the `m` features whose coefficients arms share, x the `d` others, and for each arm
    A = l2 I + sum x x', B = sum x z', b = sum x r:

        A0 = l2 I + sum z z' - sum_k B_k' A_k^-1 B_k
        beta = A0^-1 (sum z r - sum_k B_k' A_k^-1 b_k)
        theta_k = A_k^-1 (b_k - B_k beta)

    Attributes:
        shared_inverse: A0^-1, `float64 [m, m]`.
        beta: `float64 [m]`.
        inverse: A_k^-1, `float64 [K, d, d]`.
        cross: A_k^-1 B_k, `float64 [K, d, m]`.
        local: A_k^-1 b_k, `float64 [K, d]`.
        shared_gram: sum z z', `float64 [m, m]`.
        shared_moments: sum z r, `float64 [m]`.
        gram: sum x x', `float64 [K, d, d]`.
        cross_gram: B_k, `float64 [K, d, m]`.
        moments: b_k, `float64 [K, d]`.
        counts: rounds that each arm was played, `int64 [K]`.
        rounds: rounds played so far; random numbers and decay go on from here.
        l2: weight of the prior that all coefficients are 0, above 0.
        refresh_every: updates of an arm after which its part, and rounds after which the shared
            part, is computed anew from the sums; never if 0.
    """

    shared_inverse: FloatArray
    beta: FloatArray
    inverse: FloatArray
    cross: FloatArray
    local: FloatArray
    shared_gram: FloatArray
    shared_moments: FloatArray
    gram: FloatArray
    cross_gram: FloatArray
    moments: FloatArray
    counts: Int64Array
    rounds: int
    l2: float
    refresh_every: int

    @classmethod
    def prior(
        cls,
        *,
        arms: int,
        dimension: int,
        shared_dimension: int,
        l2: float = 1.0,
        refresh_every: int = REFRESH_EVERY,
    ) -> Self:
        """Nothing played yet; the prior enters as its inverse."""
        _check_prior(dimension, l2=l2, refresh_every=refresh_every)
        check_whole("arms", arms, low=1)
        check_whole("shared_dimension", shared_dimension, low=1)
        d, m = dimension, shared_dimension
        return cls(
            shared_inverse=np.eye(m) / l2,
            beta=np.zeros(m),
            inverse=np.tile(np.eye(d) / l2, (arms, 1, 1)),
            cross=np.zeros((arms, d, m)),
            local=np.zeros((arms, d)),
            shared_gram=np.zeros((m, m)),
            shared_moments=np.zeros(m),
            gram=np.zeros((arms, d, d)),
            cross_gram=np.zeros((arms, d, m)),
            moments=np.zeros((arms, d)),
            counts=np.zeros(arms, dtype=np.int64),
            rounds=0,
            l2=l2,
            refresh_every=refresh_every,
        )

    @property
    def theta(self) -> FloatArray:
        """theta_k = A_k^-1 (b_k - B_k beta), `float64 [K, d]`."""
        return self.local - self.cross @ self.beta


def _check_prior(dimension: int, *, l2: float, refresh_every: int) -> None:
    check_whole("dimension", dimension, low=1)
    check_range("l2", l2, low=0, low_open=True)
    check_whole("refresh_every", refresh_every, low=0)
