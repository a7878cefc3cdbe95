"""What is told of one decision: records, and the same as JSON."""

import math
from dataclasses import dataclass
from typing import Any

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray
from matinee_policies.explain.closed import Closed

RULES = ("greedy", "softmax", "inverse_gap", "votes")
"""Names of rules by their codes in `rules.py`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExplainedPolicy:
    """One policy that could have drawn the slate: the policy itself, or a base of a mixture.

    Attributes:
        kind: name of the policy.
        weight: probability that it draws a slate; 1 for a policy that is no base.
        settings: its config as JSON values.
        rule: name of the rule that turns utilities into probabilities, its parameter, and the
            weights `uniform` (w) and `exploring` (b) of `rules.py` at each slot; None where the
            policy is no `ValuePolicy`, whose law is then all that is known.
        diversity: kind and price of redundancy as JSON values; None likewise.
        values: of the candidates, `float64 [K]`; None likewise.
        means: predictions without widths, `float64 [K]`; None for kinds without.
        widths: of the predictions, `float64 [K]`; None for kinds without.
        members: values to each member of an ensemble, `float64 [M, K]`; None without one.
    """

    kind: str
    weight: float
    settings: dict[str, Any]
    rule: dict[str, Any] | None
    diversity: dict[str, Any] | None
    values: FloatArray | None
    means: FloatArray | None
    widths: FloatArray | None
    members: FloatArray | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExplainedLaw:
    """One slot under one of the policies, given the items before it.

    Attributes:
        odds: probability that this policy drew the slate, given the items before.
        law: probability of each candidate, `float64 [K]`; 0 where the slot stays empty.
        closed: why a candidate cannot be drawn; None where it can.
        redundancy: of each open candidate, `float64 [K]`, NaN elsewhere; None without values.
        utility: value minus price times redundancy, likewise.
        votes: members that like a candidate best, `int32 [K]`; None without an ensemble.
    """

    odds: float
    law: FloatArray
    closed: tuple[Closed | None, ...]
    redundancy: FloatArray | None
    utility: FloatArray | None
    votes: IndexArray | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExplainedSlot:
    """One slot, given the items that the slate holds before it.

    Attributes:
        slot: from 0.
        pin: position that the slot must show, -1 if it is free.
        law: probability of each candidate under the whole policy, `float64 [K]`.
        empty: probability that the slot stays empty; with `law` it sums to 1.
        laws: the same by policy, in the order of `Explanation.policies`.
        draw: uniform number in [0, 1) of the slot; None without a key, where nothing had to be
            drawn, and for classes whose way to draw is their own.
        interval: where the running sum of the drawing policy's law holds the draw.
        drawn: position that the draw gives, -1 for an empty slot; None where it is not known.
        position: of the item in the slate, -1 for an empty slot, None for an item that is no
            candidate.
        item: its catalogue row, -1 for an empty slot.
        propensity: as worked out here; NaN for an item that is no candidate.
        logged_propensity: as logged, or as decided.
        faults: in what the slate does not follow, in words.
    """

    slot: int
    pin: int
    law: FloatArray
    empty: float
    laws: tuple[ExplainedLaw, ...]
    draw: float | None
    interval: tuple[float, float] | None
    drawn: int | None
    position: int | None
    item: int
    propensity: float
    logged_propensity: float
    faults: tuple[str, ...]

    @property
    def follows(self) -> bool:
        """Whether the slot holds what the law gives, with its probability."""
        return not self.faults


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation:
    """One decision from candidates to slate.

    Attributes:
        kind: of the policy.
        keyed: whether the draws were looked at; without a key only probabilities are.
        candidates: catalogue rows, `int32 [K]`.
        scores: of the candidate source, `float32 [K]`.
        policies: the policy, or the bases of a mixture.
        base: which of them drew the slate; None if that is not known.
        base_draw: uniform number that drew the base; None without a key or a mixture.
        base_interval: where the running sum of the weights holds it.
        slots: up to the first one that no slate can hold, after which there is no law.
        faults: in what the decision does not follow, slot by slot, in words.
    """

    kind: str
    keyed: bool
    candidates: IndexArray
    scores: Float32Array
    policies: tuple[ExplainedPolicy, ...]
    base: int | None
    base_draw: float | None
    base_interval: tuple[float, float] | None
    slots: tuple[ExplainedSlot, ...]
    faults: tuple[str, ...]

    @property
    def follows(self) -> bool:
        """Whether slate and propensities follow from policy, context and key, bit for bit."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values, but for the values to single members of an ensemble.

        Numbers that mean nothing where they stand are null.
        """
        return {
            "policy": self.kind,
            "follows": self.follows,
            "faults": list(self.faults),
            "keyed": self.keyed,
            "policies": [_policy(policy) for policy in self.policies],
            "base": self.base,
            "base_draw": self.base_draw,
            "base_interval": _pair(self.base_interval),
            "candidates": [self._candidate(place) for place in range(len(self.candidates))],
            "slots": [self._slot(slot) for slot in self.slots],
        }

    def _candidate(self, place: int) -> dict[str, Any]:
        return {
            "position": place,
            "item": int(self.candidates[place]),
            "score": _number(self.scores[place]),
            "values": [
                {
                    "value": _entry(policy.values, place),
                    "mean": _entry(policy.means, place),
                    "width": _entry(policy.widths, place),
                }
                for policy in self.policies
            ],
        }

    def _slot(self, slot: ExplainedSlot) -> dict[str, Any]:
        return {
            "slot": slot.slot,
            "pin": slot.pin,
            "item": slot.item,
            "position": slot.position,
            "propensity": _number(slot.propensity),
            "logged_propensity": _number(slot.logged_propensity),
            "draw": slot.draw,
            "interval": _pair(slot.interval),
            "drawn": slot.drawn,
            "empty": slot.empty,
            "faults": list(slot.faults),
            "odds": [law.odds for law in slot.laws],
            "candidates": [
                {
                    "position": place,
                    "item": int(item),
                    "propensity": float(slot.law[place]),
                    "policies": [_law(law, place) for law in slot.laws],
                }
                for place, item in enumerate(self.candidates)
            ],
        }


def _policy(policy: ExplainedPolicy) -> dict[str, Any]:
    return {
        "kind": policy.kind,
        "weight": policy.weight,
        "settings": policy.settings,
        "rule": policy.rule,
        "diversity": policy.diversity,
        "members": None if policy.members is None else len(policy.members),
    }


def _law(law: ExplainedLaw, place: int) -> dict[str, Any]:
    closed = law.closed[place]
    return {
        "propensity": float(law.law[place]),
        "closed": None if closed is None else closed._asdict(),
        "redundancy": _entry(law.redundancy, place),
        "utility": _entry(law.utility, place),
        "votes": None if law.votes is None else int(law.votes[place]),
    }


def _entry(values: FloatArray | None, place: int) -> float | None:
    return None if values is None else _number(values[place])


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _pair(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)
