"""Tastes that drift: every day each factor of a user's taste takes a random step.

    p_u <- p_u + delta sd N(0, 1)        per day since the user's arrival, and per factor

sd is that of the factor over the world's real users. A step belongs to its user, day and factor,
and the steps of days without a look at the user are taken in order when there is one: a taste is
the same to the last bit whenever and however often it was brought up to date, in every arm.
"""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray
from matinee_policies.compiled import lean_kernel
from matinee_policies.philox import stream_key
from matinee_simulator.draws import moment, normal_pair, normal_pair_reference
from matinee_simulator.parameters import Parameters
from matinee_simulator.user_state import UserState
from matinee_simulator.world import World


class TasteDrift(NamedTuple):
    """The drift of tastes, as kernels take it.

    Attributes:
        is_on: whether tastes drift at all.
        key: stream of the steps.
        step: sd of a day's step by factor, in units of `Population.taste`, `float64 [d]`.
    """

    is_on: bool
    key: np.uint64
    step: FloatArray


def taste_drift(world: World, parameters: Parameters, *, seed: int) -> TasteDrift:
    """The drift that `parameters` ask for."""
    spread = world.user_factors.std(axis=0, dtype=np.float64) / world.relevance_sd
    return TasteDrift(
        is_on=parameters.taste_drift > 0,
        key=stream_key(seed, "users", "taste"),
        step=np.ascontiguousarray(parameters.taste_drift * spread),
    )


@lean_kernel
def drift_tastes(users: UserState, drift: TasteDrift, units: IndexArray, day: int) -> None:
    """Bring the tastes of some users to `day`.

    Args:
        users: latent state, changed in place.
        drift: of tastes.
        units: indices of users, `int32 [n]`.
        day: the day; nothing happens to users whose taste is of that day or a later one.
    """
    for row in range(units.shape[0]):
        drift_taste(users, drift, units[row], day)


@lean_kernel
def drift_taste(users: UserState, drift: TasteDrift, unit: int, day: int) -> None:
    """Bring the taste of one user to `day`; arguments as `drift_tastes`."""
    if not drift.is_on or day <= users.taste_day[unit]:
        return
    for passed in range(users.taste_day[unit] + 1, day + 1):
        for f in range(0, users.taste.shape[1], 2):
            first, second = normal_pair(drift.key, users.numbers[unit], moment(passed, 0, f))
            users.taste[unit, f] = np.float32(users.taste[unit, f] + drift.step[f] * first)
            if f + 1 < users.taste.shape[1]:
                moved = users.taste[unit, f + 1] + drift.step[f + 1] * second
                users.taste[unit, f + 1] = np.float32(moved)
    users.taste_day[unit] = day


def drifted_reference(
    taste: Float32Array, drift: TasteDrift, number: int, first: int, last: int
) -> Float32Array:
    """Plain twin of `drift_taste`: a taste after the steps of days `first` to `last`."""
    for day in range(first, last + 1):
        pairs = [
            normal_pair_reference(drift.key, number, (day << 32) + f)
            for f in range(0, taste.size, 2)
        ]
        steps = np.concatenate(pairs)[: taste.size]
        taste = (taste + drift.step * steps).astype(np.float32)
    return taste
