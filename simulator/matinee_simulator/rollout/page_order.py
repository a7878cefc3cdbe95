"""Choose and order a page among the candidates of one user, given what they are worth."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import (
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
)
from matinee_policies.compiled import kernel
from matinee_policies.largest import first_largest, next_reaching
from matinee_policies.philox import stream_key
from matinee_policies.records import PAD
from matinee_policies.redundancy_codes import CODE_MMR
from matinee_policies.redundancy_vectors import LEFT, REPEATED, SEEN, show, take_in
from matinee_simulator.rollout.rankers import POPULARITY, RELEVANCE, Ranker

_CLOSED = -np.inf


class Orders(NamedTuple):
    """The rankers of the first, second, ... of `V` visits, as kernels take them.

    Attributes:
        codes: of the value of a candidate, `int64 [V]`.
        numbers: scale, price, weight of satisfaction and price of satiation, `float64 [V, 4]`.
        key: stream of the random order.
    """

    codes: Int64Array
    numbers: FloatArray
    key: np.uint64


def orders_of(rankers: Sequence[Ranker], *, seed: int) -> Orders:
    """What kernels need of the rankers of a user's visits; the last one stays."""
    return Orders(
        codes=np.array([ranker.code for ranker in rankers], dtype=np.int64),
        numbers=np.array([ranker[2:] for ranker in rankers], dtype=np.float64),
        key=stream_key(seed, "rollout", "order"),
    )


@kernel
def is_plain(code: int, price: float) -> bool:
    """Whether a page is the best of its candidates by the score that ranked them."""
    return price == 0.0 and code in (RELEVANCE, POPULARITY)


@kernel
def take_candidates(
    pool: IndexArray,
    taken: BoolArray,
    depth: int,
    candidates: IndexArray,
    places: IndexArray,
) -> int:
    """The best items of a visit's pool that it has not shown yet.

    Args:
        pool: items, best first, -1 once they have run out, `int32 [P]`.
        taken: which of them the visit has shown, `bool [P]`.
        depth: how many of them are ranked.
        candidates: receives the items, -1 on the right, `int32 [K]`.
        places: receives their places in the pool, `int32 [K]`.

    Returns:
        How many there are.
    """
    filled, wanted = 0, places.shape[0]
    for place in range(depth):
        if filled == wanted:
            break
        if not taken[place] and pool[place] >= 0:
            candidates[filled] = pool[place]
            places[filled] = place
            filled += 1
    for empty in range(filled, wanted):
        candidates[empty] = -1
    return filled


@kernel
def take_first(filled: int, positions: IndexArray) -> None:
    """The candidates in their order."""
    for slot in range(positions.shape[0]):
        positions[slot] = slot if slot < filled else -1


@kernel
def take_largest(values: FloatArray, filled: int, positions: IndexArray) -> None:
    """Positions of the largest values, the first among equals; -1 where they run out.

    Args:
        values: of candidates; those taken become -infinity, `float64 [K]`.
        filled: how many there are.
        positions: receives positions, `int32 [L]`.
    """
    for slot in range(positions.shape[0]):
        best = -1
        highest = _CLOSED
        for k in range(filled):
            if values[k] > highest:
                best, highest = k, values[k]
        positions[slot] = best
        if best >= 0:
            values[best] = _CLOSED


@kernel
def take_diverse(
    values: FloatArray,
    filled: int,
    price: float,
    candidates: IndexArray,
    embeddings: Float32Array,
    doubles: FloatArray,
    utility: FloatArray,
    notes: FloatArray,
    picked: FloatArray,
    positions: IndexArray,
) -> None:
    """Greedy maximal marginal relevance, as the platform's sampler has it (`slate_walk.walk`).

    Args:
        values: of candidates; those taken become -infinity, `float64 [K]`.
        filled: how many there are.
        price: of the largest cosine with the items above, at least 0.
        candidates: their items, `int32 [K]`.
        embeddings: of all items, `float32 [M, m]`.
        doubles: without rows.
        utility: room for bounds, in whole groups.
        notes: room for what each candidate knows.
        picked: room for the vectors of the slate.
        positions: receives positions, -1 where candidates run out, `int32 [L]`.
    """
    for k in range(utility.shape[0]):
        utility[k] = values[k] if k < filled else _CLOSED
    for k in range(filled):
        notes[k, SEEN] = 0.0
        notes[k, REPEATED] = 0.0
        notes[k, LEFT] = 1.0
    for slot in range(positions.shape[0]):
        best = first_largest(utility)
        if slot > 0:
            # Redundancy never falls, so only candidates whose bound comes first are worked out.
            k, start, largest = best, 0, _CLOSED
            while k != PAD:
                item = int(candidates[k])
                repeated = take_in(k, item, slot, CODE_MMR, embeddings, doubles, notes, picked)
                utility[k] = values[k] - price * repeated
                if utility[k] > largest or (utility[k] == largest and k < best):
                    best, largest = k, utility[k]
                k = next_reaching(utility, start, largest, best)
                start = k + 1
        positions[slot] = best
        if best == PAD:
            continue
        show(best, int(candidates[best]), slot, CODE_MMR, embeddings, doubles, notes, picked)
        values[best] = _CLOSED
        utility[best] = _CLOSED


def take_diverse_reference(
    values: FloatArray, price: float, vectors: Float32Array, slots: int
) -> list[int]:
    """Plain twin of `take_diverse`: positions, of candidates with `vectors [K, m]`."""
    chosen: list[int] = []
    cosines = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    for _ in range(min(slots, values.size)):
        repeated = cosines[:, chosen].max(axis=1, initial=0.0)
        utility = values - price * repeated
        utility[chosen] = _CLOSED
        chosen.append(int(utility.argmax()))
    return chosen
