"""The slates that policies would show if they did not explore."""

from dataclasses import replace

import numpy as np

from matinee_policies.arrays import IndexArray
from matinee_policies.errors import ConfigError
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, ContextBatch
from matinee_policies.rules import epsilon_rule
from matinee_policies.slate import sample_slates
from matinee_policies.slate_problem import SlateProblem
from matinee_policies.uniform import Uniform
from matinee_policies.value_policy import ValuePolicy


def has_likeliest(policy: Policy) -> bool:
    """Whether a policy has slates that it likes best: not if all are alike, or bases draw them."""
    return not isinstance(policy, Uniform) and hasattr(policy, "next_law")


def likeliest_slates(policy: Policy, contexts: ContextBatch, *, slots: int) -> IndexArray:
    """The likeliest item at each slot given those above it, the lowest position among equals.

    Args:
        policy: any for which `has_likeliest` holds.
        contexts: `B` decisions.
        slots: length `L` of the slates.

    Returns:
        Catalogue rows, `PAD` for slots that stay empty, `int32 [B, L]`.

    Raises:
        ConfigError: for a policy that has no such slates.

    Example:
        >>> from matinee_policies import ScoreOrder, ScoreOrderConfig
        >>> from matinee_policies.testing_data import example_contexts
        >>> contexts = example_contexts(1, decisions=1, candidates=5, dimension=2)
        >>> explorer = ScoreOrder(ScoreOrderConfig(epsilon=1.0))
        >>> best = likeliest_slates(explorer, contexts, slots=5)[0]
        >>> order = np.argsort(-contexts.scores[0])
        >>> bool((contexts.candidates[0, order] == best).all())
        True
    """
    if not has_likeliest(policy):
        raise ConfigError(f"policy {policy.name!r} has no slate that it likes best")
    # Every law rises with utility, but for the votes of an ensemble.
    if isinstance(policy, ValuePolicy) and not policy.ensemble_size:
        positions = _best(policy.slate_problem(contexts, slots=slots), slots=slots)
    else:
        positions = _step_by_step(policy, contexts, slots=slots)
    taken = np.take_along_axis(contexts.candidates, np.maximum(positions, 0), axis=1)
    return np.where(positions == PAD, PAD, taken).astype(np.int32)


def _best(problem: SlateProblem, *, slots: int) -> IndexArray:
    """Positions of the largest utility of each slot."""
    keys = np.zeros(len(problem.contexts), dtype=np.uint64)
    return sample_slates(replace(problem, rule=epsilon_rule(0.0)), slots=slots, keys=keys).positions


def _step_by_step(policy: Policy, contexts: ContextBatch, *, slots: int) -> IndexArray:
    """Positions of the largest probability of the law of each slot, one slot after the other."""
    next_law = getattr(policy, "next_law")  # noqa: B009 - no part of the protocol
    prefix = np.empty((len(contexts), 0), dtype=np.int32)
    for _ in range(slots):
        law = next_law(contexts, prefix, slots=slots)
        best = np.where(law.max(axis=1) > 0.0, law.argmax(axis=1), PAD).astype(np.int32)
        prefix = np.concatenate([prefix, best[:, None]], axis=1)
    return prefix
