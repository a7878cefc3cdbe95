"""Pins and caps of one decision, compiled: which candidates a slate still has room for.

A pinned item is shown at its own slot and nowhere else; a pin beyond the last slot reserves
nothing. Pins count towards caps before the first slot, so a cap never stands in the way of a pin.
"""

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray
from matinee_policies.compiled import lean_kernel
from matinee_policies.records import PAD
from matinee_policies.redundancy_vectors import CLOSED


@lean_kernel
def is_pinned(pinned: IndexArray, k: int, slots: int) -> bool:
    """Whether candidate `k` is pinned to one of the first `slots` slots; `pinned` `int32 [P]`."""
    found = False
    for slot in range(min(pinned.shape[0], slots)):
        found = found or pinned[slot] == k
    return found


@lean_kernel
def count_item(
    value: FloatArray,
    utility: FloatArray,
    item: int,
    candidates: IndexArray,
    aspects: Float32Array,
    creators: IndexArray,
    aspect_cap: int,
    creator_cap: int,
    aspect_counts: IndexArray,
    items: IndexArray,
    counted: int,
) -> tuple[int, bool]:
    """Count an item towards the caps, and close the candidates that a full cap leaves no room for.

    Args:
        value: value of each candidate, -infinity where closed, `float64 [at least K]`; updated.
        utility: likewise, `float64 [at least K]`; updated.
        item: catalogue row.
        candidates: catalogue rows, `int32 [K]`.
        aspects: shares of the catalogue, `float32 [M, G]`.
        creators: of the catalogue, `int32 [M]`.
        aspect_cap: most items of an aspect, 0 for no cap.
        creator_cap: most items of a creator, 0 for no cap.
        aspect_counts: items of each aspect so far, `int32 [G]`; updated.
        items: items counted so far, room for one more; updated.
        counted: how many those are.

    Returns:
        How many candidates were closed, and whether a cap is exceeded.
    """
    closed, exceeded = 0, False
    same = 0
    if creator_cap > 0 and creators[item] >= 0:
        same = 1
        for n in range(counted):
            same += creators[items[n]] == creators[item]
        exceeded = same > creator_cap
    items[counted] = item
    # One more than the aspects: the last round is for the creator.
    for g in range(aspects.shape[1] + 1):
        by_creator = g == aspects.shape[1]
        if by_creator:
            is_full = same > 0 and same == creator_cap
        elif aspect_cap > 0 and aspects[item, g] > 0.0:
            aspect_counts[g] += 1
            exceeded = exceeded or aspect_counts[g] > aspect_cap
            is_full = aspect_counts[g] == aspect_cap
        else:
            is_full = False
        if not is_full:
            continue
        for k in range(candidates.shape[0]):
            row = candidates[k]
            if row == PAD or value[k] == CLOSED:
                continue
            if (creators[row] == creators[item]) if by_creator else (aspects[row, g] > 0.0):
                value[k] = CLOSED
                utility[k] = CLOSED
                closed += 1
    return closed, exceeded
