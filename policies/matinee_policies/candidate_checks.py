"""One compiled pass over the candidates of a batch: which may be shown, and what is wrong."""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import BoolArray, FloatArray, IndexArray
from matinee_policies.compiled import kernel
from matinee_policies.diversity import MOST_VALUE
from matinee_policies.records import PAD

FINE = 0
OUTSIDE = 1
REPEATED = 2
NO_VALUE = 3
NO_MEMBER = 4


class Fault(NamedTuple):
    """The first fault of a batch.

    Attributes:
        rule: `FINE`; `OUTSIDE`, a candidate that is no catalogue row; `REPEATED`, one that stands
            twice; `NO_VALUE` or `NO_MEMBER`, an eligible one whose value is not in
            [-MOST_VALUE, MOST_VALUE].
        decision: row of the batch.
        place: of the candidate.
        member: to whom the value is.
    """

    rule: int
    decision: int
    place: int
    member: int


@kernel
def first_fault(
    candidates: IndexArray,
    values: FloatArray,
    members: FloatArray,
    eligible: BoolArray,
    offered: BoolArray,
    catalogue: int,
    available: BoolArray,
) -> Fault:
    """Check a batch, and note which candidates are real and eligible.

    Args:
        candidates: catalogue rows, `int32 [B, K]`; `PAD` for none.
        values: `float64 [B, K]`.
        members: values to each member of an ensemble, `float64 [B, M, K]`, or empty.
        eligible: candidates that may be shown, `bool [B, K]`, or empty.
        offered: likewise.
        catalogue: items of the catalogue.
        available: receives whether a candidate is real and in both, `bool [B, K]`.
    """
    # A place is free for a decision unless that decision marked it, so nothing is cleared between
    # decisions. Each item has its own where the catalogue is no larger than the batch; else they
    # share four times as many places as candidates, by open addressing.
    K = candidates.shape[1]
    alone = catalogue <= candidates.size
    size = 8
    while size < 4 * K:
        size *= 2
    owner = np.full(catalogue if alone else size, PAD, np.int32)
    kept = np.empty(0 if alone else size, np.int32)
    chosen, given = eligible.shape[0] > 0, offered.shape[0] > 0
    for b in range(candidates.shape[0]):
        for k in range(K):
            item = candidates[b, k]
            if item < PAD or item >= catalogue:
                return Fault(OUTSIDE, b, k, 0)
            is_open = item != PAD
            if is_open:
                if alone:
                    if owner[item] == b:
                        return Fault(REPEATED, b, k, 0)
                    owner[item] = b
                else:
                    spot = (item * 40503) & (size - 1)
                    while owner[spot] == b:
                        if kept[spot] == item:
                            return Fault(REPEATED, b, k, 0)
                        spot = (spot + 1) & (size - 1)
                    owner[spot] = b
                    kept[spot] = item
                if chosen:
                    is_open = eligible[b, k]
                if given:
                    is_open = is_open and offered[b, k]
                if is_open and not abs(values[b, k]) <= MOST_VALUE:
                    return Fault(NO_VALUE, b, k, 0)
            available[b, k] = is_open
        if members.shape[0] > 0:
            for member in range(members.shape[1]):
                for k in range(K):
                    if available[b, k] and not abs(members[b, member, k]) <= MOST_VALUE:
                        return Fault(NO_MEMBER, b, k, member)
    return Fault(FINE, 0, 0, 0)
