"""One slate from the definitions: the readable twin of the compiled walk."""

import numpy as np

from matinee_policies.arrays import BoolArray, FloatArray, IndexArray
from matinee_policies.diversity import diversity_of
from matinee_policies.philox import uniform
from matinee_policies.records import PAD
from matinee_policies.redundancy import redundancy_reference
from matinee_policies.rules import rule_law_reference
from matinee_policies.slate_problem import SlateProblem


def sample_slate_reference(
    problem: SlateProblem, decision: int, *, slots: int, key: int
) -> tuple[list[int], list[float]]:
    """One slate with its propensities.

    Args:
        problem: what fixes the law.
        decision: row of the problem.
        slots: length of the slate.
        key: decision key.

    Returns:
        Positions and their propensities.
    """
    chosen: list[int] = []
    propensities: list[float] = []
    for slot in range(slots):
        law = law_reference(problem, decision, chosen, slots=slots)
        if not law.any():
            pick, propensity = PAD, 1.0
        else:
            draw = uniform(np.uint64(key), np.uint64(slot), np.uint64(0))
            place = int(np.searchsorted(law.cumsum(), draw, side="right"))
            pick = min(place, int(law.nonzero()[0][-1]))
            propensity = float(law[pick])
        chosen.append(pick)
        propensities.append(propensity)
    return chosen, propensities


def law_reference(
    problem: SlateProblem, decision: int, prefix: list[int], *, slots: int
) -> FloatArray:
    """Law of the slot after a prefix, padding included, `float64 [K]`; 0 if nothing remains."""
    pins = _pins(problem, decision, slots=slots)
    law = np.zeros(problem.values.shape[1])
    pin = pins[len(prefix)] if len(prefix) < len(pins) else PAD
    if pin != PAD:
        law[pin] = 1.0
        return law
    shown = [position for position in prefix if position != PAD]
    is_open = problem.available()[decision] & _within_caps(problem, decision, shown, pins)
    is_open[[position for position in shown + pins if position != PAD]] = False
    if not is_open.any():
        return law
    price, redundancy = _redundancy(problem, decision, np.array(shown, dtype=np.int32))
    utility = np.where(is_open, problem.values[decision] - price * redundancy, -np.inf)
    votes = None if problem.members is None else problem.members[decision] - price * redundancy
    if is_open.sum() == 1:
        law[is_open] = 1.0
        return law
    return rule_law_reference(utility, problem.rule, slots=slots, votes=votes)


def _pins(problem: SlateProblem, decision: int, *, slots: int) -> list[int]:
    pinned = problem.contexts.pinned
    return [] if pinned is None else [int(pin) for pin in pinned[decision, :slots]]


def _within_caps(
    problem: SlateProblem, decision: int, shown: list[int], pins: list[int]
) -> BoolArray:
    """Candidates that break no cap beside the items shown and those pinned, `bool [K]`."""
    candidates = problem.contexts.candidates[decision]
    within = np.ones(len(candidates), dtype=np.bool_)
    traits, caps = problem.contexts.traits, problem.caps
    if traits is None:
        return within
    counted = candidates[sorted({*shown, *pins} - {PAD})]
    if caps.aspect:
        full: BoolArray = (traits.aspects[counted] > 0).sum(axis=0) >= caps.aspect
        within &= ~(traits.aspects[candidates] > 0)[:, full].any(axis=1)
    if caps.creator:
        known = traits.creators[counted]
        same = (traits.creators[candidates][:, None] == known[known >= 0]).sum(axis=1)
        within &= same < caps.creator
    return within


def _redundancy(
    problem: SlateProblem, decision: int, shown: IndexArray
) -> tuple[float, FloatArray]:
    contexts, diversity = problem.contexts, diversity_of(problem.diversity)
    candidates = contexts.candidates[decision]
    if diversity.price == 0:
        return 0.0, np.zeros(len(candidates))
    present = (candidates != PAD)[:, None]
    nothing = np.zeros((len(contexts.embeddings), 0), dtype=np.float32)
    aspects = nothing if contexts.traits is None else contexts.traits.aspects
    interests = nothing if contexts.interests is None else contexts.interests
    redundancy = redundancy_reference(
        diversity,
        shown,
        vectors=np.where(present, contexts.embeddings[candidates], np.float32(0.0)),
        aspects=np.where(present, aspects[candidates], np.float32(0.0)),
        interests=interests[decision],
    )
    return diversity.price, redundancy
