"""Ridge regression of rewards on features, cross-fitted by unit, from one pass over a log.

Per fold of units and slot of the page, normal equations are added up; the model of a fold is solved
from the sums of all others. With a constant (not penalised) and `d` features, that is
`folds x slots x (d + 1)^2` numbers, whatever the rows.
"""

import numpy as np

from matinee_platform.ope.examples import Examples, ExampleStream, fold_of, slots_of
from matinee_platform.ope.interval import RewardRange
from matinee_policies.arrays import AnyArray, FloatArray, Int64Array, UInt64Array
from matinee_policies.errors import ContextError

FREE = 1e-6
"""Penalty of the constant: as good as none, and slots without rows are predicted 0."""


class SlotCoefficients:
    """Linear predictors by fold and slot, as ridge and logistic regression share them.

    Args:
        theta: constant first, `float64 [folds, slots, 1 + d]`.
    """

    def __init__(self, theta: FloatArray) -> None:
        self.theta = theta

    def of(self, unit: UInt64Array, slots: AnyArray | int, features: AnyArray) -> FloatArray:
        """Constant plus features times coefficients, `float64 [n]` or `[n, K]`."""
        folds, places, width = self.theta.shape
        if features.shape[-1] != width - 1:
            raise ContextError(f"features must have {width - 1} columns, got {features.shape[-1]}")
        own = fold_of(unit, folds)
        # A slot that no example had is taken for the last one that some had.
        if isinstance(slots, int):
            # All folds at once: one product of matrices is faster than one of each row.
            theta = self.theta[:, min(slots, places - 1)]
            every = features @ theta[:, 1:].T + theta[:, 0]
            place = own.reshape(-1, *[1] * (every.ndim - 1))
            some: FloatArray = np.take_along_axis(every, place, axis=-1)[..., 0]
            return some
        theta = self.theta[own, np.minimum(slots_of(slots, len(unit)), places - 1)]
        if features.ndim == 2:
            single: FloatArray = (features * theta[:, 1:]).sum(axis=1) + theta[:, 0]
            return single
        found: FloatArray = (features @ theta[:, 1:, None])[:, :, 0] + theta[:, :1]
        return found


class RidgeModel:
    """See the module; made by `fit_ridge`.

    Args:
        theta: `float64 [folds, slots, 1 + d]`.
        rewards: predictions are kept within this range; None for any.
    """

    kind = "ridge"

    def __init__(self, theta: FloatArray, *, rewards: RewardRange | None) -> None:
        self._linear = SlotCoefficients(theta)
        self._rewards = rewards

    @property
    def theta(self) -> FloatArray:
        """Constant, then a coefficient per feature, `float64 [folds, slots, 1 + d]`."""
        return self._linear.theta

    def predict(
        self, unit: UInt64Array, *, slots: AnyArray | int, items: AnyArray, features: AnyArray
    ) -> FloatArray:
        """See `RewardModel.predict`; items are not read."""
        return within(self._linear.of(unit, slots, features), self._rewards)


def fit_ridge(
    stream: ExampleStream, *, folds: int, l2: float, rewards: RewardRange | None
) -> RidgeModel:
    """One pass; arguments as `regression.fit_reward_model`."""
    gram, moment = np.zeros((folds, 0, 0, 0)), np.zeros((folds, 0, 0))
    for examples in stream():
        if not len(examples):
            continue
        gram, moment = grown(gram, moment, examples)
        for fold, slot, rows in groups(examples, folds):
            z = with_constant(examples.features[rows])
            gram[fold, slot] += z.T @ z
            moment[fold, slot] += z.T @ examples.rewards[rows]
    if not gram.shape[1]:
        raise ContextError("a reward model needs at least one shown item, got none")
    # Sums of the others, not the total less the own: nothing cancels.
    others = 1.0 - np.eye(folds)
    A = np.einsum("fg,gsij->fsij", others, gram) + penalty(gram.shape[2], l2=l2)
    b = np.einsum("fg,gsi->fsi", others, moment)
    theta: FloatArray = np.linalg.solve(A, b[..., None])[..., 0]
    return RidgeModel(theta, rewards=rewards)


def penalty(width: int, *, l2: float) -> FloatArray:
    """Weights of the prior that coefficients are 0, on a diagonal, `float64 [1 + d, 1 + d]`."""
    return np.diag(np.concatenate([[FREE], np.full(width - 1, l2)]))


def with_constant(features: FloatArray) -> FloatArray:
    """A column of ones before the features, `float64 [n, 1 + d]`."""
    return np.concatenate([np.ones((len(features), 1)), features], axis=1)


def groups(examples: Examples, folds: int) -> list[tuple[int, int, Int64Array]]:
    """Rows of each fold and slot that has any."""
    code = examples.slots * folds + fold_of(examples.unit, folds)
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    parts = np.split(order, starts[1:])
    return [(int(code[part[0]] % folds), int(code[part[0]] // folds), part) for part in parts]


def grown(
    gram: FloatArray, moment: FloatArray, examples: Examples
) -> tuple[FloatArray, FloatArray]:
    """Sums with room for the slots of some examples."""
    width = 1 + examples.features.shape[1]
    if gram.shape[1] and gram.shape[2] != width:
        raise ContextError(
            f"features must have {gram.shape[2] - 1} columns throughout, got {width - 1}"
        )
    slots = int(examples.slots.max()) + 1 - gram.shape[1]
    if slots <= 0:
        return gram, moment
    folds = gram.shape[0]
    gram = gram.reshape(folds, gram.shape[1], width, width)
    moment = moment.reshape(folds, moment.shape[1], width)
    return (
        np.concatenate([gram, np.zeros((folds, slots, width, width))], axis=1),
        np.concatenate([moment, np.zeros((folds, slots, width))], axis=1),
    )


def within(predicted: FloatArray, rewards: RewardRange | None) -> FloatArray:
    """Predictions kept within the range that rewards have."""
    if rewards is None:
        return predicted
    kept: FloatArray = np.clip(predicted, rewards.low, rewards.high)
    return kept
