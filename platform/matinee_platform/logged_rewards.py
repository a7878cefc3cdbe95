"""Read from a log what each decision of a day earned, once all its windows have closed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.decision_log import read_parts
from matinee_platform.join import engagement_rewards
from matinee_platform.log_schema import COMPONENTS, column_values
from matinee_platform.reward_settings import RewardSettings
from matinee_policies.arrays import AnyArray, BoolArray, Float32Array, FloatArray, UInt64Array

_CLICK = COMPONENTS.index("click")
_WATCH = COMPONENTS.index("watch")
_RETURN = COMPONENTS.index("return_visit")


@dataclass(frozen=True, slots=True)
class DayRewards:
    """What the decisions of one day earned, `n` of them, by rising id.

    Attributes:
        ids: decision ids, rising, `uint64 [n]`.
        clicks: `bool [n, L]`.
        watch: watched fraction where clicked, `float32 [n, L]`.
        returned: whether the unit came back within the window, `bool [n]`.
    """

    ids: UInt64Array
    clicks: BoolArray
    watch: Float32Array
    returned: BoolArray

    def places(self, ids: UInt64Array) -> AnyArray:
        """Row of each decision, `int64 [m]`; all of them must be there."""
        return np.searchsorted(self.ids, ids)

    def total(self, ids: UInt64Array, rewards: RewardSettings) -> FloatArray:
        """Weighted sum of the components of some decisions, slot by slot, `float64 [m, L]`."""
        at = self.places(ids)
        engagement = engagement_rewards(self.clicks[at], self.watch[at], rewards.engagement)
        return engagement + rewards.return_visit.weight * self.returned[at][:, None]


def longest_window(rewards: RewardSettings) -> int:
    """Days after which every component that carries weight has closed."""
    return rewards.return_visit.window_days if rewards.return_visit.weight > 0.0 else 0


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
        returned=np.zeros(known.size, dtype=np.bool_),
    )
    for later in range(day, day + longest_window(rewards) + 1):
        for table in read_parts(run, "rewards", arm, day=later):
            _join(joined, table, same_day=later == day)
    return joined


def _join(joined: DayRewards, table: pa.Table, *, same_day: bool) -> None:
    if not joined.ids.size:
        return
    events = column_values(table)
    at = np.minimum(np.searchsorted(joined.ids, events["decision_id"]), joined.ids.size - 1)
    own = joined.ids[at] == events["decision_id"]
    component, slot, value = events["component"], events["slot"], events["value"]
    if same_day:
        clicked = own & (component == _CLICK)
        joined.clicks[at[clicked], slot[clicked]] = True
        watched = own & (component == _WATCH)
        joined.watch[at[watched], slot[watched]] = value[watched]
    joined.returned[at[own & (component == _RETURN)]] = True


def logged_days(run: Path, arm: str) -> Iterator[int]:
    """Days on which an arm logged decisions, rising."""
    for path in sorted((run / "decisions" / arm).glob("part-*")):
        number = path.stem.removeprefix("part-")
        if number.isdigit() and path.suffix == ".arrow":
            yield int(number)
