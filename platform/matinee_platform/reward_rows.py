"""Turn what a unit did into rows of the reward log."""

from dataclasses import dataclass

import numpy as np

from matinee_platform.log_rows import COMPONENTS, WHOLE_PAGE, RewardRows
from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    IndexArray,
    Int64Array,
    UInt64Array,
)

_CLICK = COMPONENTS.index("click")
_WATCH = COMPONENTS.index("watch")
_RATING = COMPONENTS.index("rating")
_RETURN = COMPONENTS.index("return_visit")


@dataclass(frozen=True, slots=True)
class LateRatings:
    """Ratings that reach the platform after their page, `n` of them.

    Attributes:
        ids: decisions they belong to, `uint64 [n]`.
        units: `int32 [n]`.
        items: catalogue rows, `int32 [n]`.
        slots: `int16 [n]`.
        stars: `float32 [n]`.
        days: day of the page, `int64 [n]`.
    """

    ids: UInt64Array
    units: IndexArray
    items: IndexArray
    slots: AnyArray
    stars: Float32Array
    days: Int64Array


def page_rewards(ids: UInt64Array, clicks: BoolArray, watch: Float32Array, day: int) -> RewardRows:
    """A click row and a watch row for each clicked slot, by page, slot and component."""
    rows, slots = np.nonzero(clicks)
    values = np.ones((rows.size, 2), dtype=np.float32)
    values[:, 1] = watch[rows, slots]
    return RewardRows(
        decision_id=np.repeat(ids[rows], 2),
        component=np.tile(np.array([_CLICK, _WATCH], dtype=np.int8), rows.size),
        slot=np.repeat(slots.astype(np.int16), 2),
        value=values.reshape(-1),
        day=np.full(2 * rows.size, day, dtype=np.int16),
    )


def return_rewards(ids: UInt64Array, day: int) -> RewardRows:
    """A return visit for each page of the session before it."""
    return _rows(ids, _RETURN, np.full(ids.size, WHOLE_PAGE, dtype=np.int16), day, value=1.0)


def rating_rewards(ratings: LateRatings, day: int) -> RewardRows:
    """The ratings that arrive on `day`."""
    return _rows(ratings.ids, _RATING, ratings.slots, day, value=ratings.stars)


def _rows(
    ids: UInt64Array, component: int, slots: AnyArray, day: int, *, value: float | Float32Array
) -> RewardRows:
    return RewardRows(
        decision_id=ids,
        component=np.full(ids.size, component, dtype=np.int8),
        slot=slots,
        value=np.full(ids.size, value, dtype=np.float32),
        day=np.full(ids.size, day, dtype=np.int16),
    )
