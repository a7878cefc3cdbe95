"""What a rollout leaves behind: users, sessions, exposure, and the figures that follow."""

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
from matinee_policies.errors import ConfigError
from matinee_simulator.rollout.estimate import Estimate, mean_of, ratio_of


@dataclass(frozen=True, eq=False, kw_only=True)
class Sessions:
    """One row per session, by user, then day.

    Attributes:
        user: the user, `int32 [S]`.
        day: day of the run, `int32 [S]`.
        pages: pages shown, `int32 [S]`.
        impressions: items shown, `int32 [S]`.
        examined: items examined, `int32 [S]`.
        clicks: `int32 [S]`.
        first_page_clicks: clicks on the first page, `int32 [S]`.
        last_page_clicks: clicks on the page after which the user left, `int32 [S]`.
        satisfaction: sum of y over the clicks, `float32 [S]`.
        watched: sum of watched fractions over the clicks, `float32 [S]`.
        goodwill: S after the session, `float32 [S]`.
    """

    user: IndexArray
    day: IndexArray
    pages: IndexArray
    impressions: IndexArray
    examined: IndexArray
    clicks: IndexArray
    first_page_clicks: IndexArray
    last_page_clicks: IndexArray
    satisfaction: Float32Array
    watched: Float32Array
    goodwill: Float32Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Played:
    """`n` users over `days` days.

    Per-user arrays serve paired standard errors, as in
    `paired_difference(a.active_on(28), b.active_on(28))`.

    Attributes:
        ranker: its name.
        days: days played.
        arrival: day of the first visit, `int32 [n]`; may lie after the last day.
        visits: who visits on which day, `bool [n, days]`.
        user_sessions: sessions of each user, `int32 [n]`.
        user_pages: likewise, `int32 [n]`.
        user_impressions: likewise, `int32 [n]`.
        user_examined: likewise, `int32 [n]`.
        user_clicks: likewise, `int32 [n]`.
        user_satisfaction: sum of y over the user's clicks, `float64 [n]`.
        user_watched: sum of watched fractions, `float64 [n]`.
        exposure: times each item was examined, `int64 [M]`.
        slot_impressions: items shown by slot, `int64 [L]`.
        slot_examined: items examined by slot, `int64 [L]`.
        slot_clicks: clicks by slot, `int64 [L]`.
        ild: mean over slates of the mean over pairs of 1 - e_i . e_j (the world's embeddings).
        sessions: one row per session; without rows if they were not kept.
        seconds: CPU seconds in the compiled rollout.
    """

    ranker: str
    days: int
    arrival: IndexArray
    visits: BoolArray
    user_sessions: IndexArray
    user_pages: IndexArray
    user_impressions: IndexArray
    user_examined: IndexArray
    user_clicks: IndexArray
    user_satisfaction: FloatArray
    user_watched: FloatArray
    exposure: Int64Array
    slot_impressions: Int64Array
    slot_examined: Int64Array
    slot_clicks: Int64Array
    ild: float
    sessions: Sessions
    seconds: float

    def active_on(self, after: int) -> FloatArray:
        """Whether each user is active `after` days after arrival; NaN if the run ends before.

        Args:
            after: days, 0 to `days - 1`.

        Returns:
            0, 1 or NaN, `float64 [n]`.

        Raises:
            ConfigError: the run is too short for any user.
        """
        return _shifted(self.visits, self.arrival, after)

    def smoothed_on(self, after: int) -> FloatArray:
        """Mean of `active_on` over the days before, on and after, `float64 [n]`."""
        days = [_shifted(self.visits, self.arrival, day) for day in range(after - 1, after + 2)]
        return np.asarray(sum(days) / 3.0)

    def day_share(self, after: int) -> Estimate:
        """Classic D_k: share of users active on day `after` since arrival."""
        values = self.active_on(after)
        return mean_of(values[~np.isnan(values)])

    def smoothed(self, after: int) -> Estimate:
        """D_k as the mean of the days k - 1, k and k + 1."""
        values = self.smoothed_on(after)
        return mean_of(values[~np.isnan(values)])

    def sessions_per_user(self) -> Estimate:
        """Sessions over the run, per user who arrived."""
        return mean_of(self._of_arrived(self.user_sessions))

    def clicks_per_user(self) -> Estimate:
        """Clicks over the run, per user who arrived."""
        return mean_of(self._of_arrived(self.user_clicks))

    def ctr(self) -> Estimate:
        """Clicks per item shown."""
        return ratio_of(self._of_arrived(self.user_clicks), self._of_arrived(self.user_impressions))

    def ctr_examined(self) -> Estimate:
        """Clicks per item examined."""
        return ratio_of(self._of_arrived(self.user_clicks), self._of_arrived(self.user_examined))

    def satisfaction_per_click(self) -> Estimate:
        """Mean y of the clicks."""
        return ratio_of(
            self._of_arrived(self.user_satisfaction), self._of_arrived(self.user_clicks)
        )

    def gini(self) -> float:
        """Gini coefficient of `exposure`, over all items."""
        return gini(self.exposure)

    def coverage(self) -> float:
        """Share of the items that were examined at least once."""
        return float((self.exposure > 0).mean())

    def _of_arrived(self, values: AnyArray) -> FloatArray:
        """Values of the users who arrived within the run."""
        return values[self.arrival < self.days].astype(np.float64)


def gini(counts: Int64Array) -> float:
    """Gini coefficient of counts: 0 if all are equal, near 1 if one holds all; NaN of nothing.

    Example:
        >>> gini(np.array([0, 0, 0, 8]))
        0.75
    """
    total = float(counts.sum())
    if not total > 0:
        return float("nan")
    ranks = np.arange(1, counts.size + 1)
    return float((2 * ranks - counts.size - 1) @ np.sort(counts) / (counts.size * total))


def _shifted(visits: BoolArray, arrival: IndexArray, after: int) -> FloatArray:
    """Visits `after` days after arrival, NaN beyond the last day."""
    days = visits.shape[1]
    if not 0 <= after < days:
        raise ConfigError(f"a run of {days} days knows of days 0 to {days - 1}, got day {after}")
    day = arrival + after
    known = day < days
    if not known.any():
        raise ConfigError(
            f"a run of {days} days is too short for day {after}: no user arrives by day "
            f"{days - 1 - after}"
        )
    seen = visits[np.arange(arrival.size), np.minimum(day, days - 1)]
    return np.where(known, seen, np.nan)
