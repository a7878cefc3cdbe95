"""Moments of users who were played, with standard errors over users."""

from collections.abc import Sequence

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray
from matinee_policies.errors import ConfigError
from matinee_simulator.calibration.moment_names import (
    DEPTHS,
    FOLLOW_DAYS,
    RETURN_DAYS,
    days_needed,
    parsed,
)
from matinee_simulator.rollout.estimate import Estimate, mean_of, ratio_of
from matinee_simulator.rollout.played import Played

_MISSING = Estimate(float("nan"), float("nan"))


def played_moments(played: Played, names: Sequence[str]) -> dict[str, Estimate]:
    """Moments of a rollout in which everyone arrives on day 0.

    Args:
        played: a rollout with its sessions.
        names: of moments.

    Returns:
        The moments by name, NaN where nothing tells them.

    Raises:
        ConfigError: a name is not known, or the rollout is too short for it.
    """
    return {name: _moment(played, name) for name in names}


def _moment(played: Played, name: str) -> Estimate:
    kind, number = parsed(name)
    if played.days < days_needed(name):
        raise ConfigError(f"{name} needs {days_needed(name)} days, got {played.days}")
    if kind in ("examined", "slot_ctr"):
        if number > played.slot_impressions.size:
            raise ConfigError(f"{name} must speak of one of {played.slot_impressions.size} slots")
        counts = played.slot_examined if kind == "examined" else played.slot_clicks
        return share_of(int(counts[number - 1]), int(played.slot_impressions[number - 1]))
    match kind:
        case "ctr":
            return ratio_of(_wide(played.user_clicks), _wide(played.user_impressions))
        case "ctr_examined":
            return ratio_of(_wide(played.user_clicks), _wide(played.user_examined))
        case "leave":
            return leave_hazard(played.sessions.user, played.sessions.pages, number)
        case "leave_unclicked":
            none = played.sessions.first_page_clicks == 0
            return leave_hazard(played.sessions.user[none], played.sessions.pages[none], 1)
        case "return_slope":
            first = np.unique(played.sessions.user, return_index=True)[1]
            back = back_soon(played.visits[played.sessions.user[first]])
            return return_slope(played.sessions.pages[first] + 1, back)
        case "return_day":
            return mean_of(_wide(played.visits[:, number]))
        case "once_within":
            return mean_of(_wide(played.visits[:, :number].sum(axis=1) == 1))
        case _:
            return return_after(played.visits, np.full(len(played.visits), played.days), number)


def share_of(counted: int, among: int) -> Estimate:
    """A share with its binomial standard error.

    Example:
        >>> share_of(1, 4)
        Estimate(value=0.25, error=0.21650635094610965)
    """
    if among == 0:
        return _MISSING
    share = counted / among
    return Estimate(share, float(np.sqrt(share * (1.0 - share) / among)))


def leave_hazard(users: IndexArray, depths: IndexArray, depth: int) -> Estimate:
    """P(a session ends at `depth` | it comes so far), its error clustered by user.

    Args:
        users: rows of users, `int32 [S]`.
        depths: depth of each session, `int32 [S]`.
        depth: from 1.
    """
    reached = depths >= depth
    size = int(users.max()) + 1 if users.size else 0
    ended = np.bincount(users, weights=depths == depth, minlength=size)
    came = np.bincount(users, weights=reached, minlength=size)
    return ratio_of(_wide(ended), _wide(came))


def back_soon(visits: BoolArray) -> BoolArray:
    """Whether each user came back within `RETURN_DAYS`, `bool [n]`.

    Args:
        visits: who is active on which day since the first one, `bool [n, days]`.
    """
    return np.asarray(visits[:, 1 : RETURN_DAYS + 1].any(axis=1))


def return_slope(depths: AnyArray, back: BoolArray) -> Estimate:
    """Slope of the share that is back over the depth of the first session, by least squares.

    One point per depth of `DEPTHS`, all with the same weight, as for published curves.

    Args:
        depths: of first sessions, of different users, `[n]`; below `DEPTHS` they do not count.
        back: whether the user came back within `RETURN_DAYS`, `bool [n]`.

    Returns:
        The slope per unit of depth with its binomial error; NaN if a depth has no users.
    """
    capped = np.minimum(depths, DEPTHS[-1])
    x = np.array(DEPTHS, dtype=np.float64)
    pull = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    value, variance = 0.0, 0.0
    for weight, depth in zip(pull.tolist(), DEPTHS, strict=True):
        group = back[capped == depth]
        share = share_of(int(group.sum()), int(group.size))
        value += weight * share.value
        variance += (weight * share.error) ** 2
    return Estimate(value, float(np.sqrt(variance)))


def returned_by_depth(depths: AnyArray, back: BoolArray) -> list[Estimate]:
    """The shares that `return_slope` fits a line to."""
    capped = np.minimum(depths, DEPTHS[-1])
    groups = [back[capped == depth] for depth in DEPTHS]
    return [share_of(int(group.sum()), int(group.size)) for group in groups]


def return_after(visits: BoolArray, watched: AnyArray, number: int) -> Estimate:
    """Share of the `number`-th active days that another follows within `FOLLOW_DAYS`.

    Of those within `FOLLOW_DAYS` of the first visit: logs and simulations of any length then speak
    of the same days.

    Args:
        visits: who is active on which day since the first one, `bool [n, days]`.
        watched: days for which each user is watched, `[n]`.
        number: from 1.
    """
    horizon = 2 * FOLLOW_DAYS + 1
    visits, watched = visits[:, :horizon], np.minimum(watched, min(horizon, visits.shape[1]))
    counts = np.cumsum(visits, axis=1)
    has = counts[:, -1] >= number
    at = np.argmax(counts >= number, axis=1)
    known = has & (at + FOLLOW_DAYS < watched)
    rows, days = np.flatnonzero(known), at[known]
    last = np.minimum(days + FOLLOW_DAYS, visits.shape[1] - 1)
    return mean_of(_wide(counts[rows, last] > number))


def combined(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of independent estimates of one figure.

    Example:
        >>> combined([Estimate(1.0, 3.0), Estimate(3.0, 4.0)])
        Estimate(value=2.0, error=2.5)
    """
    values = np.array([estimate.value for estimate in estimates])
    errors = np.array([estimate.error for estimate in estimates])
    return Estimate(float(values.mean()), float(np.sqrt((errors**2).sum()) / values.size))


def over_worlds(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of one figure over independent worlds, with the error that their spread shows.

    Worlds differ beyond the luck of their users: each has its own fit, appeal and ratings. With
    few worlds the spread is uncertain itself, so the error is at least that of the users.

    Example:
        >>> over_worlds([Estimate(1.0, 0.5), Estimate(5.0, 0.5)])
        Estimate(value=3.0, error=2.0)
    """
    within = combined(estimates)
    between = mean_of(np.array([estimate.value for estimate in estimates])).error
    return within if np.isnan(between) else Estimate(within.value, max(between, within.error))


def _wide(values: AnyArray) -> FloatArray:
    return np.asarray(values, dtype=np.float64)
