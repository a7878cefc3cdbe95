"""Learn the decisions that a policy takes, and leave out those that it refuses.

Features that callers send may be such that a state would lose its precision; a policy then refuses
all that it was given, and its state is unchanged. Whoever may send decisions could stop an arm's
learning in that way. Here the largest are left out instead, as few as a bounded number of tries
finds. What is left out follows from the state and the decisions alone, so that replay leaves out
the same.
"""

from collections.abc import Iterator

import numpy as np

from matinee_policies.arrays import BoolArray, Float32Array, FloatArray, Int64Array
from matinee_policies.errors import ContextError
from matinee_policies.policy import Policy
from matinee_policies.records import OutcomeBatch

ROUNDS = 4
"""Decisions of a day that are singled out before all larger ones are left out with the last."""


def learn_what_fits(policy: Policy, outcomes: OutcomeBatch) -> tuple[Int64Array, str]:
    """Learn all outcomes at once, or, if they are refused, as many as fit.

    Those of a day are then taken in the order of their largest feature, in parts as large as the
    policy takes them; within a part they keep the order of the log.

    Args:
        policy: learns them; unchanged by what it refuses.
        outcomes: of `n` slates, in the order of the log.

    Returns:
        The slates that were left out, rising, `int64 [k]`, and why the policy refused them all.
    """
    reason = _refusal(policy, outcomes)
    if not reason:
        return np.empty(0, dtype=np.int64), ""
    sizes = largest_features(outcomes.features, outcomes.shown)
    out: list[int] = []
    for day in _days(outcomes):
        ordered = day[np.argsort(sizes[day], kind="stable")]
        for _ in range(ROUNDS):
            ordered = ordered[_learn_first(policy, outcomes, ordered) :]
            if not ordered.size:
                break
            out.append(int(ordered[0]))
            ordered = ordered[1:]
        out += ordered.tolist()
    return np.array(sorted(out), dtype=np.int64), reason


def largest_features(features: Float32Array, shown: BoolArray) -> FloatArray:
    """Largest feature of the items shown, by absolute value; 0 without any.

    Args:
        features: `float32 [n, L, d]`.
        shown: `bool [n, L]`.

    Returns:
        `float64 [n]`.
    """
    sizes = np.abs(features).max(axis=2, initial=0.0)
    found: FloatArray = np.where(shown, sizes, 0.0).max(axis=1, initial=0.0)
    return found.astype(np.float64)


def _learn_first(policy: Policy, outcomes: OutcomeBatch, ordered: Int64Array) -> int:
    """Learn the first of some slates, as many as parts of halving size find; how many."""
    taken, step = 0, 1 << (len(ordered).bit_length() - 1) if len(ordered) else 0
    while step:
        part = ordered[taken : taken + step]
        if len(part) == step and not _refusal(policy, outcomes.rows(np.sort(part))):
            taken += step
        step //= 2
    return taken


def _refusal(policy: Policy, outcomes: OutcomeBatch) -> str:
    """Learn; why it was refused, empty if it was not."""
    try:
        policy.learn(outcomes)
    except ContextError as error:
        return str(error) or type(error).__name__
    return ""


def _days(outcomes: OutcomeBatch) -> Iterator[Int64Array]:
    """Slates of each day, one day after another: what forgets takes days in their order."""
    rows = np.arange(len(outcomes))
    if outcomes.days is None:
        return iter((rows,))
    return iter(np.split(rows, 1 + np.flatnonzero(np.diff(outcomes.days))))
