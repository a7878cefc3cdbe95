"""The barriers between days: who visits today, and what a visit leaves behind."""

import numpy as np

from matinee_policies.arrays import BoolArray, FloatArray
from matinee_policies.compiled import lean_kernel
from matinee_policies.philox import uniform
from matinee_simulator.draws import moment
from matinee_simulator.retention import (
    RetentionWeights,
    churn_probability,
    churn_probability_reference,
    next_goodwill,
    return_probability,
    return_probability_reference,
    session_utility,
    session_utility_reference,
)
from matinee_simulator.season import season_reference, season_term
from matinee_simulator.user_state import UserState


@lean_kernel
def open_day(
    users: UserState, weights: RetentionWeights, key: np.uint64, day: int, visits: BoolArray
) -> None:
    """Draw who visits, and start their sessions.

    Args:
        users: latent state, changed in place.
        weights: of retention.
        key: stream of visits.
        day: the day.
        visits: receives who visits, `bool [n]`.
    """
    for unit in range(visits.shape[0]):
        visits[unit] = open_visit(users, weights, key, unit, day)


@lean_kernel
def close_day(users: UserState, weights: RetentionWeights, key: np.uint64, day: int) -> None:
    """End the sessions of `day`: goodwill moves, and some users churn for good.

    Args:
        users: latent state, changed in place.
        weights: of retention.
        key: stream of churn.
        day: the day.
    """
    for unit in range(users.last_visit.shape[0]):
        if users.last_visit[unit] == day:
            close_visit(users, weights, key, unit, day)


@lean_kernel
def open_visit(
    users: UserState, weights: RetentionWeights, key: np.uint64, unit: int, day: int
) -> bool:
    """Draw whether one user visits, and start the session; arguments as `open_day`."""
    if users.churned[unit] or day < users.arrival[unit]:
        return False
    if day > users.arrival[unit]:
        away = day - users.last_visit[unit] - 1
        season = season_term(weights.season_amplitude, weights.season_peak, day)
        inclined = users.return_frailty[unit] + season
        chance = return_probability(weights, inclined, users.goodwill[unit], away)
        if uniform(key, users.numbers[unit], moment(day, 0, 0)) >= chance:
            return False
    users.last_visit[unit] = day
    users.browsing[unit] = True
    users.pages[unit] = 0
    users.clicks[unit] = 0
    users.satisfaction[unit] = 0.0
    return True


@lean_kernel
def close_visit(
    users: UserState, weights: RetentionWeights, key: np.uint64, unit: int, day: int
) -> None:
    """End the session of one user who visited on `day`; arguments as `close_day`."""
    users.browsing[unit] = False
    users.sessions[unit] += 1
    utility = session_utility(weights, users.clicks[unit], users.satisfaction[unit])
    users.goodwill[unit] = next_goodwill(weights, users.goodwill[unit], utility)
    chance = churn_probability(weights, users.goodwill[unit], users.sessions[unit])
    users.churned[unit] = uniform(key, users.numbers[unit], moment(day, 0, 0)) < chance


def open_day_reference(
    users: UserState, weights: RetentionWeights, key: np.uint64, day: int
) -> BoolArray:
    """Plain twin of the draw of `open_day`: who visits; nothing changes."""
    away = np.maximum(day - users.last_visit - 1, 0)
    season = season_reference(weights.season_amplitude, weights.season_peak, day)
    inclined = users.return_frailty + season
    chances = return_probability_reference(weights, inclined, users.goodwill, away)
    drawn = _uniforms(users, key, day) < chances
    known = day > users.arrival
    return np.asarray(~users.churned & ((day == users.arrival) | (known & drawn)))


def close_day_reference(
    users: UserState, weights: RetentionWeights, key: np.uint64, day: int
) -> tuple[FloatArray, BoolArray]:
    """Plain twin of `close_day`: goodwill and churn after it; nothing changes."""
    visited = users.last_visit == day
    utility = session_utility_reference(weights, users.clicks, users.satisfaction)
    moved = (1 - weights.step) * users.goodwill + weights.step * utility
    goodwill = np.where(visited, moved, users.goodwill)
    chances = churn_probability_reference(weights, goodwill, users.sessions + 1)
    drawn = _uniforms(users, key, day) < chances
    return goodwill, np.where(visited, drawn, users.churned)


def _uniforms(users: UserState, key: np.uint64, day: int) -> FloatArray:
    at = np.uint64(moment(day, 0, 0))
    return np.array([uniform(key, number, at) for number in users.numbers])
