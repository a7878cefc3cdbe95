"""Reward models of logs of actions: cross-fitted predictions for every item at every slot.

`ridge` and `logistic` see the context, the features of the items where the log has them, and which
item it is where there are few. `empirical` sees the item alone,
`(clicks_a + 100 ctr) / (n_a + 100)`, or the item and its slot where a row is a page of several, as
attention falls from slot to slot.
"""

from collections.abc import Iterator

import numpy as np

from matinee_platform.ope.examples import Examples, RewardModel
from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_platform.ope.inputs.target_law import ItemRewards
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.regression import fit_reward_model
from matinee_policies.arrays import FloatArray, Int64Array

MOST_ITEMS = 200
"""Items that get a feature of their own each; of more, a model learns by their features alone."""

_CELLS = 1 << 20


def fit_item_rewards(
    log: ActionLog,
    kind: str,
    *,
    rewards: RewardRange | None = None,
    by_position: bool | None = None,
) -> ItemRewards:
    """Fit a reward model to a log, for `logged_stream`.

    Rows without a named unit are folded by their number.

    Args:
        log: of actions.
        kind: one of `regression.MODEL_KINDS`.
        rewards: range that is possible; predictions stay within.
        by_position: whether `empirical` keeps positions apart, by default that of pages of several
            slots alone; the others always do.

    Raises:
        ConfigError: as `fit_reward_model`.
        ContextError: likewise.
    """
    if by_position is None:
        by_position = log.slots > 1
    model = fit_reward_model(
        kind, lambda: action_examples(log), rewards=rewards, by_slot=by_position
    )
    empty = kind == "empirical"

    def predictions(batch: ActionBatch) -> FloatArray:
        n, slots = batch.actions.shape
        found = np.empty((n, slots, len(log.items)))
        width = 1 if empty else max(_width(log), 1)
        rows = max(_CELLS // (width * len(log.items)), 1)
        for start in range(0, n, rows):
            part = batch.rows(start, min(start + rows, n))
            found[start : start + len(part)] = _predict(model, log, part, empty=empty)
        return found

    return predictions


def action_examples(log: ActionLog) -> Iterator[Examples]:
    """What a log showed and what it earned, row by row and slot by slot; slots are positions."""
    for batch in log.stream():
        row, slot = np.nonzero(batch.shown)
        items = batch.actions[row, slot]
        yield Examples(
            unit=batch.unit[row],
            rewards=batch.rewards[row, slot],
            slots=batch.positions[row, slot],
            items=items,
            features=_features(log, batch, row, items[:, None])[:, 0],
        )


def _predict(model: RewardModel, log: ActionLog, batch: ActionBatch, *, empty: bool) -> FloatArray:
    n, K = len(batch), len(log.items)
    items = np.broadcast_to(np.arange(K), (n, K))
    features = np.zeros((n, K, 0)) if empty else _features(log, batch, np.arange(n), items)
    found = [
        model.predict(batch.unit, slots=batch.positions[:, slot], items=items, features=features)
        for slot in range(batch.slots)
    ]
    return np.stack(found, axis=1)


def _width(log: ActionLog) -> int:
    own = len(log.items) if len(log.items) <= MOST_ITEMS else 0
    return len(log.contexts) + len(log.features) + own


def _features(
    log: ActionLog, batch: ActionBatch, rows: Int64Array, items: Int64Array
) -> FloatArray:
    """Context, features and identity of some items of some rows, `float64 [m, C, d]`."""
    m, count = items.shape
    features = np.zeros((m, count, _width(log)))
    at = 0
    if batch.context is not None:
        features[:, :, : batch.context.shape[1]] = batch.context[rows][:, None]
        at = batch.context.shape[1]
    if batch.features is not None and batch.offered is not None:
        # By item; the padding falls on a row of its own.
        by_item = np.zeros((len(batch), len(log.items) + 1, batch.features.shape[2]))
        by_item[np.arange(len(batch))[:, None], batch.offered] = batch.features
        features[:, :, at : at + batch.features.shape[2]] = by_item[rows[:, None], items]
        at += batch.features.shape[2]
    if len(log.items) <= MOST_ITEMS:
        own = features[:, :, at:]
        np.put_along_axis(own, items[:, :, None], 1.0, axis=2)
    return features
