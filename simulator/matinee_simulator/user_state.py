"""The latent state of simulated users: a struct of arrays, one row per user.

Nothing here may reach a policy. `simulation.py` keeps it private, `oracle.py` reads it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matinee_policies.arrays import BoolArray, Float32Array, FloatArray, IndexArray, UInt64Array
from matinee_simulator.population import Population

NEVER = -1
"""Stands for "no visit yet"."""


class UserState(NamedTuple):
    """Latent state of `n` users; `G` topics, `C` impressions remembered.

    Memory per user: `4 (d + G) + 6 C` bytes and about 84 more; 1.8 KB at the defaults.

    Attributes:
        numbers: who the users are, `uint64 [n]`.
        taste: taste vectors as of `taste_day`, `float32 [n, d]`.
        taste_day: `int32 [n]`; it stays the day of arrival where tastes do not drift.
        rating_bias: b_u in stars, `float32 [n]`.
        watch_bias: b_u', `float32 [n]`.
        leave_frailty: f_u, `float32 [n]`.
        return_frailty: phi_u, `float32 [n]`.
        arrival: day of the first visit, `int32 [n]`.
        satiation: h as of `satiation_day`, `float32 [n, G]`.
        satiation_day: `int32 [n]`.
        shown_item: ring of impressions not clicked, `int32 [n, C]`.
        shown_day: their days, `int16 [n, C]`.
        shown_place: where the next impression goes, `int32 [n]`.
        goodwill: S, `float64 [n]`.
        sessions: sessions that have ended, `int32 [n]`.
        last_visit: day of the last visit, `NEVER` before the first, `int32 [n]`.
        churned: whether the user never comes back, `bool [n]`.
        browsing: whether the user is in a session now, `bool [n]`.
        pages: pages of the last session, `int32 [n]`.
        clicks: clicks of the last session, `int32 [n]`.
        satisfaction: sum of y over them, `float64 [n]`.
        depth: ranks examined on the last page, `int32 [n]`.
    """

    numbers: UInt64Array
    taste: Float32Array
    taste_day: IndexArray
    rating_bias: Float32Array
    watch_bias: Float32Array
    leave_frailty: Float32Array
    return_frailty: Float32Array
    arrival: IndexArray
    satiation: Float32Array
    satiation_day: IndexArray
    shown_item: IndexArray
    shown_day: NDArray[np.int16]
    shown_place: IndexArray
    goodwill: FloatArray
    sessions: IndexArray
    last_visit: IndexArray
    churned: BoolArray
    browsing: BoolArray
    pages: IndexArray
    clicks: IndexArray
    satisfaction: FloatArray
    depth: IndexArray


CHANGING = (
    "satiation",
    "satiation_day",
    "shown_item",
    "shown_day",
    "shown_place",
    "goodwill",
    "sessions",
    "last_visit",
    "churned",
    "browsing",
    "pages",
    "clicks",
    "satisfaction",
    "depth",
)
"""Fields of `UserState` that change as days go by."""

DRIFTING = ("taste", "taste_day")
"""Fields that change as well where tastes drift."""


def fresh_state(population: Population, *, topics: int, capacity: int, start_day: int) -> UserState:
    """State of users before their first visit.

    Args:
        population: who they are.
        topics: number of topics, `G`.
        capacity: impressions remembered per user, `C`.
        start_day: first day of the simulation; arrival days count from it.
    """
    n = len(population)
    drifts = population.parameters.taste_drift > 0
    return UserState(
        numbers=population.users.astype(np.uint64),
        taste=population.taste.copy() if drifts else population.taste,
        taste_day=(population.arrival_day + start_day).astype(np.int32),
        rating_bias=population.rating_bias,
        watch_bias=population.watch_bias,
        leave_frailty=population.leave_frailty,
        return_frailty=population.return_frailty,
        arrival=(population.arrival_day + start_day).astype(np.int32),
        satiation=np.zeros((n, topics), dtype=np.float32),
        satiation_day=_whole(n, 0),
        shown_item=np.full((n, capacity), -1, dtype=np.int32),
        shown_day=np.zeros((n, capacity), dtype=np.int16),
        shown_place=_whole(n, 0),
        goodwill=np.zeros(n),
        sessions=_whole(n, 0),
        last_visit=_whole(n, NEVER),
        churned=np.zeros(n, dtype=np.bool_),
        browsing=np.zeros(n, dtype=np.bool_),
        pages=_whole(n, 0),
        clicks=_whole(n, 0),
        satisfaction=np.zeros(n),
        depth=_whole(n, 0),
    )


def _whole(n: int, value: int) -> IndexArray:
    return np.full(n, value, dtype=np.int32)
