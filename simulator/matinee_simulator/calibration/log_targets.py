"""Targets from events with times: a log of sessions, or past ratings where those are visits.

A user counts for a moment only if the log goes on for as many days after the first event as the
moment needs: those who were seen for less would look like users who stayed away.
"""

from collections.abc import Callable

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray
from matinee_policies.errors import DataError
from matinee_policies.interactions import Interactions
from matinee_simulator.calibration import moments
from matinee_simulator.calibration.moment_names import DEPTHS, FOLLOW_DAYS, RETURN_DAYS
from matinee_simulator.calibration.session_log import SessionLog
from matinee_simulator.calibration.target import Target
from matinee_simulator.rollout.estimate import Estimate, mean_of

_DAY_SECONDS = 86_400.0
_LEAST_SAMPLE = 100
_TOLERANCE = 0.04
_HAZARD_TOLERANCE = 0.015
_SLOPE_TOLERANCE = 0.15
_LEAVE_PAGES = 6
_RETURN_CURVE = (1, 3, 7, 14, 28)
_ONCE_DAYS = 16
_FOLLOWED = 4
_MOST_DAYS = 60


def session_targets(log: SessionLog, *, source: str) -> tuple[Target, ...]:
    """All moments that a log of sessions tells with a sample of 100 at least.

    Args:
        log: of sessions.
        source: its name, for the targets.

    Raises:
        DataError: it tells none.
    """
    last = np.flatnonzero(np.diff(log.session, append=log.n_sessions))
    users, depths = log.user[last], log.page[last].astype(np.int32)
    if log.position is None and int(depths.min()) == 2:
        # A log that leaves out sessions of one click: click n + 1 stands for page n.
        depths = depths - 1
    found = [_leave(users, depths, page, source) for page in range(1, _LEAVE_PAGES + 1)]
    found += _clicks(log, source)
    found.append(_unclicked(log, users, depths, source))
    visits, watched = active_days(log.user, log.time)
    first_depths = depths[np.unique(users, return_index=True)[1]]
    found += _returns(visits, watched, kind="log", source=source)
    found.append(_slope(first_depths, visits, watched, source))
    targets = tuple(target for target in found if target is not None)
    if not targets:
        rule = f"must tell at least one moment with a sample of {_LEAST_SAMPLE}"
        raise DataError(source, rule=rule, value=f"{log.n_sessions} sessions")
    return targets


def rating_return_targets(interactions: Interactions, *, source: str) -> tuple[Target, ...]:
    """Moments of return from the times of ratings; none if the times do not vary.

    Ratings are no visits: many are given in one sitting, long after. Use these only where the rows
    are what users did on the day they did it.
    """
    if not np.ptp(interactions.times) > 0:
        return ()
    rated, users = np.unique(interactions.user_rows(), return_inverse=True)
    if rated.size == 0:
        return ()
    visits, watched = active_days(users.astype(np.int32), interactions.times.astype(np.float64))
    found = _returns(visits, watched, kind="ratings", source=source)
    return tuple(target for target in found if target is not None)


def active_days(users: IndexArray, times: FloatArray) -> tuple[BoolArray, IndexArray]:
    """On which days since their first event users were active.

    Args:
        users: row of the user of each event, every row from 0 on, `int32 [n]`.
        times: unix seconds, `float64 [n]`.

    Returns:
        Activity on each of the first 60 days, `bool [N, 60]`, and the whole days for which each
        user is watched, up to the last event of the log, at most 60, `int32 [N]`.
    """
    first = np.full(int(users.max()) + 1, np.inf)
    np.minimum.at(first, users, times)
    days = ((times - first[users]) // _DAY_SECONDS).astype(np.int64)
    visits = np.zeros((first.size, _MOST_DAYS), dtype=np.bool_)
    early = days < _MOST_DAYS
    visits[users[early], days[early]] = True
    watched = np.minimum((times.max() - first) // _DAY_SECONDS, _MOST_DAYS)
    return visits, watched.astype(np.int32)


def _returns(
    visits: BoolArray, watched: IndexArray, *, kind: str, source: str
) -> list[Target | None]:
    def told(name: str, need: int, value: Callable[[BoolArray], AnyArray]) -> Target | None:
        known = visits[watched >= need]
        estimate = mean_of(np.asarray(value(known), dtype=np.float64))
        return _target(name, estimate, len(known), kind=kind, source=source)

    found = [
        told(f"return_day_{day}", day + 1, lambda known, day=day: known[:, day])  # type: ignore[misc]
        for day in _RETURN_CURVE
    ]
    once = f"once_within_{_ONCE_DAYS}"
    found.append(told(once, _ONCE_DAYS, lambda known: known[:, :_ONCE_DAYS].sum(axis=1) == 1))
    horizon = 2 * FOLLOW_DAYS + 1
    for number in range(1, _FOLLOWED + 1):
        estimate = moments.return_after(visits, watched, number)
        reached = np.cumsum(visits[:, :horizon], axis=1) >= number
        last = np.argmax(reached, axis=1) + FOLLOW_DAYS
        known = reached[:, -1] & (last < np.minimum(watched, horizon))
        name = f"return_after_{number}"
        found.append(_target(name, estimate, int(known.sum()), kind=kind, source=source))
    return found


def _slope(depths: AnyArray, visits: BoolArray, watched: IndexArray, source: str) -> Target | None:
    known = watched > RETURN_DAYS
    back = moments.back_soon(visits[known])
    estimate = moments.return_slope(depths[known] + 1, back)
    least = min(int((np.minimum(depths[known] + 1, DEPTHS[-1]) == d).sum()) for d in DEPTHS)
    if least < _LEAST_SAMPLE // 4:
        return None
    return _target("return_slope", estimate, int(known.sum()), kind="log", source=source)


def _leave(users: IndexArray, depths: AnyArray, page: int, source: str) -> Target | None:
    estimate = moments.leave_hazard(users, depths, page)
    return _target(
        f"leave_{page}", estimate, int((depths >= page).sum()), kind="log", source=source
    )


def _clicks(log: SessionLog, source: str) -> list[Target | None]:
    if log.position is None or log.clicked is None:
        return []
    shown = np.bincount(log.position)
    clicked = np.bincount(log.position, weights=log.clicked, minlength=shown.size)
    return [
        _target(
            f"slot_ctr_{slot}",
            moments.share_of(int(clicked[slot]), int(shown[slot])),
            int(shown[slot]),
            kind="log",
            source=source,
        )
        for slot in range(1, min(shown.size, 11))
    ]


def _unclicked(log: SessionLog, users: IndexArray, depths: AnyArray, source: str) -> Target | None:
    if log.clicked is None:
        return None
    on_first = log.clicked & (log.page == 1)
    none = np.bincount(log.session, weights=on_first, minlength=log.n_sessions) == 0
    if not none.any():
        return None
    estimate = moments.leave_hazard(users[none], depths[none], 1)
    return _target("leave_unclicked", estimate, int(none.sum()), kind="log", source=source)


def _target(name: str, estimate: Estimate, n: int, *, kind: str, source: str) -> Target | None:
    if n < _LEAST_SAMPLE or not np.isfinite(estimate.value):
        return None
    floors = {"leave": _HAZARD_TOLERANCE, "return_slope": _SLOPE_TOLERANCE * abs(estimate.value)}
    stem = "leave" if name.startswith("leave") else name
    tolerance = floors.get(stem, _TOLERANCE * abs(estimate.value))
    return Target(
        name=name,
        value=float(estimate.value),
        tolerance=max(tolerance, 1e-4),
        n=n,
        standard_error=float(estimate.error) if np.isfinite(estimate.error) else None,
        kind=kind,
        source=source,
    )
