"""Rows of tables over actions, block by block: looked up and summed before they leave the cache."""

import numpy as np

from matinee_platform.ope.column_moments import add_rows
from matinee_platform.ope.row_columns import BLOCK
from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.compiled import lean_kernel
from matinee_policies.prefetching import LINE_BYTES, prefetch

# Numbers of a line of the cache, and how far ahead of their use lines are asked for.
_LINE = LINE_BYTES // 8
_AHEAD = 40 * _LINE
_VECTORS_AHEAD = 8 * _LINE


@lean_kernel
def gather(
    actions: Int64Array,
    law: FloatArray,
    predictions: FloatArray,
    rewards: FloatArray,
    logged: FloatArray,
    first: int,
    target: FloatArray,
    predicted: FloatArray,
    expected: FloatArray,
) -> int:
    """Look up what the actions of some rows have, and expect the predictions under the law.

    Args:
        actions: `int64 [n]`.
        law: `float64 [n, K]`.
        predictions: likewise, or without rows.
        rewards: `float64 [n]`, which the caller will read next.
        logged: likewise.
        first: number of the first row.
        target: receives probabilities of the actions, `[rows]`; their number is that of the rows.
        predicted: receives their predictions, likewise.
        expected: receives the expectations, likewise.

    Returns:
        The first row with an action out of range, -1 if there is none.
    """
    K = law.shape[1]
    model = predictions.shape[0] > 0
    laws, models = law.reshape(-1), predictions.reshape(-1)
    for i in range(target.size):
        row = first + i
        # Unsigned, so that no index is taken for one from the end.
        action, start = np.uint64(actions[row]), row * K
        if action >= np.uint64(K):
            return row
        if i % _LINE == 0:
            prefetch(rewards, row + _VECTORS_AHEAD)
            prefetch(logged, row + _VECTORS_AHEAD)
        if model:
            for line in range(start + _AHEAD, start + _AHEAD + K, _LINE):
                prefetch(laws, line)
                prefetch(models, line)
            total = 0.0
            for k in range(start, start + K):
                total += laws[k] * models[k]
            expected[i] = total
            predicted[i] = models[start + action]
        target[i] = laws[start + action]
    return -1


@lean_kernel
def add_action_rows(
    actions: Int64Array,
    law: FloatArray,
    predictions: FloatArray,
    rewards: FloatArray,
    logged: FloatArray,
    room: FloatArray,
    form: int,
    z: FloatArray,
    lanes: FloatArray,
    sums: FloatArray,
    extremes: FloatArray,
    pairs: FloatArray,
    grid_forms: Int64Array,
    grid_models: Int64Array,
    grid_values: FloatArray,
    grid_sums: FloatArray,
    grid_largest: FloatArray,
    page_sums: FloatArray,
    terms: FloatArray,
) -> int:
    """Add whole blocks of single actions to all sums.

    Args:
        actions: `int64 [n]`, n a multiple of `BLOCK`.
        law: see `gather`.
        predictions: likewise.
        rewards: likewise.
        logged: likewise.
        room: `[3, BLOCK]`.
        form: of the weights.
        z: this and what follows see `column_moments.add_rows`.
        lanes: likewise.
        sums: likewise.
        extremes: likewise.
        pairs: likewise.
        grid_forms: likewise.
        grid_models: likewise.
        grid_values: likewise.
        grid_sums: likewise.
        grid_largest: likewise.
        page_sums: likewise.
        terms: likewise.

    Returns:
        The first row with an action out of range, -1 if there is none; sums are then of no use.
    """
    column = room.reshape((3, BLOCK, 1))
    target, predicted, expected = column[0], column[1], column[2]
    if predictions.shape[0] == 0:
        predicted, expected = predicted[:0], expected[:0]
    for first in range(0, actions.size, BLOCK):
        odd = gather(actions, law, predictions, rewards, logged, first, room[0], room[1], room[2])
        if odd >= 0:
            return odd
        add_rows(
            rewards[first : first + BLOCK].reshape((BLOCK, 1)),
            logged[first : first + BLOCK].reshape((BLOCK, 1)),
            target,
            predicted,
            expected,
            form,
            BLOCK,
            z,
            lanes,
            sums,
            extremes,
            pairs,
            grid_forms,
            grid_models,
            grid_values,
            grid_sums,
            grid_largest,
            page_sums,
            terms,
        )
    return -1
