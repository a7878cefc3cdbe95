"""What a slate is drawn from: settings, rule, values, predictions and members of one policy."""

from typing import Any

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.explain.explanation import RULES, ExplainedPolicy
from matinee_policies.explain.laws import is_sampled
from matinee_policies.policy import Policy
from matinee_policies.records import PAD
from matinee_policies.slate_problem import SlateProblem
from matinee_policies.value_policy import ValuePolicy


def explained_policy(
    policy: Policy, problem: SlateProblem, *, weight: float, slots: int
) -> ExplainedPolicy:
    """What is known of a policy, or of a base of a mixture, before the first slot.

    Args:
        policy: that could have drawn the slate.
        problem: of the only decision.
        weight: probability that it draws a slate.
        slots: of the slate.
    """
    settings = policy.config.to_json()
    if not (isinstance(policy, ValuePolicy) and is_sampled(policy)):
        return ExplainedPolicy(
            kind=policy.name,
            weight=weight,
            settings=settings,
            rule=None,
            diversity=None,
            values=None,
            means=None,
            widths=None,
            members=None,
        )
    asked: Any = policy
    means = asked.predictions(problem.contexts)[0] if hasattr(asked, "predictions") else None
    widths = policy.widths(problem.contexts)
    rule = problem.rule
    return ExplainedPolicy(
        kind=policy.name,
        weight=weight,
        settings=settings,
        rule={
            "name": RULES[rule.code],
            "parameter": rule.parameter,
            "uniform": rule.uniform_weight(slots),
            "exploring": rule.exploring_weight(slots),
        },
        diversity=problem.kind().to_json(),
        values=_present(problem, problem.values[0]),
        means=None if means is None else _present(problem, means),
        widths=None if widths is None else _present(problem, widths[0]),
        members=None if problem.members is None else problem.members[0],
    )


def _present(problem: SlateProblem, values: FloatArray) -> FloatArray:
    """Values of real candidates; NaN at padding."""
    return np.where(problem.contexts.candidates[0] == PAD, np.nan, values)
