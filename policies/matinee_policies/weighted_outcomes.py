"""Give rows of outcomes weights, for learners of least squares.

A row (x, r) of weight w stands in the sums of a ridge regression as the row (sqrt(w) x, sqrt(w) r)
of weight 1: both add w x x' to A and w r x to b. So every policy over such sums takes weights
without knowing of them; a policy that learns in another way does not, and is told apart here.
"""

from dataclasses import replace

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.corral_policy import Corral
from matinee_policies.errors import ContextError
from matinee_policies.forgetting_policy import ForgettingPolicy
from matinee_policies.linear_policy import LinearPolicy
from matinee_policies.policy import Policy
from matinee_policies.records import OutcomeBatch


def takes_weights(policy: Policy) -> bool:
    """Whether weighted rows mean to a policy, and to all its bases, what they should.

    A policy that does not learn takes anything. `Corral` judges its bases by the rewards of whole
    slates, which weights would change.

    Example:
        >>> from matinee_policies import build_policy
        >>> kinds = ("lin_ucb", "logistic")
        >>> [takes_weights(build_policy(kind, {}, dimension=3)) for kind in kinds]
        [True, False]
    """
    if not policy.learns:
        return True
    if isinstance(policy, Corral):
        return False
    bases = getattr(policy, "bases", ())
    if bases:
        return all(takes_weights(base) for base in bases)
    return isinstance(policy, LinearPolicy | ForgettingPolicy)


def weighted(outcomes: OutcomeBatch, weights: FloatArray) -> OutcomeBatch:
    """The rows that stand for `outcomes` with weights.

    Args:
        outcomes: of `n` slates.
        weights: of each slot, at least 0 where shown, `float64 [n, L]`.

    Returns:
        Features (`float32`, so that weights hold to seven digits) and rewards times the root of
        the weight; all else as it was.

    Raises:
        ContextError: if a weight is missing, below 0 or not finite.
    """
    if weights.shape != outcomes.rewards.shape:
        raise ContextError(
            f"weights must have shape {outcomes.rewards.shape} like rewards, got {weights.shape}"
        )
    bad = outcomes.shown & ~((weights >= 0.0) & (weights < np.inf))
    if bad.any():
        raise ContextError(f"weights must be finite and at least 0, got {weights[bad][0]}")
    roots = np.sqrt(np.where(outcomes.shown, weights, 0.0))
    return replace(
        outcomes,
        features=outcomes.features * roots[:, :, None].astype(np.float32),
        rewards=np.where(outcomes.shown, outcomes.rewards, 0.0) * roots,
    )
