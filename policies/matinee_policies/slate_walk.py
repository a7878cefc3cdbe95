"""The compiled walk over the slots of many slates, drawing or following."""

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    UInt64Array,
)
from matinee_policies.compiled import kernel
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
    best_candidate,
    new_tiles,
    rank_candidates,
    set_top,
    set_unexplained,
    set_utilities,
    show_factor,
    show_vector,
    start_tiles,
    take_explained,
    take_similar,
)
from matinee_policies.rules import GREEDY, VOTES, fill_law
from matinee_policies.similarity import TILE, cosines, gather_tile
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
    embeddings: AnyArray,
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
        embeddings: of the catalogue, `[M, m]`.
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
    by_vectors = kind in (CODE_MMR, CODE_DPP)
    by_aspects = kind != CODE_NONE and not by_vectors
    capped = aspect_cap > 0 or creator_cap > 0
    lazy = code == GREEDY and by_vectors and costs.shape[0] == 0
    # Where the best candidate takes all, there is no law to spell out.
    explores = uniform_weight > 0.0 or exploring_weight > 0.0
    tiles = new_tiles(K, L, embeddings, kind if by_vectors else CODE_NONE)
    lists = new_lists(K if by_aspects else 0, aspects.shape[1] if by_aspects else 0)
    law, utility, redundancy = np.empty(K), np.empty(K), np.zeros(K)
    picks = np.empty(members.shape[1], np.int32)
    aspect_counts = np.empty(aspects.shape[1], np.int32)
    counted_items = np.empty(2 * L, np.int32)
    place, top, part, done, order = tiles.place, tiles.top, tiles.part, tiles.done, tiles.order
    open_values, utilities, redundancies = tiles.value, tiles.utility, tiles.redundancy
    variance, factor, found = tiles.variance, tiles.factor, tiles.found
    shown_factor, shown_scale, vectors = tiles.shown_factor, tiles.shown_scale, tiles.shown
    block, rows, counts = tiles.block, tiles.rows, tiles.counts
    T = top.shape[0]
    for k in range(K):
        order[k] = k
    for b in range(positions.shape[0]):
        if lazy:
            rank_candidates(values[b], available[b], order, counts)
        remaining = start_tiles(tiles, values[b], available[b])
        if by_aspects:
            start_lists(lists, candidates[b], aspects, interests[b], kind)
        for m in range(members.shape[1]):
            picks[m] = PAD
        pins = min(pinned.shape[1], L)
        for slot in range(pins):
            pin = pinned[b, slot]
            if pin != PAD and open_values[place[pin]] > CLOSED:
                open_values[place[pin]] = CLOSED
                utilities[place[pin]] = CLOSED
                remaining -= 1
        counted = 0
        if capped:
            for g in range(aspects.shape[1]):
                aspect_counts[g] = 0
            for slot in range(pins):
                if pinned[b, slot] != PAD:
                    closed, exceeded = count_item(
                        open_values,
                        utilities,
                        place,
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
        for t in range(T):
            set_top(utilities, top, t, part)
        shown, cost = 0, 0.0
        for slot in range(last + 1):
            pin = pinned[b, slot] if slot < pins else PAD
            is_free = pin == PAD and remaining > 0
            best = pin
            if is_free:
                if by_aspects:
                    if kind == CODE_CALIBRATED:
                        set_divergences(lists, shown, smoothing, redundancies)
                    else:
                        set_uncovered(lists, redundancies)
                    for t in range(T):
                        set_utilities(open_values, redundancies, utilities, t * TILE, price)
                        set_top(utilities, top, t, part)
                elif by_vectors and shown > 0:
                    largest = CLOSED
                    for t in range(T):
                        if lazy and top[t] < largest:
                            continue
                        if done[t] < shown:
                            if done[t] == PAD:
                                gather_tile(
                                    candidates[b], order, t * TILE, embeddings, rows, block[t]
                                )
                                done[t] = 0
                            for j in range(done[t], shown):
                                cosines(block[t], vectors[j], found)
                                if kind == CODE_MMR:
                                    take_similar(found, redundancies, t * TILE)
                                else:
                                    take_explained(
                                        found, factor, shown_factor, shown_scale, variance, t, j
                                    )
                            done[t] = shown
                            if kind == CODE_DPP:
                                set_unexplained(variance, open_values, redundancies, t * TILE)
                            set_utilities(open_values, redundancies, utilities, t * TILE, price)
                            set_top(utilities, top, t, part)
                        largest = max(largest, top[t])
                best = best_candidate(utilities, order, top)
                if code != GREEDY or laws.shape[0] > 0 or costs.shape[0] > 0:
                    for k in range(K):
                        utility[k] = utilities[place[k]]
                        redundancy[k] = redundancies[place[k]]
                    if code == VOTES:
                        share_votes(members[b], utility, redundancy, price, picks, law)
                    fill_law(
                        utility,
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
                        positions[b, slot] = _draw_greedy(
                            open_values, place, best, other, most, draw
                        )
                    else:
                        positions[b, slot] = draw_position(law, draw)
            chosen = positions[b, slot]
            if chosen == PAD:
                items[b, slot] = PAD
                propensities[b, slot] = 0.0 if is_free or pin != PAD else 1.0
                continue
            item = candidates[b, chosen]
            items[b, slot] = item
            if not is_free:
                propensities[b, slot] = 1.0 if chosen == pin else 0.0
            elif code != GREEDY:
                propensities[b, slot] = law[chosen]
            elif open_values[place[chosen]] == CLOSED:
                propensities[b, slot] = 0.0
            else:
                propensities[b, slot] = most if chosen == best else other
            if open_values[place[chosen]] > CLOSED:
                open_values[place[chosen]] = CLOSED
                utilities[place[chosen]] = CLOSED
                remaining -= 1
                set_top(utilities, top, place[chosen] // TILE, part)
            if slot == last:
                continue
            if capped and not is_pinned(pinned[b], chosen, L):
                closed, _ = count_item(
                    open_values,
                    utilities,
                    place,
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
                if closed > 0:
                    remaining -= closed
                    for t in range(T):
                        set_top(utilities, top, t, part)
            if by_vectors:
                show_vector(embeddings, item, vectors[shown])
                if kind == CODE_DPP:
                    show_factor(tiles, chosen, shown)
            elif by_aspects:
                show_aspects(lists, chosen, kind)
            shown += 1
        if laws.shape[0] > 0:
            for k in range(K):
                laws[b, k] = law[k]
        if costs.shape[0] > 0:
            costs[b] = max(cost, 0.0)
    return FINE


@kernel
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


@kernel
def _draw_greedy(
    value: FloatArray, place: IndexArray, best: int, other: float, most: float, draw: float
) -> int:
    """`draw_position` from a law of `most` for the best candidate and `other` for all open ones."""
    total = 0.0
    last = PAD
    for k in range(place.shape[0]):
        share = most if k == best else other
        if share > 0.0 and value[place[k]] > CLOSED:
            last = k
            total += share
            if draw < total:
                break
    return last
