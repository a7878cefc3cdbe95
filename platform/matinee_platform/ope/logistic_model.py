"""Logistic regression of rewards on features, cross-fitted by unit, in a bounded number of passes.

Newton's method on the penalised log-likelihood (iteratively reweighted least squares; McCullagh and
Nelder 1989): each pass over the log adds up gradient and Hessian of every fold's model over the
rows of the other folds. A step that lowers the likelihood is halved, which takes a pass too.
Rewards are scaled to [0, 1] by their range; between the ends they count as a share of ones.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from matinee_platform.ope.examples import ExampleStream, fold_of
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.ridge_model import SlotCoefficients, penalty, with_constant
from matinee_policies.arrays import AnyArray, FloatArray, UInt64Array
from matinee_policies.errors import ContextError

PASSES = 15
CLOSE = 1e-8
"""Largest step, in units of the coefficients, after which no further pass is taken."""


class LogisticModel:
    """See the module; made by `fit_logistic`.

    Args:
        theta: `float64 [folds, slots, 1 + d]`.
        rewards: range that 0 and 1 stand for.
        passes: over the log.
        converged: whether the last step was small.
    """

    kind = "logistic"

    def __init__(
        self, theta: FloatArray, *, rewards: RewardRange, passes: int, converged: bool
    ) -> None:
        self._linear = SlotCoefficients(theta)
        self._rewards = rewards
        self.passes = passes
        self.converged = converged

    @property
    def theta(self) -> FloatArray:
        """Constant, then a coefficient per feature, `float64 [folds, slots, 1 + d]`."""
        return self._linear.theta

    def predict(
        self, unit: UInt64Array, *, slots: AnyArray | int, items: AnyArray, features: AnyArray
    ) -> FloatArray:
        """See `RewardModel.predict`; items are not read."""
        share: FloatArray = special.expit(self._linear.of(unit, slots, features))
        return self._rewards.low + self._rewards.width * share


def fit_logistic(
    stream: ExampleStream,
    *,
    folds: int,
    l2: float,
    rewards: RewardRange,
    passes: int = PASSES,
) -> LogisticModel:
    """At most so many passes; arguments as `regression.fit_reward_model`."""
    theta: FloatArray | None = None
    best: _Sums | None = None
    for number in range(1, passes + 1):
        sums = _pass(stream, theta, folds=folds, rewards=rewards)
        prior = penalty(sums.theta.shape[2], l2=l2)
        loss = sums.loss + 0.5 * np.einsum("fsi,ij,fsj->fs", sums.theta, prior, sums.theta)
        if best is None:
            better = np.ones(loss.shape, dtype=np.bool_)
            best, best_loss = sums, loss
        else:
            better = loss <= best_loss * (1 + 1e-12)
            best = best.where(~better, sums)
            best_loss = np.where(better, loss, best_loss)
        gradient = sums.gradient - sums.theta @ prior
        step = np.linalg.solve(sums.hessian + prior, gradient[..., None])[..., 0]
        # Where a step went too far, half of it is tried next.
        step = np.where(better[..., None], step, (best.theta - sums.theta) / 2)
        if float(np.abs(step).max()) <= CLOSE:
            return LogisticModel(best.theta, rewards=rewards, passes=number, converged=True)
        theta = sums.theta + step
    if best is None:
        raise ContextError(f"a logistic model needs at least one pass, got {passes}")
    return LogisticModel(best.theta, rewards=rewards, passes=passes, converged=False)


@dataclass(frozen=True, slots=True)
class _Sums:
    """At coefficients `theta`: of each fold's model, over the rows of the other folds."""

    theta: FloatArray
    loss: FloatArray
    gradient: FloatArray
    hessian: FloatArray

    def where(self, kept: AnyArray, other: "_Sums") -> "_Sums":
        """Its own models where `kept`, `bool [folds, slots]`, else those of the other."""
        return _Sums(
            np.where(kept[..., None], self.theta, other.theta),
            np.where(kept, self.loss, other.loss),
            np.where(kept[..., None], self.gradient, other.gradient),
            np.where(kept[..., None, None], self.hessian, other.hessian),
        )


def _pass(
    stream: ExampleStream, theta: FloatArray | None, *, folds: int, rewards: RewardRange
) -> _Sums:
    sums = None if theta is None else _zero(theta)
    for examples in stream():
        if not len(examples):
            continue
        rewards.check_holds(float(examples.rewards.min()), float(examples.rewards.max()))
        sums = _roomy(sums, folds, int(examples.slots.max()) + 1, 1 + examples.features.shape[1])
        share = (examples.rewards - rewards.low) / rewards.width
        fold = fold_of(examples.unit, folds)
        for slot in np.unique(examples.slots).tolist():
            rows = np.flatnonzero(examples.slots == slot)
            z, y, own = with_constant(examples.features[rows]), share[rows], fold[rows]
            for model in range(folds):
                others = own != model
                _add(sums, model, slot, z[others], y[others])
    if sums is None:
        raise ContextError("a reward model needs at least one shown item, got none")
    return sums


def _add(sums: _Sums, model: int, slot: int, z: FloatArray, y: FloatArray) -> None:
    linear = z @ sums.theta[model, slot]
    p = special.expit(linear)
    sums.loss[model, slot] -= float(y @ special.log_expit(linear))
    sums.loss[model, slot] -= float((1 - y) @ special.log_expit(-linear))
    sums.gradient[model, slot] += z.T @ (y - p)
    sums.hessian[model, slot] += (z * (p * (1 - p))[:, None]).T @ z


def _zero(theta: FloatArray) -> _Sums:
    folds, slots, width = theta.shape
    return _Sums(
        theta,
        np.zeros((folds, slots)),
        np.zeros((folds, slots, width)),
        np.zeros((folds, slots, width, width)),
    )


def _roomy(sums: _Sums | None, folds: int, slots: int, width: int) -> _Sums:
    """Sums with room for so many slots; later passes have it from the start."""
    if sums is None:
        return _zero(np.zeros((folds, slots, width)))
    if sums.theta.shape[2] != width:
        raise ContextError(
            f"features must have {sums.theta.shape[2] - 1} columns throughout, got {width - 1}"
        )
    more = slots - sums.theta.shape[1]
    if more <= 0:
        return sums
    new = _zero(np.zeros((folds, more, width)))
    return _Sums(
        np.concatenate([sums.theta, new.theta], axis=1),
        np.concatenate([sums.loss, new.loss], axis=1),
        np.concatenate([sums.gradient, new.gradient], axis=1),
        np.concatenate([sums.hessian, new.hessian], axis=1),
    )
