"""Sums of logs of single actions whose target law and predictions come as tables over actions."""

from dataclasses import dataclass

import numpy as np

from matinee_platform.ope.slot_sums import SlotSums
from matinee_policies.arrays import AnyArray, FloatArray, Int64Array
from matinee_policies.compiled import kernel
from matinee_policies.errors import ContextError
from matinee_policies.prefetching import LINE_BYTES, prefetch

_CHUNK = 32_768
# Numbers of a line of the cache, and how far ahead of their use lines are asked for.
_LINE = LINE_BYTES // 8
_AHEAD = 40 * _LINE


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

    Under a megabyte is used, whatever the rows.

    Args:
        sums: to add to.
        log: a part of the log, of any size.

    Raises:
        ContextError: if arrays do not fit together, an action is out of range, or as
            `SlotSums.add`.
    """
    n, model = _checked(log), log.predictions is not None
    room = np.empty((3, min(n, _CHUNK), 1))
    nothing = np.zeros((0, 0))
    predictions = log.predictions if log.predictions is not None else nothing
    for start in range(0, n, _CHUNK):
        stop = min(start + _CHUNK, n)
        target, predicted, expected = room[:, : stop - start]
        rows = slice(start, stop)
        odd = gather(
            log.actions[rows], log.law[rows], predictions[rows], target, predicted, expected
        )
        if odd >= 0:
            action = log.actions[start + odd]
            raise ContextError(f"actions must lie in [0, {log.law.shape[1]}), got {action}")
        sums.add_arrays(
            (
                log.rewards[rows, None],
                log.logged[rows, None],
                target,
                predicted if model else nothing,
                expected if model else nothing,
            )
        )


@kernel
def gather(
    actions: Int64Array,
    law: FloatArray,
    predictions: FloatArray,
    target: FloatArray,
    predicted: FloatArray,
    expected: FloatArray,
) -> int:
    """Look up what the action has, and expect the predictions under the law.

    Args:
        actions: `int64 [n]`.
        law: `float64 [n, K]`.
        predictions: likewise, or without rows.
        target: receives probabilities of the actions, `[rows, 1]`.
        predicted: receives their predictions, likewise.
        expected: receives the expectations, likewise.

    Returns:
        The first row with an action out of range, -1 if there is none.
    """
    rows, K = target.shape[0], law.shape[1]
    model = predictions.shape[0] > 0
    laws, models = law.reshape(-1), predictions.reshape(-1)
    for i in range(rows):
        # Unsigned, so that no index is taken for one from the end.
        action, first = np.uint64(actions[i]), i * K
        if action >= np.uint64(K):
            return i
        if model:
            for line in range(first + _AHEAD, first + _AHEAD + K, _LINE):
                prefetch(laws, line)
                prefetch(models, line)
            total = 0.0
            for k in range(first, first + K):
                total += laws[k] * models[k]
            expected[i, 0] = total
            predicted[i, 0] = models[first + action]
        target[i, 0] = laws[first + action]
    return -1


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
