"""Mean rewards of items, shrunk to the mean of all: `(sum_a + c mean) / (n_a + c)`, cross-fitted.

With clicks for rewards and `c` = 100 this is `(clicks_a + 100 ctr) / (n_a + 100)`: an item that was
shown a hundred times is half its own and half the average. Sums and counts, and so the mean, are of
the units of other folds. No features are read.
"""

import numpy as np

from matinee_platform.ope.examples import Examples, ExampleStream, fold_of, slots_of
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.ridge_model import within
from matinee_policies.arrays import AnyArray, FloatArray, UInt64Array
from matinee_policies.errors import ContextError

PRIOR = 100.0
"""Impressions that the mean of all items counts as."""

MOST_CELLS = 2**26
"""Numbers of items times slots times folds that sums may take: half a gigabyte each."""


class EmpiricalModel:
    """See the module; made by `fit_empirical`.

    Args:
        values: by fold, slot (or one for all) and item, `float64 [folds, slots, items]`.
        means: for items without a number or an example, `float64 [folds, slots]`.
        rewards: predictions are kept within this range; None for any.
    """

    kind = "empirical"

    def __init__(
        self, values: FloatArray, means: FloatArray, *, rewards: RewardRange | None
    ) -> None:
        # The last place is that of strangers.
        self._values = np.concatenate([values, means[:, :, None]], axis=2)
        self._rewards = rewards

    def predict(
        self, unit: UInt64Array, *, slots: AnyArray | int, items: AnyArray, features: AnyArray
    ) -> FloatArray:
        """See `RewardModel.predict`; features are not read."""
        folds, places, known = self._values.shape
        fold = fold_of(unit, folds)
        slot = np.minimum(slots_of(slots, len(unit)), places - 1)
        column = np.asarray(items, dtype=np.int64)
        column = np.where((column < 0) | (column >= known - 1), known - 1, column)
        if column.ndim == 2:
            fold, slot = fold[:, None], slot[:, None]
        found: FloatArray = self._values[fold, slot, column]
        return within(found, self._rewards)


def fit_empirical(
    stream: ExampleStream,
    *,
    folds: int,
    prior: float,
    by_slot: bool,
    rewards: RewardRange | None,
) -> EmpiricalModel:
    """One pass; arguments as `regression.fit_reward_model`."""
    sums = np.zeros((2, folds, 0, 0))
    strangers = np.zeros((2, folds, 0))
    for examples in stream():
        if not len(examples):
            continue
        slot = examples.slots if by_slot else np.zeros_like(examples.slots)
        sums, strangers = _roomy(sums, strangers, examples, slots=int(slot.max()) + 1)
        fold, known = fold_of(examples.unit, folds), examples.items >= 0
        for number, values in enumerate((examples.rewards, np.ones(len(examples)))):
            at = (fold[known], slot[known], examples.items[known])
            np.add.at(sums[number], at, values[known])
            np.add.at(strangers[number], (fold[~known], slot[~known]), values[~known])
    if not sums.shape[2]:
        raise ContextError("a reward model needs at least one shown item, got none")
    others = 1.0 - np.eye(folds)
    earned, shown = np.einsum("fg,cgsm->cfsm", others, sums)
    totals = earned.sum(axis=2), shown.sum(axis=2)
    whole = [own + others @ more for own, more in zip(totals, strangers, strict=True)]
    means = np.divide(whole[0], whole[1], out=np.zeros_like(whole[0]), where=whole[1] > 0)
    values = (earned + prior * means[:, :, None]) / (shown + prior)
    return EmpiricalModel(values, means, rewards=rewards)


def _roomy(
    sums: FloatArray, strangers: FloatArray, examples: Examples, *, slots: int
) -> tuple[FloatArray, FloatArray]:
    """Sums with room for the slots and items of some examples; items grow by doubling."""
    wide = max(int(examples.items.max()) + 1, 1)
    have = sums.shape
    items = have[3] if wide <= have[3] else max(wide, 2 * have[3])
    slots = max(slots, have[2])
    if (slots, items) == have[2:]:
        return sums, strangers
    if have[1] * slots * items > MOST_CELLS:
        raise ContextError(
            f"items times slots times folds must be at most {MOST_CELLS:,} for an empirical "
            f"model, got {items} x {slots} x {have[1]}"
        )
    larger, more = np.zeros((2, have[1], slots, items)), np.zeros((2, have[1], slots))
    larger[:, :, : have[2], : have[3]] = sums
    more[:, :, : have[2]] = strangers
    return larger, more
