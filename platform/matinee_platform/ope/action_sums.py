"""Sums of logs of single actions whose target law and predictions come as tables over actions."""

from dataclasses import dataclass

import numpy as np

from matinee_platform.ope.action_rows import gather
from matinee_platform.ope.row_columns import BLOCK
from matinee_platform.ope.slot_sums import SlotSums
from matinee_policies.arrays import AnyArray, FloatArray, Int64Array
from matinee_policies.errors import ContextError

_NOTHING = np.zeros((0, 0))


@dataclass(frozen=True, slots=True)
class ActionTables:
    """Part of a log of single actions out of `K`, as many tools keep it.

    Attributes:
        actions: chosen, from 0, `int64 [n]`.
        rewards: `float64 [n]`.
        logged: probability of the action under the policy that chose it, in (0, 1], `float64 [n]`.
        law: of the target over actions, rows sum to 1, `float64 [n, K]`.
        predictions: of the reward of every action, `float64 [n, K]`; None without a reward model.
    """

    actions: Int64Array
    rewards: FloatArray
    logged: FloatArray
    law: FloatArray
    predictions: FloatArray | None = None


def add_actions(sums: SlotSums, log: ActionTables) -> None:
    """Add to sums, as if a batch with one slot had been made of the log, without making it.

    Some ten kilobytes are used, whatever the rows.

    Args:
        sums: to add to.
        log: a part of the log, of any size.

    Raises:
        ContextError: if arrays do not fit together, an action is out of range, or as
            `SlotSums.add`.
    """
    n, start = _checked(log), 0
    while start < n:
        whole = (n - start) // BLOCK * BLOCK
        if sums.held or not whole:
            stop = min(start + BLOCK - sums.held, n)
            odd = _add_some(sums, log, slice(start, stop))
        else:
            stop = start + whole
            odd = sums.add_tables(*_arrays(log, slice(start, stop)))
        if odd >= 0:
            action = log.actions[start + odd]
            raise ContextError(f"actions must lie in [0, {log.law.shape[1]}), got {action}")
        start = stop


def _add_some(sums: SlotSums, log: ActionTables, rows: slice) -> int:
    """Add less than a block, or what fills one that is held; the first odd row, or -1."""
    arrays = _arrays(log, rows)
    actions, _, predictions, rewards, logged = arrays
    room = np.empty((3, actions.size))
    odd = int(gather(*arrays, 0, room[0], room[1], room[2]))
    if odd < 0:
        target, predicted, expected = room[:, :, None]
        model = (predicted, expected) if predictions.size else (_NOTHING, _NOTHING)
        sums.add_arrays((rewards[:, None], logged[:, None], target, *model))
    return odd


def _arrays(
    log: ActionTables, rows: slice
) -> tuple[Int64Array, FloatArray, FloatArray, FloatArray, FloatArray]:
    predictions = _NOTHING if log.predictions is None else log.predictions[rows]
    return log.actions[rows], log.law[rows], predictions, log.rewards[rows], log.logged[rows]


def gather_reference(log: ActionTables) -> tuple[FloatArray, FloatArray | None, FloatArray | None]:
    """The plain twin: probabilities, predictions and expectations, each `float64 [n, 1]`."""
    place = log.actions[:, None]
    target = np.take_along_axis(log.law, place, axis=1)
    if log.predictions is None:
        return target, None, None
    expected: FloatArray = (log.law * log.predictions).sum(axis=1, keepdims=True)
    return target, np.take_along_axis(log.predictions, place, axis=1), expected


def _checked(log: ActionTables) -> int:
    """Number of rows of a log whose arrays fit together."""
    n = log.actions.size
    tables: list[AnyArray] = [log.law] + ([] if log.predictions is None else [log.predictions])
    vectors = (log.actions, log.rewards, log.logged)
    if log.law.ndim != 2 or any(t.shape != (n, log.law.shape[1]) for t in tables):
        raise ContextError(f"tables must be [n, K] with n = {n}, got {[t.shape for t in tables]}")
    if any(vector.shape != (n,) for vector in vectors):
        raise ContextError(f"arrays must be [n] with n = {n}, got {[v.shape for v in vectors]}")
    if not all(array.flags.c_contiguous for array in (*tables, *vectors)):
        raise ContextError("arrays of actions must be contiguous by rows")
    return n
