"""Join rewards to decisions.

Pure functions over arrays. Waiting for windows to close belongs to `learner.py`, storage to
`decision_log.py`.
"""

import numpy as np

from matinee_platform.reward_events import Events
from matinee_platform.reward_settings import EngagementSettings, RatingSettings
from matinee_policies.arrays import BoolArray, Float32Array, FloatArray, UInt64Array


def engagement_rewards(
    clicks: BoolArray, watch: Float32Array, settings: EngagementSettings
) -> FloatArray:
    """Weighted engagement of each slot.

    Args:
        clicks: `bool [n, L]`.
        watch: watched fraction of clicked items, `float32 [n, L]`, ignored where not clicked.
        settings: weights of click and watch.

    Returns:
        `float64 [n, L]`, at most the weight; no click is an explicit zero.

    Example:
        >>> clicks = np.array([[True, False]])
        >>> watch = np.array([[0.5, np.nan]], dtype=np.float32)
        >>> engagement_rewards(clicks, watch, EngagementSettings())
        array([[0.5, 0. ]])
    """
    watched = np.where(clicks, watch, np.float32(0.0)).astype(np.float64)
    return settings.weight * (settings.click * clicks + settings.watch * watched)


def rating_values(stars: Float32Array, settings: RatingSettings) -> FloatArray:
    """Weighted value of ratings, within the weight above and below 0; same shape.

    Args:
        stars: `float32`, of any shape.
        settings: weight, neutral stars and span.

    Example:
        >>> stars = np.array([1.0, 3.0, 4.0, 5.0], dtype=np.float32)
        >>> rating_values(stars, RatingSettings(weight=0.5))
        array([-0.5 ,  0.  ,  0.25,  0.5 ])
    """
    value = (stars.astype(np.float64) - settings.neutral) / settings.span
    return settings.weight * np.clip(value, -1.0, 1.0)


def slot_values(ids: UInt64Array, shown: BoolArray, events: Events) -> Float32Array:
    """Value of each slot's event, NaN without one, `float32 [n, L]`.

    Args:
        ids: decisions, distinct, `uint64 [n]`.
        shown: which slots held an item, `bool [n, L]`.
        events: each decision and slot once; those of other decisions, or of slots that held
            nothing, are left out.

    Example:
        >>> events = Events(
        ...     np.array([9, 9, 4], dtype=np.uint64),
        ...     np.array([1, 7, 0], dtype=np.int16),
        ...     np.array([5.0, 1.0, 2.0], dtype=np.float32),
        ... )
        >>> slot_values(np.array([9], dtype=np.uint64), np.ones((1, 2), dtype=np.bool_), events)
        array([[nan,  5.]], dtype=float32)
    """
    values = np.full(shown.shape, np.nan, dtype=np.float32)
    if ids.size and len(events):
        order = np.argsort(ids)
        at = order[np.minimum(np.searchsorted(ids[order], events.ids), ids.size - 1)]
        slots = np.clip(events.slots, 0, shown.shape[1] - 1)
        own = (ids[at] == events.ids) & (slots == events.slots) & shown[at, slots]
        values[at[own], slots[own]] = events.values[own]
    return values


def event_values(
    decisions: UInt64Array, event_decisions: UInt64Array, values: FloatArray
) -> FloatArray:
    """Value of each decision's event, 0 without one.

    Args:
        decisions: decision ids, `uint64 [n]`.
        event_decisions: decision id of each event, distinct, `uint64 [e]`.
        values: value of each event, `float64 [e]`.

    Example:
        >>> ids = np.array([5, 3, 9], dtype=np.uint64)
        >>> event_values(ids, np.array([9], dtype=np.uint64), np.array([1.0]))
        array([0., 0., 1.])
    """
    joined = np.zeros(decisions.size, dtype=np.float64)
    if event_decisions.size:
        order = np.argsort(event_decisions)
        at = np.minimum(
            np.searchsorted(event_decisions[order], decisions), event_decisions.size - 1
        )
        found = event_decisions[order][at] == decisions
        joined[found] = values[order][at[found]]
    return joined
