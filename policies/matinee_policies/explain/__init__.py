"""Why a decision fell as it did: every number between candidates and slate, and whether it follows.

>>> import numpy as np
>>> from matinee_policies import LinUCB, LinUCBConfig
>>> from matinee_policies.explain import explain
>>> from matinee_policies.testing_data import example_contexts
>>> context = example_contexts(1, decisions=1, candidates=6, dimension=3)
>>> policy = LinUCB(LinUCBConfig(diversity=0.2), dimension=3)
>>> found = explain(policy, context, slots=2, key=7)
>>> found.follows, len(found.slots)
(True, 2)
>>> first = found.slots[0]
>>> low, high = first.interval
>>> low <= first.draw < high
True
>>> bool(first.propensity == first.law[first.position])
True
"""

from matinee_policies.explain.decision import LoggedSlate, explain
from matinee_policies.explain.explanation import (
    ExplainedLaw,
    ExplainedPolicy,
    ExplainedSlot,
    Explanation,
)

__all__ = [
    "ExplainedLaw",
    "ExplainedPolicy",
    "ExplainedSlot",
    "Explanation",
    "LoggedSlate",
    "explain",
]
