"""What a log of actions could have shown at each slot: its offered items, less those above.

A page that is `distinct` shows no item twice, so that what stands above a slot is out for it.
"""

import numpy as np

from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray
from matinee_policies.records import PAD


def choices(log: ActionLog, batch: ActionBatch) -> FloatArray:
    """How many items could be shown at each slot, `float64 [n, L]`."""
    if batch.offered is None:
        count = np.full(batch.actions.shape, float(len(log.items)))
    else:
        offered = (batch.offered != PAD).sum(axis=1, keepdims=True).astype(np.float64)
        count = np.repeat(offered, batch.slots, axis=1)
    if log.distinct:
        count -= np.cumsum(batch.shown, axis=1) - batch.shown
    return count


def could_show(log: ActionLog, batch: ActionBatch, unoffered: AnyArray | None = None) -> BoolArray:
    """Which items could be shown at each slot, `bool [n, L, K]`.

    Args:
        log: whose part it is.
        batch: part of the log.
        unoffered: which items could be at each position where the log does not say what was
            offered, `bool [K, P]`; None for all.
    """
    n, slots = batch.actions.shape
    if batch.offered is not None:
        # The padding falls on a column of its own.
        offered = np.zeros((n, len(log.items) + 1), dtype=bool)
        np.put_along_axis(offered, batch.offered, True, axis=1)
        could = np.repeat(offered[:, None, :-1], slots, axis=1)
    elif unoffered is not None:
        could = unoffered.T[batch.positions]
    else:
        could = np.ones((n, slots, len(log.items)), dtype=bool)
    if log.distinct:
        for slot in range(slots - 1):
            rows = np.flatnonzero(batch.actions[:, slot] != PAD)
            could[rows, slot + 1 :, batch.actions[rows, slot]] = False
    return could
