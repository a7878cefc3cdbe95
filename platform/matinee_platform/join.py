"""Join rewards to decisions.

Pure functions over arrays. Waiting for windows to close belongs to `learner.py`, storage to
`decision_log.py`.
"""

import numpy as np

from matinee_platform.settings import EngagementSettings
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
