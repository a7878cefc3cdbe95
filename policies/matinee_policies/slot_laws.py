"""The whole law of every slot along given slates, for any policy and many decisions at once.

`explain` tells the laws of one decision; whoever weighs a log by another policy needs those of all
of them. Both give the numbers that `Policy.propensities` gives for the item shown.
"""

from typing import Any, Protocol

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.explain.laws import is_per_slot, is_sampled
from matinee_policies.mixture import mixture_propensities
from matinee_policies.mixture_policy import PolicyOfBases
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, ContextBatch
from matinee_policies.slate import law_at, score_slates
from matinee_policies.value_policy import MEMBER_BYTES, ValuePolicy

_TABLES = 32
"""Numbers that are held for each candidate of a decision: laws, values and predictions."""


class SlotLaws(Protocol):
    """Laws along the slates of `B` decisions with `K` candidates and `L` slots.

    Attributes:
        propensities: of each item of the slates given those above it, as `Policy.propensities`,
            `float64 [B, L]`.
    """

    propensities: FloatArray

    def law(self, slot: int) -> FloatArray:
        """Probability of each candidate at a slot given the items above it, `float64 [B, K]`.

        Rows sum to 1, or are 0 where the policy leaves the slot empty, or could not have shown what
        stands above it.
        """


def slot_laws(policy: Policy, contexts: ContextBatch, slates: IndexArray) -> SlotLaws:
    """The laws of a policy along slates that any policy chose.

    Args:
        policy: of any kind. One that is neither ours nor a `ValuePolicy` is asked for one candidate
            at a time, which takes `K` times as long.
        contexts: `B` decisions.
        slates: positions among the candidates, `int32 [B, L]`, as `Policy.propensities` takes them.

    Raises:
        ContextError: as `Policy.propensities`.

    Example:
        >>> from matinee_policies import Softmax
        >>> from matinee_policies.testing_data import example_contexts
        >>> contexts = example_contexts(1, decisions=2, candidates=3, dimension=1)
        >>> laws = slot_laws(Softmax(), contexts, np.array([[0, 1], [2, 0]], dtype=np.int32))
        >>> laws.law(1).sum(axis=1).round(12).tolist(), float(laws.law(1)[0, 0])
        ([1.0, 1.0], 0.0)
    """
    if isinstance(policy, PolicyOfBases):
        return _OfBases(policy, contexts, slates)
    if isinstance(policy, ValuePolicy) and is_sampled(policy):
        return _Sampled(policy, contexts, slates)
    return _Asked(policy, contexts, slates)


def rows_at_once(policy: Policy, *, candidates: int) -> int:
    """Decisions whose laws fit into some ten megabytes, at least 1."""
    bases = getattr(policy, "bases", ())
    members = max(int(getattr(one, "ensemble_size", 0)) for one in (policy, *bases))
    return max(1, MEMBER_BYTES // (8 * max(members, _TABLES) * max(candidates, 1)))


class _Sampled:
    """Of a policy whose laws one `SlateProblem` fixes: its values are worked out once."""

    def __init__(
        self, policy: ValuePolicy[Any], contexts: ContextBatch, slates: IndexArray
    ) -> None:
        self._problem = policy.slate_problem(contexts, slots=slates.shape[1])
        self._slates = slates
        self.propensities = score_slates(self._problem, slates)

    def law(self, slot: int) -> FloatArray:
        return law_at(self._problem, self._slates, slot=slot)


class _Asked:
    """Of any other policy, from `next_law` if it is ours, else candidate by candidate."""

    def __init__(self, policy: Policy, contexts: ContextBatch, slates: IndexArray) -> None:
        self._policy, self._contexts, self._slates = policy, contexts, slates
        self.propensities = policy.propensities(contexts, slates)

    def law(self, slot: int) -> FloatArray:
        slots = self._slates.shape[1]
        if is_per_slot(self._policy):
            asked: Any = self._policy
            law: FloatArray = asked.next_law(self._contexts, self._slates[:, :slot], slots=slots)
            return law
        return _continued(self._policy, self._contexts, self._slates, slot=slot)


class _OfBases:
    """Of a mixture: the laws of its bases under their odds given what stands above."""

    def __init__(
        self, policy: PolicyOfBases[Any], contexts: ContextBatch, slates: IndexArray
    ) -> None:
        self._bases = [slot_laws(base, contexts, slates) for base in policy.bases]
        self._weights = policy.weights
        own = np.stack([base.propensities for base in self._bases])
        self.propensities = mixture_propensities(own, self._weights, slates)
        with np.errstate(divide="ignore"):
            logs = np.log(own)
        # Of the slots above each, `[M, B, L]`.
        self._above = np.zeros_like(logs)
        self._above[:, :, 1:] = np.cumsum(logs, axis=2)[:, :, :-1]

    def law(self, slot: int) -> FloatArray:
        odds = np.log(self._weights)[:, None] + self._above[:, :, slot]
        best = odds.max(axis=0)
        known = np.isfinite(best)
        odds = np.exp(odds - np.where(known, best, 0.0))
        odds /= np.where(known, odds.sum(axis=0), 1.0)
        mixed: FloatArray = sum(
            (
                share[:, None] * base.law(slot)
                for share, base in zip(odds, self._bases, strict=True)
            ),
            start=np.zeros(1),
        )
        return mixed


def _continued(
    policy: Policy, contexts: ContextBatch, slates: IndexArray, *, slot: int
) -> FloatArray:
    """The law of a slot from `propensities` of the slates that go on with each candidate.

    Slots after it hold further candidates in their order, as a full slate must.
    """
    B, L = slates.shape
    K = contexts.candidates.shape[1]
    law = np.zeros((B, K))
    for position in range(K):
        prefix = slates[:, :slot]
        open_ = (contexts.candidates[:, position] != PAD) & (prefix != position).all(axis=1)
        rows = np.flatnonzero(open_)
        if not rows.size:
            continue
        here = np.full((rows.size, L), PAD, dtype=np.int32)
        here[:, :slot] = prefix[rows]
        here[:, slot] = position
        taken = contexts.candidates[rows] == PAD
        at = np.arange(rows.size)
        for place in range(slot + 1):
            held = here[:, place] != PAD
            taken[at[held], here[held, place]] = True
        # Free candidates first, in their order.
        order = np.argsort(taken, axis=1, kind="stable")[:, : L - slot - 1]
        free = np.take_along_axis(taken, order, axis=1)
        here[:, slot + 1 : slot + 1 + order.shape[1]] = np.where(free, PAD, order)
        law[rows, position] = policy.propensities(contexts.rows(rows), here)[:, slot]
    return law
