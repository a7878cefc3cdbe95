"""Read from a log what each decision of a day earned, once all its windows have closed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.decision_log import read_parts
from matinee_platform.join import engagement_rewards, rating_values
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.log_schema import column_values
from matinee_platform.reward_settings import RewardSettings
from matinee_policies.arrays import AnyArray, BoolArray, Float32Array, FloatArray, UInt64Array

_CLICK = COMPONENTS.index("click")
_WATCH = COMPONENTS.index("watch")
_RATING = COMPONENTS.index("rating")
_RETURN = COMPONENTS.index("return_visit")


@dataclass(frozen=True, slots=True)
class DayRewards:
    """What the decisions of one day earned, `n` of them, by rising id.

    Attributes:
        ids: decision ids, rising, `uint64 [n]`.
        clicks: `bool [n, L]`.
        watch: watched fraction where clicked, `float32 [n, L]`.
        stars: rating within the window, NaN without one, `float32 [n, L]`.
        returned: whether the unit came back within the window, `bool [n]`.
    """

    ids: UInt64Array
    clicks: BoolArray
    watch: Float32Array
    stars: Float32Array
    returned: BoolArray

    def places(self, ids: UInt64Array) -> AnyArray:
        """Row of each decision, `int64 [m]`; all of them must be there."""
        return np.searchsorted(self.ids, ids)

    def total(
        self, ids: UInt64Array, rewards: RewardSettings, *, examined: FloatArray | None = None
    ) -> FloatArray:
        """Weighted sum of the components of some decisions, slot by slot, `float64 [m, L]`.

        Args:
            ids: of the decisions, `uint64 [m]`.
            rewards: weights of the components.
            examined: how often each slot is examined, `float64 [L]`; what was earned at a slot is
                then taken over this, and what the whole page earned is not.
        """
        at = self.places(ids)
        earned = engagement_rewards(self.clicks[at], self.watch[at], rewards.engagement)
        stars = self.stars[at]
        rated = ~np.isnan(stars)
        earned += np.where(rated, rating_values(np.where(rated, stars, 0.0), rewards.rating), 0.0)
        if examined is not None:
            earned /= examined
        return earned + rewards.return_visit.weight * self.returned[at][:, None]


def longest_window(rewards: RewardSettings) -> int:
    """Days after which every component that carries weight has closed."""
    return max([0, *rewards.later_windows().values()])


def read_day_rewards(
    run: Path, arm: str, *, day: int, slots: int, rewards: RewardSettings
) -> DayRewards:
    """Join the events of one day's decisions, those that came within their windows.

    Args:
        run: folder of the run.
        arm: name of the arm.
        day: of the decisions.
        slots: length of the slates.
        rewards: components, weights and windows.

    Raises:
        DataError: if the log cannot be read.
    """
    ids = [
        table["decision_id"].to_numpy()
        for table in read_parts(run, "decisions", arm, ["decision_id"], day=day)
    ]
    known = np.sort(np.concatenate([np.empty(0, dtype=np.uint64), *ids]))
    joined = DayRewards(
        ids=known,
        clicks=np.zeros((known.size, slots), dtype=np.bool_),
        watch=np.zeros((known.size, slots), dtype=np.float32),
        stars=np.full((known.size, slots), np.nan, dtype=np.float32),
        returned=np.zeros(known.size, dtype=np.bool_),
    )
    windows = {"click": 0, "watch": 0, **rewards.later_windows()}
    for later in range(longest_window(rewards) + 1):
        due = [COMPONENTS.index(name) for name, days in windows.items() if later <= days]
        for table in read_parts(run, "rewards", arm, day=day + later):
            _join(joined, table, due)
    return joined


def _join(joined: DayRewards, table: pa.Table, due: list[int]) -> None:
    """Join the events of some components; of two of one slot, the first one stands."""
    if not joined.ids.size:
        return
    events = column_values(table)
    at = np.minimum(np.searchsorted(joined.ids, events["decision_id"]), joined.ids.size - 1)
    own = joined.ids[at] == events["decision_id"]
    own &= np.isin(events["component"], due)
    component, slot, value = events["component"], events["slot"], events["value"]
    clicked = own & (component == _CLICK)
    joined.clicks[at[clicked], slot[clicked]] = True
    # Backwards, so that of several the first is written last.
    watched = np.flatnonzero(own & (component == _WATCH))[::-1]
    joined.watch[at[watched], slot[watched]] = value[watched]
    rated = np.flatnonzero(own & (component == _RATING))[::-1]
    rated = rated[np.isnan(joined.stars[at[rated], slot[rated]])]
    joined.stars[at[rated], slot[rated]] = value[rated]
    joined.returned[at[own & (component == _RETURN)]] = True


def logged_days(run: Path, arm: str) -> Iterator[int]:
    """Days on which an arm logged decisions, rising."""
    for path in sorted((run / "decisions" / arm).glob("part-*")):
        number = path.stem.removeprefix("part-")
        if number.isdigit() and path.suffix == ".arrow":
            yield int(number)
