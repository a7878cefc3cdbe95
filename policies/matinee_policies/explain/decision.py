"""Explain one decision: the laws along its slate, the draws, and whether the log follows them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.errors import ContextError
from matinee_policies.explain.closed import closed_at, pins_of
from matinee_policies.explain.explanation import (
    ExplainedLaw,
    ExplainedSlot,
    Explanation,
)
from matinee_policies.explain.laws import (
    at,
    bases_of,
    draws_known,
    is_sampled,
    law_after,
    mixed_law,
    odds_of,
    problem_of,
)
from matinee_policies.explain.source import explained_policy
from matinee_policies.explain.utilities import SlateUtilities
from matinee_policies.mixture import BASE_COUNTER, draw_bases
from matinee_policies.philox import uniform
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, ContextBatch, SlateBatch
from matinee_policies.slate_problem import check_slots
from matinee_policies.slate_walk import draw_position

_NO_COUNTER = np.uint64(0)


@dataclass(frozen=True, slots=True, eq=False)
class LoggedSlate:
    """One slate as a log holds it.

    Attributes:
        items: catalogue rows, -1 for empty slots, `int32 [L]`.
        propensities: `float64 [L]`.
        base: which base of a mixture drew it; None if it is not logged.
        base_propensity: probability of that; None likewise.
    """

    items: IndexArray
    propensities: FloatArray
    base: int | None = None
    base_propensity: float | None = None


def explain(
    policy: Policy,
    context: ContextBatch,
    *,
    slots: int,
    key: int | None = None,
    logged: LoggedSlate | None = None,
) -> Explanation:
    """Every number between the candidates and the slate of one decision.

    Args:
        policy: as it was when it decided.
        context: of one decision.
        slots: length of the slate, at least 1.
        key: decision key; without it the draws are not known.
        logged: the slate to explain; without it, the one that the key draws.

    Raises:
        ContextError: on more than one decision, with neither key nor slate, on a slate of another
            length, or if the policy refuses the context.

    Example:
        >>> from matinee_policies import Softmax
        >>> from matinee_policies.testing_data import example_contexts
        >>> context = example_contexts(1, decisions=1, candidates=3, dimension=1)
        >>> first = explain(Softmax(), context, slots=2, key=5).slots[0]
        >>> [round(float(p), 3) for p in first.law], round(first.draw, 3), first.position
        ([0.986, 0.007, 0.007], 0.07, 0)
    """
    check_slots(slots)
    if len(context) != 1:
        raise ContextError(f"context must be of one decision, got {len(context)}")
    if key is None and logged is None:
        raise ContextError("a key or a logged slate must be given, got neither")
    keys = None if key is None else np.array([key], dtype=np.uint64)
    again = None if keys is None else policy.decide(context, slots=slots, keys=keys)
    if logged is None and again is not None:
        logged = _as_logged(again)
    if logged is None or logged.items.shape != (slots,) or logged.propensities.shape != (slots,):
        raise ContextError(f"items and propensities of the slate must have {slots} slots")
    return _Decision(policy, context, slots=slots, key=key, logged=logged, again=again).explained()


class _Decision:
    """The work on one decision; arguments as `explain`, and what deciding it again gave."""

    def __init__(
        self,
        policy: Policy,
        context: ContextBatch,
        *,
        slots: int,
        key: int | None,
        logged: LoggedSlate,
        again: SlateBatch | None,
    ) -> None:
        self._policy, self._context, self._slots = policy, context, slots
        self._key, self._logged, self._again = key, logged, again
        self._mixture = bases_of(policy)
        bases, weights = self._mixture or ((policy,), np.ones(1))
        self._bases, self._weights = bases, weights
        self._problems = [problem_of(base, context, slots=slots) for base in bases]
        self._walks = [SlateUtilities(problem, slots=slots) for problem in self._problems]
        self._laws: list[list[FloatArray]] = [[] for _ in bases]
        self._prefix: list[int] = []
        self._base = self._base_of()

    def explained(self) -> Explanation:
        faults = self._base_faults()
        found: list[ExplainedSlot] = []
        for slot in range(self._slots):
            told = self._slot(slot)
            found.append(told)
            faults += told.faults
            if told.position is None or not self._can_go_on(told):
                if slot + 1 < self._slots:
                    faults.append(f"slot {slot}: no slate goes on like that, so there is no law")
                break
            self._prefix.append(told.position)
            for walk in self._walks:
                walk.show(told.position)
        faults += self._whole_faults(faults, found)
        draw = self._base_draw()
        return Explanation(
            kind=self._policy.name,
            keyed=self._key is not None,
            candidates=self._context.candidates[0].copy(),
            scores=self._context.scores[0].copy(),
            policies=tuple(
                explained_policy(base, problem, weight=float(weight), slots=self._slots)
                for base, problem, weight in zip(
                    self._bases, self._problems, self._weights, strict=True
                )
            ),
            base=self._base,
            base_draw=draw,
            base_interval=None
            if draw is None or self._base is None
            else interval_of(self._weights, int(self._drawn_base())),
            slots=tuple(found),
            faults=tuple(faults),
        )

    def _slot(self, slot: int) -> ExplainedSlot:
        laws = [self._law(number) for number in range(len(self._bases))]
        if self._mixture is None:
            law, empty = laws[0].law, at(laws[0].law, PAD)
        else:
            law, empty = mixed_law(self._weights, self._laws, self._prefix)
        item = int(self._logged.items[slot])
        position = self._position_of(item)
        draw, interval, drawn = self._drawn(slot)
        propensity = float("nan")
        if position is not None and position not in self._prefix:
            propensity = float(law[position]) if position != PAD else empty
        elif position == PAD:
            propensity = empty
        logged = float(self._logged.propensities[slot])
        return ExplainedSlot(
            slot=slot,
            pin=pins_of(self._problems[0], slots=self._slots)[slot],
            law=law,
            empty=empty,
            laws=tuple(laws),
            draw=draw,
            interval=interval,
            drawn=drawn,
            position=position,
            item=item,
            propensity=propensity,
            logged_propensity=logged,
            faults=self._slot_faults(slot, item, position, drawn, (propensity, logged)),
        )

    def _law(self, number: int) -> ExplainedLaw:
        """The next slot under one of the policies."""
        base, problem, walk = self._bases[number], self._problems[number], self._walks[number]
        odds = odds_of(self._weights, self._laws, self._prefix)[number]
        law = law_after(base, self._context, self._prefix, slots=self._slots)
        self._laws[number].append(law)
        closed = closed_at(problem, self._prefix, slots=self._slots)
        redundancy = utility = votes = None
        if is_sampled(base):
            is_open = np.array([reason is None for reason in closed], dtype=np.bool_)
            redundancy = walk.redundancy(is_open)
            utility, votes = walk.utility(redundancy), walk.votes(redundancy)
        return ExplainedLaw(
            odds=float(odds),
            law=law,
            closed=closed,
            redundancy=redundancy,
            utility=utility,
            votes=votes,
        )

    def _drawn(self, slot: int) -> tuple[float | None, tuple[float, float] | None, int | None]:
        """Uniform number, interval and position that the key gives, as far as they are known."""
        if self._key is None or self._base is None:
            return None, None, None
        number = self._drawn_base()
        if not draws_known(self._bases[number]):
            return None, None, self._decided_again(slot)
        law = self._laws[number][-1]
        possible = np.flatnonzero(law > 0.0)
        if len(possible) < 2:
            return None, None, int(possible[0]) if len(possible) else PAD
        draw = float(uniform(np.uint64(self._key), np.uint64(slot), _NO_COUNTER))
        drawn = int(draw_position(law, draw))
        return draw, interval_of(law, drawn), drawn

    def _decided_again(self, slot: int) -> int | None:
        """What deciding again gave at a slot, if the slots before it are the same."""
        if self._again is None:
            return None
        positions = self._again.positions[0].tolist()
        return int(positions[slot]) if positions[:slot] == self._prefix else None

    def _slot_faults(
        self,
        slot: int,
        item: int,
        position: int | None,
        drawn: int | None,
        propensities: tuple[float, float],
    ) -> tuple[str, ...]:
        faults = []
        if position is None:
            faults.append(f"slot {slot}: item {item} is no candidate")
        elif position != PAD and position in self._prefix:
            faults.append(f"slot {slot}: item {item} is in the slate already")
        elif drawn is not None and drawn != position:
            faults.append(
                f"slot {slot}: the draw gives {self._told(drawn)}, the slate has "
                f"{self._told(position)}"
            )
        # By bits: what is not a number differs from everything.
        found, logged = propensities
        if found != logged:
            faults.append(f"slot {slot}: propensity is {found!r}, the log has {logged!r}")
        elif found == 0.0:
            faults.append(f"slot {slot}: the law excludes {self._told(position)}")
        return tuple(faults)

    def _can_go_on(self, told: ExplainedSlot) -> bool:
        """Whether later slots have a law, given what this one holds."""
        if told.position == PAD:
            constrained = all(problem.is_constrained() for problem in self._problems)
            return constrained or told.empty == 1.0
        return told.position not in self._prefix

    def _whole_faults(self, faults: list[str], found: Sequence[ExplainedSlot]) -> list[str]:
        """Where the policy itself, asked for all slots at once, says another thing."""
        if faults or len(found) < self._slots:
            return []
        positions = np.array([[slot.position for slot in found]], dtype=np.int32)
        scored = self._policy.propensities(self._context, positions)[0]
        wrong = np.flatnonzero(scored != self._logged.propensities)
        told = [f"slot {slot}: the policy scores the slate otherwise" for slot in wrong.tolist()]
        if self._again is not None:
            same = self._again.positions[0] == positions[0]
            same &= self._again.propensities[0] == self._logged.propensities
            told += [
                f"slot {slot}: the policy decides otherwise"
                for slot in np.flatnonzero(~same).tolist()
            ]
        return told

    def _base_faults(self) -> list[str]:
        logged = self._logged
        if logged.base is None:
            return []
        if self._mixture is None:
            return [f"base must not be logged of {self._policy.name}, the log has {logged.base}"]
        faults = []
        if not 0 <= logged.base < len(self._bases):
            faults.append(f"base: there is no base {logged.base}")
        elif self._key is not None and logged.base != self._drawn_base():
            faults.append(
                f"base: the draw gives base {self._drawn_base()}, the log has {logged.base}"
            )
        elif logged.base_propensity != float(self._weights[logged.base]):
            faults.append(
                f"base: its propensity is {float(self._weights[logged.base])!r}, the log has "
                f"{logged.base_propensity!r}"
            )
        return faults

    def _base_of(self) -> int | None:
        """The policy that drew the slate: by the key, else by the log."""
        if self._mixture is None:
            return 0
        if self._key is not None:
            return self._drawn_base()
        logged = self._logged.base
        return logged if logged is not None and 0 <= logged < len(self._bases) else None

    def _drawn_base(self) -> int:
        if self._mixture is None or self._key is None:
            return 0
        return int(draw_bases(self._weights, np.array([self._key], dtype=np.uint64))[0])

    def _base_draw(self) -> float | None:
        if self._mixture is None or self._key is None:
            return None
        return float(uniform(np.uint64(self._key), BASE_COUNTER, _NO_COUNTER))

    def _position_of(self, item: int) -> int | None:
        """Where an item stands among the candidates; `PAD` for none, None for a stranger."""
        if item == PAD:
            return PAD
        places = np.flatnonzero(self._context.candidates[0] == item)
        return int(places[0]) if places.size else None

    def _told(self, position: int | None) -> str:
        if position is None or position == PAD:
            return "nothing"
        return f"item {int(self._context.candidates[0, position])} (candidate {position})"


def interval_of(law: FloatArray, position: int) -> tuple[float, float] | None:
    """Where the running sum of a law holds the draws that give a position; None for `PAD`.

    The last possible candidate takes what rounding leaves.

    Example:
        >>> interval_of(np.array([0.25, 0.0, 0.5, 0.25]), 2)
        (0.25, 0.75)
    """
    if position == PAD:
        return None
    sums = np.cumsum(law)
    last = int(np.flatnonzero(law > 0.0)[-1])
    low = float(sums[position - 1]) if position else 0.0
    return low, 1.0 if position == last else float(sums[position])


def _as_logged(slates: SlateBatch) -> LoggedSlate:
    return LoggedSlate(
        items=slates.items[0],
        propensities=slates.propensities[0],
        base=None if slates.base is None else int(slates.base[0]),
        base_propensity=None
        if slates.base_propensity is None
        else float(slates.base_propensity[0]),
    )
