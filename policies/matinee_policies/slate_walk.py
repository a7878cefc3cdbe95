"""The compiled walk over the slots of many slates, drawing or following."""

import numpy as np

from matinee_policies.arrays import (
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    UInt64Array,
)
from matinee_policies.compiled import kernel, lean_kernel
from matinee_policies.largest import first_largest, next_reaching
from matinee_policies.philox import uniform
from matinee_policies.records import PAD
from matinee_policies.redundancy_aspects import (
    new_lists,
    set_divergences,
    set_uncovered,
    show_aspects,
    start_lists,
)
from matinee_policies.redundancy_codes import CODE_CALIBRATED, CODE_DPP, CODE_MMR, CODE_NONE
from matinee_policies.redundancy_vectors import (
    CLOSED,
    LEFT,
    LOG_SLACK,
    REPEATED,
    SEEN,
    new_ledger,
    show,
    take_in,
)
from matinee_policies.rules import GREEDY, VOTES, fill_law
from matinee_policies.slate_constraints import count_item, is_pinned
from matinee_policies.slate_votes import share_votes

FINE = -1
"""What `walk` returns where no pin breaks a cap."""


@kernel
def walk(
    values: FloatArray,
    members: FloatArray,
    available: BoolArray,
    candidates: IndexArray,
    single: Float32Array,
    double: FloatArray,
    pinned: IndexArray,
    aspects: Float32Array,
    creators: IndexArray,
    interests: Float32Array,
    aspect_cap: int,
    creator_cap: int,
    kind: int,
    price: float,
    smoothing: float,
    code: int,
    parameter: float,
    uniform_weight: float,
    exploring_weight: float,
    keys: UInt64Array,
    positions: IndexArray,
    items: IndexArray,
    propensities: FloatArray,
    laws: FloatArray,
    costs: FloatArray,
    last: int,
) -> int:
    """Fill slates slot by slot: drawn where there are keys, else following `positions`.

    Optional outputs are left out by a length of 0; so are keys, members, pins and interests.

    Args:
        values: finite where available, `float64 [B, K]`.
        members: of the rule of votes, `float64 [B, M, K]`.
        available: candidates that are real and eligible, `bool [B, K]`.
        candidates: catalogue rows, `int32 [B, K]`.
        single: vectors of the catalogue, `float32 [M, m]`, or without rows.
        double: likewise, read where `single` is without rows, `float64 [M, m]`.
        pinned: position that each slot must show, or `PAD`, `int32 [B, P]`.
        aspects: of the catalogue, `float32 [M, G]`.
        creators: of the catalogue, `int32 [M]`.
        interests: mix of the unit, `float32 [B, G]`.
        aspect_cap: most items of an aspect, or 0.
        creator_cap: most items of a creator, or 0.
        kind: code of the redundancy.
        price: of the redundancy.
        smoothing: of calibration.
        code: of the rule.
        parameter: of the rule.
        uniform_weight: of the rule at these slots.
        exploring_weight: of the rule at these slots.
        keys: decision keys, `uint64 [B]`.
        positions: drawn or followed, `int32 [B, L]`.
        items: receives catalogue rows, `int32 [B, L]`.
        propensities: receives the law at `positions`, `float64 [B, L]`.
        laws: receives the law of slot `last`, `float64 [B, K]`.
        costs: receives utility given up by exploration, `float64 [B]`.
        last: slot after which to stop.

    Returns:
        `FINE`, or the first decision whose pins break a cap by themselves.
    """
    # Loops rather than slices: numba compiles an assignment to a slice ten times as long.
    K, L = values.shape[1], positions.shape[1]
    by_dpp = kind == CODE_DPP
    by_vectors = by_dpp or kind == CODE_MMR
    by_aspects = kind != CODE_NONE and not by_vectors
    capped = aspect_cap > 0 or creator_cap > 0
    # Where the best candidate takes all but the floor, there is no law to spell out.
    spelt_out = code != GREEDY or laws.shape[0] > 0 or costs.shape[0] > 0
    explores = uniform_weight > 0.0 or exploring_weight > 0.0
    slack = LOG_SLACK if by_dpp and not spelt_out else 0.0
    ledger = new_ledger(K, L, max(single.shape[1], double.shape[1]), kind if by_vectors else 0)
    lists = new_lists(K if by_aspects else 0, aspects.shape[1] if by_aspects else 0)
    law = np.empty(K)
    picks = np.empty(members.shape[1], np.int32)
    aspect_counts = np.empty(aspects.shape[1], np.int32)
    counted_items = np.empty(2 * L, np.int32)
    value, utility, redundancy = ledger.value, ledger.utility, ledger.redundancy
    notes, slate = ledger.notes, ledger.shown
    for b in range(positions.shape[0]):
        remaining = 0
        for k in range(K):
            worth = values[b, k] if available[b, k] else CLOSED
            remaining += available[b, k]
            value[k] = worth
            utility[k] = worth
            redundancy[k] = 0.0
        for k in range(notes.shape[0]):
            notes[k, SEEN] = 0.0
            notes[k, REPEATED] = 0.0
            notes[k, LEFT] = 1.0
        if by_aspects:
            start_lists(lists, candidates[b], aspects, interests[b], kind)
        for m in range(members.shape[1]):
            picks[m] = PAD
        pins = min(pinned.shape[1], L)
        for slot in range(pins):
            pin = pinned[b, slot]
            if pin != PAD and value[pin] > CLOSED:
                value[pin] = CLOSED
                utility[pin] = CLOSED
                remaining -= 1
        counted = 0
        if capped:
            for g in range(aspects.shape[1]):
                aspect_counts[g] = 0
            for slot in range(pins):
                if pinned[b, slot] != PAD:
                    closed, exceeded = count_item(
                        value,
                        utility,
                        candidates[b, pinned[b, slot]],
                        candidates[b],
                        aspects,
                        creators,
                        aspect_cap,
                        creator_cap,
                        aspect_counts,
                        counted_items,
                        counted,
                    )
                    remaining -= closed
                    counted += 1
                    if exceeded:
                        return b
        shown, cost = 0, 0.0
        for slot in range(last + 1):
            pin = pinned[b, slot] if slot < pins else PAD
            is_free = pin == PAD and remaining > 0
            best = pin
            if is_free:
                if by_aspects:
                    if kind == CODE_CALIBRATED:
                        set_divergences(lists, shown, smoothing, redundancy)
                    else:
                        set_uncovered(lists, redundancy)
                    for k in range(K):
                        utility[k] = value[k] - price * redundancy[k]
                best = first_largest(utility)
                if by_vectors and shown > 0:
                    # From the candidate of the largest bound on, only those whose bound comes
                    # before the best so far; all, where the law of each is spelt out.
                    k, start, largest = best, 0, CLOSED
                    while k != PAD:
                        item = int(candidates[b, k])
                        repeated = take_in(k, item, shown, kind, single, double, notes, slate)
                        redundancy[k] = repeated
                        found = value[k] - price * repeated
                        utility[k] = value[k] - price * (repeated - slack)
                        if found > largest or (found == largest and k < best):
                            best, largest = k, found
                        k = next_reaching(utility, start, CLOSED if spelt_out else largest, best)
                        start = k + 1
                if spelt_out:
                    if code == VOTES:
                        share_votes(members[b], utility[:K], redundancy, price, picks, law)
                    fill_law(
                        utility[:K],
                        remaining,
                        code,
                        parameter,
                        uniform_weight,
                        exploring_weight,
                        law,
                    )
                    if costs.shape[0] > 0 and remaining > 1:
                        for k in range(K):
                            if law[k] > 0.0:
                                cost += law[k] * (utility[best] - utility[k])
            elif laws.shape[0] > 0:
                for k in range(K):
                    law[k] = 1.0 if k == pin else 0.0
            # The greedy law has two values only: one of the best and one of all others.
            other = uniform_weight / remaining if is_free and remaining > 1 else 0.0
            most = other + (1.0 - exploring_weight) if remaining > 1 else 1.0
            if keys.shape[0] > 0:
                if not is_free or (code == GREEDY and not explores):
                    positions[b, slot] = best
                else:
                    draw = uniform(keys[b], np.uint64(slot), np.uint64(0))
                    if code == GREEDY:
                        positions[b, slot] = _draw_greedy(value, K, best, other, most, draw)
                    else:
                        positions[b, slot] = draw_position(law, draw)
            chosen = int(positions[b, slot])
            if chosen == PAD:
                items[b, slot] = PAD
                propensities[b, slot] = 0.0 if is_free or pin != PAD else 1.0
                continue
            item = int(candidates[b, chosen])
            items[b, slot] = item
            if not is_free:
                propensities[b, slot] = 1.0 if chosen == pin else 0.0
            elif code != GREEDY:
                propensities[b, slot] = law[chosen]
            elif value[chosen] == CLOSED:
                propensities[b, slot] = 0.0
            else:
                propensities[b, slot] = most if chosen == best else other
            if value[chosen] > CLOSED:
                value[chosen] = CLOSED
                utility[chosen] = CLOSED
                remaining -= 1
            if slot == last:
                continue
            if capped and not is_pinned(pinned[b], chosen, L):
                closed, _ = count_item(
                    value,
                    utility,
                    item,
                    candidates[b],
                    aspects,
                    creators,
                    aspect_cap,
                    creator_cap,
                    aspect_counts,
                    counted_items,
                    counted,
                )
                counted += 1
                remaining -= closed
            if by_vectors:
                if by_dpp and notes[chosen, SEEN] < shown:
                    take_in(chosen, item, shown, kind, single, double, notes, slate)
                show(chosen, item, shown, kind, single, double, notes, slate)
            elif by_aspects:
                show_aspects(lists, chosen, kind)
            shown += 1
        if laws.shape[0] > 0:
            for k in range(K):
                laws[b, k] = law[k]
        if costs.shape[0] > 0:
            costs[b] = max(cost, 0.0)
    return FINE


@lean_kernel
def draw_position(law: FloatArray, draw: float) -> int:
    """First candidate at which the running sum of a law exceeds a uniform number.

    Args:
        law: probabilities that sum to about 1, or all 0, `float64 [K]`.
        draw: in [0, 1).

    Returns:
        A position of probability above 0; `PAD` if there is none.
    """
    total = 0.0
    last = PAD
    for k in range(law.shape[0]):
        if law[k] > 0.0:
            # Should rounding leave the sum below the draw, the last possible candidate takes it.
            last = k
            total += law[k]
            if draw < total:
                break
    return last


@lean_kernel
def _draw_greedy(
    value: FloatArray, candidates: int, best: int, other: float, most: float, draw: float
) -> int:
    """`draw_position` from a law of `most` for the best candidate and `other` for all open ones."""
    total = 0.0
    last = PAD
    for k in range(candidates):
        share = most if k == best else other
        if share > 0.0 and value[k] > CLOSED:
            last = k
            total += share
            if draw < total:
                break
    return last
