"""Room to work in and to write to, for one compiled rollout: allocated once for many users."""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import (
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.largest import GROUP
from matinee_policies.walk_arrays import NO_DOUBLES
from matinee_simulator.page import PageArrays, empty_page

LANES = 8
"""Numbers of float64 in one vector of the machine, to which vectors of a slate are padded."""


class Desk(NamedTuple):
    """Scratch of one user at a time; `P` items ranked for a visit, `K` candidates, `L` slots.

    Attributes:
        unit: the user, `int32 [1]`.
        vector: of the user under the model that ranks, `float32 [1, f]`.
        hidden: items that are no candidates of the visit, `uint64 [1, W]`.
        pool: items ranked for the visit, best first, `int32 [P]`.
        scores: their scores, `float32 [P]`.
        taken: which of them the visit has shown, `bool [P]`.
        places: place in the pool of each candidate of the page, `int32 [K]`.
        candidates: their items, -1 on the right, `int32 [1, K]`.
        values: what they are worth, `float64 [1, K]`.
        utility: with what repeats taken off, in whole groups, `float64 [>= K]`.
        notes: of `redundancy_vectors.take_in`, `float64 [K, 3 + L]`.
        picked: vectors of the slate, of `redundancy_vectors.show`, `float64 [...]`.
        doubles: no vectors.
        positions: candidates chosen, by slot, `int32 [L]`.
        slate: their items, `int32 [1, L]`.
        response: of the page.
    """

    unit: IndexArray
    vector: Float32Array
    hidden: UInt64Array
    pool: IndexArray
    scores: Float32Array
    taken: BoolArray
    places: IndexArray
    candidates: IndexArray
    values: FloatArray
    utility: FloatArray
    notes: FloatArray
    picked: FloatArray
    doubles: FloatArray
    positions: IndexArray
    slate: IndexArray
    response: PageArrays


def new_desk(
    *, depth: int, candidates: int, slots: int, words: int, factors: int, width: int
) -> Desk:
    """An empty desk.

    Args:
        depth: `P`.
        candidates: `K`.
        slots: `L`.
        words: `W`.
        factors: `f`.
        width: of the vectors of similarity.
    """
    padded, after = _whole(width), _whole(1 + slots)
    return Desk(
        unit=np.zeros(1, dtype=np.int32),
        vector=np.zeros((1, factors), dtype=np.float32),
        hidden=np.zeros((1, words), dtype=np.uint64),
        pool=np.full(depth, -1, dtype=np.int32),
        scores=np.zeros(depth, dtype=np.float32),
        taken=np.zeros(depth, dtype=np.bool_),
        places=np.zeros(candidates, dtype=np.int32),
        candidates=np.full((1, candidates), -1, dtype=np.int32),
        values=np.zeros((1, candidates)),
        utility=np.full(-(-candidates // GROUP) * GROUP, -np.inf),
        notes=np.zeros((candidates, 3 + slots)),
        picked=np.zeros(slots * (padded + after)),
        doubles=NO_DOUBLES,
        positions=np.full(slots, -1, dtype=np.int32),
        slate=np.full((1, slots), -1, dtype=np.int32),
        response=empty_page(1, slots),
    )


def _whole(n: int) -> int:
    return -(-n // LANES) * LANES


USER_COUNTS = ("sessions", "pages", "impressions", "examined", "clicks")
"""Columns of `Tally.counts`."""

SLOT_COUNTS = ("impressions", "examined", "clicks")
"""Rows of `Tally.slots`."""

ROW_COUNTS = (
    "user",
    "day",
    "pages",
    "impressions",
    "examined",
    "clicks",
    "first_page_clicks",
    "last_page_clicks",
)
"""Columns of `Rows.counts`."""

ROW_SUMS = ("satisfaction", "watched", "goodwill")
"""Columns of `Rows.sums`."""


class Tally(NamedTuple):
    """What a rollout counts of `n` users, `M` items and `L` slots.

    Attributes:
        visits: who visits on which day, `bool [n, days]`.
        counts: by user, `int32 [n, len(USER_COUNTS)]`.
        sums: satisfaction and watched fractions by user, `float64 [n, 2]`.
        exposure: times each item was examined, `int64 [M]`.
        slots: by slot, `int64 [len(SLOT_COUNTS), L]`.
        difference: sum over slates of the mean difference of their pairs; slates, `float64 [2]`.
    """

    visits: BoolArray
    counts: IndexArray
    sums: FloatArray
    exposure: Int64Array
    slots: Int64Array
    difference: FloatArray


def new_tally(*, users: int, days: int, items: int, slots: int) -> Tally:
    """A tally of nothing."""
    return Tally(
        visits=np.zeros((users, days), dtype=np.bool_),
        counts=np.zeros((users, len(USER_COUNTS)), dtype=np.int32),
        sums=np.zeros((users, 2)),
        exposure=np.zeros(items, dtype=np.int64),
        slots=np.zeros((len(SLOT_COUNTS), slots), dtype=np.int64),
        difference=np.zeros(2),
    )


class Rows(NamedTuple):
    """Room for `S` sessions; columns are those of `played.Sessions`.

    Attributes:
        counts: `int32 [S, len(ROW_COUNTS)]`.
        sums: `float32 [S, len(ROW_SUMS)]`.
        written: rows written, `int64 [1]`.
    """

    counts: IndexArray
    sums: Float32Array
    written: Int64Array


def new_rows(size: int) -> Rows:
    """Room for `size` sessions."""
    return Rows(
        np.zeros((size, len(ROW_COUNTS)), dtype=np.int32),
        np.zeros((size, len(ROW_SUMS)), dtype=np.float32),
        np.zeros(1, dtype=np.int64),
    )
