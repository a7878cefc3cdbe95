"""Why candidates are closed at a slot: the definitions of `slate.py`, told one by one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from matinee_policies.records import PAD
from matinee_policies.slate_problem import SlateProblem


class Closed(NamedTuple):
    """Why a candidate cannot be drawn at a slot.

    Attributes:
        rule: `padding`, `shown`, `pinned`, `not_eligible`, `left_out` (by the policy itself),
            `aspect_cap`, `creator_cap` or `slot_pinned` (the slot shows its pin).
        number: of the slot that shows it or that it is pinned to, of the aspect or creator whose
            cap is full; -1 elsewhere.
    """

    rule: str
    number: int = -1


def pins_of(problem: SlateProblem, *, slots: int) -> list[int]:
    """Position that each slot of the only decision must show, or `PAD`; `slots` entries."""
    pinned = problem.contexts.pinned
    pins = [] if pinned is None else [int(pin) for pin in pinned[0, :slots]]
    return pins + [PAD] * (slots - len(pins))


def closed_at(
    problem: SlateProblem, prefix: Sequence[int], *, slots: int
) -> tuple[Closed | None, ...]:
    """Why each candidate of the only decision is closed at the slot after a prefix.

    Args:
        problem: what fixes the law.
        prefix: positions at the slots before, or `PAD`.
        slots: of the whole slate.

    Returns:
        One per candidate; `None` where it is open.
    """
    contexts, pins = problem.contexts, pins_of(problem, slots=slots)
    pin = pins[len(prefix)]
    full = _full_caps(problem, sorted({*prefix, *pins} - {PAD}))
    found: list[Closed | None] = []
    for position, item in enumerate(contexts.candidates[0].tolist()):
        if item == PAD:
            found.append(Closed("padding"))
        elif position in prefix:
            found.append(Closed("shown", list(prefix).index(position)))
        elif position == pin:
            found.append(None)
        elif position in pins:
            found.append(Closed("pinned", pins.index(position)))
        elif contexts.eligible is not None and not contexts.eligible[0, position]:
            found.append(Closed("not_eligible"))
        elif problem.eligible is not None and not problem.eligible[0, position]:
            found.append(Closed("left_out"))
        elif pin != PAD:
            found.append(Closed("slot_pinned", len(prefix)))
        else:
            found.append(_capped(problem, item, full))
    return tuple(found)


def _full_caps(problem: SlateProblem, counted: list[int]) -> tuple[set[int], set[int]]:
    """Aspects and creators of which a slate with these candidates has room for no more."""
    traits, caps = problem.contexts.traits, problem.caps
    if traits is None:
        return set(), set()
    items = problem.contexts.candidates[0, counted]
    aspects: set[int] = set()
    creators: set[int] = set()
    if caps.aspect:
        counts = (traits.aspects[items] > 0).sum(axis=0)
        aspects = set(np.flatnonzero(counts >= caps.aspect).tolist())
    if caps.creator:
        known = traits.creators[items]
        names, times = np.unique(known[known >= 0], return_counts=True)
        creators = set(names[times >= caps.creator].tolist())
    return aspects, creators


def _capped(problem: SlateProblem, item: int, full: tuple[set[int], set[int]]) -> Closed | None:
    traits = problem.contexts.traits
    if traits is None:
        return None
    for aspect in sorted(full[0]):
        if traits.aspects[item, aspect] > 0:
            return Closed("aspect_cap", aspect)
    creator = int(traits.creators[item])
    return Closed("creator_cap", creator) if creator in full[1] else None
