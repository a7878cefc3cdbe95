"""Slates from a law that is asked for slot by slot, where no value of a candidate tells it.

A `Law` gives the probabilities of the candidates that remain at a slot. Which remain is found by
the walk of all slates (`slate.py`), so pins, caps and eligibility mean what they mean everywhere;
so does the floor: p_i = (1 - w) law_i + w / n. Slots at which one candidate remains do not ask.
"""

from typing import Protocol

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray, UInt64Array
from matinee_policies.diversity import MOST_VALUE, Caps
from matinee_policies.philox import uniform
from matinee_policies.records import PAD, ContextBatch, SlateBatch
from matinee_policies.rules import softmax_rule
from matinee_policies.slate import NO_CAPS, SlateProblem, law_at
from matinee_policies.slate_problem import (
    check_array,
    check_positions,
    check_slates,
    check_slots,
    slate_length,
)
from matinee_policies.slate_walk import draw_position


class Law(Protocol):
    """Tells how likely each of some candidates is at a slot."""

    def __call__(self, decision: int, remaining: AnyArray, *, slot: int) -> FloatArray:
        """The law of one slot.

        Args:
            decision: its row in the batch.
            remaining: positions among its candidates, rising, at least 2.
            slot: counted from 0.

        Returns:
            Probabilities that sum to 1, `float64 [len(remaining)]`.
        """


def sample_by_law(
    contexts: ContextBatch,
    law: Law,
    *,
    slots: int,
    keys: UInt64Array,
    weight: float = 0.0,
    caps: Caps = NO_CAPS,
) -> SlateBatch:
    """Draw one slate per decision.

    Args:
        contexts: `B` decisions.
        law: of each slot.
        slots: length `L` of every slate, at least 1.
        keys: decision keys, `uint64 [B]`.
        weight: of the uniform law at each slot, in [0, 1].
        caps: most items of one aspect or creator on a slate.

    Raises:
        ContextError: as `slate.sample_slates`.
    """
    check_slots(slots)
    check_array(keys, "keys", np.uint64, (len(contexts),))
    positions = np.full((len(contexts), slots), PAD, dtype=np.int32)
    propensities = np.ones(positions.shape)
    walk = _Walk(contexts, law, weight=weight, caps=caps)
    for slot in range(slots):
        laws = walk.laws(positions, slot=slot)
        positions[:, slot] = _drawn(laws, keys, slot=slot)
        propensities[:, slot] = _at(laws, positions[:, slot])
    items = np.where(
        positions == PAD,
        PAD,
        np.take_along_axis(contexts.candidates, positions.clip(0), axis=1)
        if contexts.candidates.shape[1]
        else PAD,
    ).astype(np.int32)
    return SlateBatch(positions=positions, items=items, propensities=propensities)


def score_by_law(
    contexts: ContextBatch,
    law: Law,
    slates: IndexArray,
    *,
    weight: float = 0.0,
    caps: Caps = NO_CAPS,
) -> FloatArray:
    """Probability of each item of any slates given those before it, as `slate.score_slates`."""
    walk = _Walk(contexts, law, weight=weight, caps=caps)
    slots = slate_length(slates)
    check_slates(slates, walk.open)
    propensities = np.empty(slates.shape)
    for slot in range(slots):
        propensities[:, slot] = _at(walk.laws(slates, slot=slot), slates[:, slot])
    return propensities


def next_by_law(
    contexts: ContextBatch,
    law: Law,
    prefix: IndexArray,
    *,
    slots: int,
    weight: float = 0.0,
    caps: Caps = NO_CAPS,
) -> FloatArray:
    """Law of the slot that follows a prefix of fewer than `slots` slots, `float64 [B, K]`."""
    check_positions(prefix, contexts)
    slates = np.full((len(prefix), slots), PAD, dtype=np.int32)
    slates[:, : prefix.shape[1]] = prefix
    return _Walk(contexts, law, weight=weight, caps=caps).laws(slates, slot=prefix.shape[1])


class _Walk:
    """The laws along slates.

    Attributes:
        open: a problem of the same constraints, whose law is above 0 for whatever remains.
    """

    def __init__(self, contexts: ContextBatch, law: Law, *, weight: float, caps: Caps) -> None:
        self.open = SlateProblem(
            contexts=contexts,
            values=np.zeros(contexts.candidates.shape),
            rule=softmax_rule(1.0),
            caps=caps,
        )
        self._contexts, self._law, self._caps = contexts, law, caps
        self._rule = softmax_rule(1.0, floor=weight)

    def laws(self, slates: IndexArray, *, slot: int) -> FloatArray:
        """Law of a slot given the items before it, `float64 [B, K]`."""
        remains = law_at(self.open, slates, slot=slot) > 0.0
        # A softmax of logarithms at temperature 1 is the law itself.
        values = np.zeros(remains.shape)
        for decision in np.flatnonzero(remains.sum(axis=1) > 1).tolist():
            remaining = np.flatnonzero(remains[decision])
            found = self._law(decision, remaining, slot=slot)
            is_possible = found > 0.0
            values[decision, remaining] = np.where(
                is_possible, np.log(np.where(is_possible, found, 1.0)), -MOST_VALUE
            )
        problem = SlateProblem(
            contexts=self._contexts, values=values, rule=self._rule, caps=self._caps
        )
        return law_at(problem, slates, slot=slot)


def _at(laws: FloatArray, positions: IndexArray) -> FloatArray:
    """What laws give to positions; an empty slot is certain where nothing remains, else wrong."""
    empty = positions == PAD
    if not laws.shape[1]:
        return np.ones(len(positions))
    shown = np.take_along_axis(laws, positions.clip(0)[:, None], axis=1)[:, 0]
    return np.where(empty, (laws == 0.0).all(axis=1).astype(np.float64), shown)


def _drawn(laws: FloatArray, keys: UInt64Array, *, slot: int) -> IndexArray:
    """A position for each decision, `int32 [B]`."""
    place = np.uint64(slot)
    return np.array(
        [
            draw_position(law, uniform(key, place, np.uint64(0)))
            for law, key in zip(laws, keys, strict=True)
        ],
        dtype=np.int32,
    )
