"""The law of a slot under any policy, and what is known of how the policy draws from it.

Of a policy over the slate sampler, and of Vowpal Wabbit slot by slot, the law comes from the same
compiled walk as decisions; of a mixture, from the laws of its bases by the kernel of `mixture.py`.
Of any other class it is asked for one candidate at a time, as `Policy.propensities` of every
continuation. All are the propensities that a log holds, to the last bit.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.diversity import Caps
from matinee_policies.mixture import mixture_propensities
from matinee_policies.mixture_policy import PolicyOfBases
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, ContextBatch
from matinee_policies.registry import POLICY_KINDS, policy_types
from matinee_policies.rules import softmax_rule
from matinee_policies.slate_problem import NO_CAPS, SlateProblem
from matinee_policies.value_policy import ValuePolicy

_PER_SLOT = "vowpal_wabbit_per_slot"
_VERBS = ("decide", "propensities", "next_law", "slate_problem")

CONTINUATIONS_AT_ONCE = 64
"""Slates that are scored together where a law is asked for candidate by candidate."""


def is_sampled(policy: Policy) -> bool:
    """Whether all that a policy decides is fixed by its `SlateProblem`."""
    return isinstance(policy, ValuePolicy) and all(
        _owner(type(policy), verb) is ValuePolicy for verb in _VERBS
    )


def draws_known(policy: Policy) -> bool:
    """Whether a policy draws each slot by inversion, with the uniform number of (key, slot)."""
    return is_sampled(policy) or is_per_slot(policy)


def problem_of(policy: Policy, context: ContextBatch, *, slots: int) -> SlateProblem:
    """What fixes the law of the only decision; of a policy without values, what it may show.

    Pins, eligibility and caps of the latter are its own; its values mean nothing.
    """
    if isinstance(policy, ValuePolicy) and is_sampled(policy):
        return policy.slate_problem(context, slots=slots)
    caps = getattr(policy.config, "caps", NO_CAPS)
    known = isinstance(caps, Caps) and (caps == NO_CAPS or context.traits is not None)
    return SlateProblem(
        contexts=context,
        values=np.zeros(context.candidates.shape),
        rule=softmax_rule(1.0),
        caps=caps if known else NO_CAPS,
    )


def law_after(
    policy: Policy, context: ContextBatch, prefix: Sequence[int], *, slots: int
) -> FloatArray:
    """Law of the slot after a prefix for the only decision, `float64 [K]`; 0 if it stays empty.

    Args:
        policy: any but a mixture.
        context: of one decision.
        prefix: positions at the slots before, or `PAD`.
        slots: of the whole slate.
    """
    if all(position in prefix for position in np.flatnonzero(context.candidates[0] != PAD)):
        return np.zeros(context.candidates.shape[1])
    if draws_known(policy):
        asked: Any = policy
        law: FloatArray = asked.next_law(context, _row(prefix), slots=slots)[0]
        return law
    return continuations(policy, context, prefix, slots=slots)


def continuations(
    policy: Policy, context: ContextBatch, prefix: Sequence[int], *, slots: int
) -> FloatArray:
    """The law of a slot from `propensities` of a slate for each candidate, `float64 [K]`.

    Slots after it hold further candidates in their order, as a full slate must.
    """
    law = np.zeros(context.candidates.shape[1])
    real = np.flatnonzero(context.candidates[0] != PAD).tolist()
    free = [position for position in real if position not in prefix]
    for start in range(0, len(free), CONTINUATIONS_AT_ONCE):
        chosen = free[start : start + CONTINUATIONS_AT_ONCE]
        slates = np.full((len(chosen), slots), PAD, dtype=np.int32)
        for slate, position in zip(slates, chosen, strict=True):
            others = [other for other in free if other != position]
            whole = [*prefix, position, *others][:slots]
            slate[: len(whole)] = whole
        copies = context.rows(np.zeros(len(chosen), dtype=np.int64))
        law[chosen] = policy.propensities(copies, slates)[:, len(prefix)]
    return law


def mixed_law(
    weights: FloatArray, laws: Sequence[Sequence[FloatArray]], prefix: Sequence[int]
) -> tuple[FloatArray, float]:
    """The law of a mixture at the slot after a prefix.

    Args:
        weights: of the bases, `float64 [M]`.
        laws: `laws[j][l]` is the law of base `j` at slot `l`, up to the one asked for.
        prefix: positions at the slots before, or `PAD`.

    Returns:
        Probability of each candidate, `float64 [K]`, and that of an empty slot.
    """
    K, place = len(laws[0][0]), len(prefix)
    # One row for each candidate, and one for the empty slot.
    table = np.empty((len(weights), K + 1, place + 1))
    positions = np.empty((K + 1, place + 1), dtype=np.int32)
    positions[:, :place] = np.array(prefix, dtype=np.int32)
    positions[:, place] = [*range(K), PAD]
    for base, own in enumerate(laws):
        for slot, position in enumerate(prefix):
            table[base, :, slot] = at(own[slot], position)
        table[base, :, place] = [*own[place], at(own[place], PAD)]
    mixed = mixture_propensities(table, weights, positions)[:, place]
    return mixed[:K], float(mixed[K])


def at(law: FloatArray, position: int) -> float:
    """What a law gives to a position, or to an empty slot: 1 where nothing remains, else 0."""
    return float(law[position]) if position != PAD else float(not law.any())


def odds_of(
    weights: FloatArray, laws: Sequence[Sequence[FloatArray]], prefix: Sequence[int]
) -> FloatArray:
    """Probability that each base drew a slate that begins with the prefix, `float64 [M]`."""
    joint = weights.copy()
    for slot, position in enumerate(prefix):
        joint *= [at(own[slot], position) for own in laws]
    total = joint.sum()
    return joint / total if total > 0.0 else joint


def bases_of(policy: Policy) -> tuple[tuple[Policy, ...], FloatArray] | None:
    """The bases of a mixture with their weights; None for any other policy."""
    if isinstance(policy, PolicyOfBases):
        return policy.bases, policy.weights
    return None


def _row(prefix: Sequence[int]) -> IndexArray:
    return np.array(prefix, dtype=np.int32).reshape(1, len(prefix))


def is_per_slot(policy: Policy) -> bool:
    """Whether Vowpal Wabbit is asked slot by slot."""
    name = policy.name
    return name == _PER_SLOT in POLICY_KINDS and type(policy) is policy_types(name)[0]


def _owner(found: type, verb: str) -> type | None:
    """The class that says what a verb does, the guard around a user's class apart."""
    for part in found.__mro__:
        if verb in vars(part) and not vars(part).get("_is_guarded"):
            return part
    return None
