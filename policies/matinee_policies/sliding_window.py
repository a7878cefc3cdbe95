"""Ridge regression on the rows of the last days only, as pure functions on arrays.

With the newest day T seen so far and a window of W days, the rows are those of days above T - W:

    V = l2 I + sum x_n x_n'      b = sum x_n r_n      theta = V^-1 b
    value(x) = x' theta          width(x) = sqrt(x' V^-1 x)

(Cheung, Simchi-Levi and Zhu 2019, "Learning to optimize under non-stationarity",
algorithm 1, with one time step per day.)

Sums are kept per day, in a ring, and a day that leaves the window is dropped whole: nothing is ever
subtracted, so nothing drifts. Within a day rows are added in the canonical order of the log, one by
one, so batches leave no trace; shards would cost 64 times the memory of `W d (d + 2)` numbers,
so, unlike with other learners, a day cannot be split over workers. Every sum is float64.
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import BoolArray, Float32Array, FloatArray, Int64Array
from matinee_policies.compiled import kernel
from matinee_policies.feature_checks import check_dimension, check_shown, check_sums
from matinee_policies.forgetting import NO_DAY, days_of
from matinee_policies.inverse_root import inverse_root
from matinee_policies.linear import RidgeState, solution
from matinee_policies.records import OutcomeBatch


@dataclass(frozen=True, slots=True)
class WindowSums:
    """What has been observed in the last `W` days; day t is at place t mod W.

    Attributes:
        gram: sum of x x' of each day, `float64 [W, d, d]`.
        moments: sum of x times reward of each day, `float64 [2, W, d]`: of first components, and of
            later ones, kept apart so that the order in which the two arrive leaves no trace.
        days: day at each place, `int64 [W]`; `NO_DAY` where it holds nothing.
        newest: newest day of any slate; `NO_DAY` at first.
        rows: items whose features were ever added.
        expired: items of slates whose day had left the window when the outcome came, not learned.
    """

    gram: FloatArray
    moments: FloatArray
    days: Int64Array
    newest: int
    rows: int
    expired: int

    @classmethod
    def empty(cls, dimension: int, *, window: int) -> "WindowSums":
        """Nothing observed yet; a window of so many days, at least 1."""
        return cls(
            gram=np.zeros((window, dimension, dimension)),
            moments=np.zeros((2, window, dimension)),
            days=np.full(window, NO_DAY, dtype=np.int64),
            newest=NO_DAY,
            rows=0,
            expired=0,
        )


def window_accumulate(sums: WindowSums, outcomes: OutcomeBatch) -> WindowSums:
    """Add one matured component of many slates, and drop the days that leave the window.

    The first component of a slate adds its features and its rewards, a later one its rewards only.
    A row of an older day than others before it enters the sums of its own day, if that day is in
    the window still.

    Args:
        sums: of a `d`-dimensional regression.
        outcomes: `d`-dimensional, with days; slots without an item are ignored, but their slate's
            day moves the window.

    Returns:
        New sums; adding the same rows in any number of calls gives the same bits.

    Raises:
        ContextError: if days are missing, or features of a shown slot are not finite or have
            another dimension, or sums overflow.
    """
    check_dimension(outcomes.features, sums.gram.shape[1])
    check_shown(outcomes)
    days = days_of(outcomes)
    gram, moments, own_days = sums.gram.copy(), sums.moments.copy(), sums.days.copy()
    added, expired = _add_rows(
        np.require(outcomes.features, requirements=["C", "W"]),
        np.require(outcomes.rewards, requirements=["C", "W"]),
        np.require(outcomes.shown, requirements=["C", "W"]),
        np.require(days, requirements=["C", "W"]),
        0 if outcomes.first else 1,
        sums.newest,
        gram,
        moments,
        own_days,
    )
    check_sums(outcomes, moments)
    return WindowSums(
        gram=gram,
        moments=moments,
        days=own_days,
        newest=max(sums.newest, int(days.max(initial=NO_DAY))),
        rows=sums.rows + (added if outcomes.first else 0),
        expired=sums.expired + expired,
    )


def window_accumulate_reference(sums: WindowSums, outcomes: OutcomeBatch) -> WindowSums:
    """The same sums, one slate at a time: the readable twin of `window_accumulate`."""
    gram, moments, own_days = sums.gram.copy(), sums.moments.copy(), sums.days.copy()
    window = len(own_days)
    newest, rows, expired = sums.newest, sums.rows, sums.expired
    for n, day in enumerate(days_of(outcomes).tolist()):
        X = outcomes.features[n, outcomes.shown[n]].astype(np.float64)
        newest = max(newest, day)
        gone = own_days <= newest - window
        gram[gone], moments[:, gone], own_days[gone] = 0.0, 0.0, NO_DAY
        if day <= newest - window:
            expired += len(X)
        elif len(X):
            own_days[day % window] = day
            gram[day % window] += outcomes.first * X.T @ X
            part = 0 if outcomes.first else 1
            moments[part, day % window] += X.T @ outcomes.rewards[n, outcomes.shown[n]]
            rows += outcomes.first * len(X)
    return WindowSums(gram, moments, own_days, newest, rows, expired)


def window_solve(sums: WindowSums, *, l2: float) -> RidgeState:
    """Solve for the inverse and theta by Cholesky's factorisation.

    Args:
        sums: what has been observed.
        l2: weight of the prior, above 0.

    Raises:
        ContextError: if the prior is lost in rounding (`inverse_root.py`).
    """
    dimension = sums.gram.shape[1]
    V = l2 * np.eye(dimension)
    b = np.zeros(dimension)
    for place in np.argsort(sums.days, kind="stable"):
        V += sums.gram[place]
        b += sums.moments[0, place] + sums.moments[1, place]
    half = inverse_root(V, l2=l2)
    return solution(half, b)


@kernel
def _add_rows(
    features: Float32Array,
    rewards: FloatArray,
    shown: BoolArray,
    days: Int64Array,
    part: int,
    newest: int,
    gram: FloatArray,
    moments: FloatArray,
    own_days: Int64Array,
) -> tuple[int, int]:
    """Add rows to the sums of their days, in order; gives the items added and expired."""
    d = features.shape[2]
    window = own_days.shape[0]
    x = np.empty(d)
    added = 0
    expired = 0
    for n in range(features.shape[0]):
        if days[n] > newest:
            newest = days[n]
            for place in range(window):
                if own_days[place] != NO_DAY and own_days[place] <= newest - window:
                    own_days[place] = NO_DAY
                    for i in range(d):
                        moments[0, place, i] = 0.0
                        moments[1, place, i] = 0.0
                        for j in range(d):
                            gram[place, i, j] = 0.0
        place = days[n] % window
        for slot in range(features.shape[1]):
            if not shown[n, slot]:
                continue
            if days[n] <= newest - window:
                expired += 1
                continue
            added += 1
            own_days[place] = days[n]
            for i in range(d):
                x[i] = features[n, slot, i]
            for i in range(d):
                moments[part, place, i] += x[i] * rewards[n, slot]
            if part == 0:
                for i in range(d):
                    for j in range(d):
                        gram[place, i, j] += x[i] * x[j]
    return added, expired
