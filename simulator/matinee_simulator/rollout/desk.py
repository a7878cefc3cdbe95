"""Room to work in and to write to, for one compiled rollout: allocated once for many users."""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.walk_arrays import (
    NO_ASPECTS,
    NO_COSTS,
    NO_CREATORS,
    NO_DOUBLES,
    NO_INTERESTS,
    NO_LAWS,
    NO_MEMBERS,
    NO_PINS,
)
from matinee_simulator.page import PageArrays, empty_page


class Desk(NamedTuple):
    """Scratch of one user at a time; `P` items ranked for a visit, `K` candidates, `L` slots.

    Attributes:
        unit: the user, `int32 [1]`.
        pool: items ranked for the visit, best first, `int32 [P]`.
        pool_scores: their scores, `float32 [P]`.
        taken: which of them the visit has shown, `bool [P]`.
        hidden: items that are no candidates of the visit, `uint64 [1, W]`.
        vector: of the user under the model that ranks, `float32 [1, f]`.
        places: place in the pool of each candidate of the page, `int32 [K]`.
        candidates: their items, -1 on the right, `int32 [1, K]`.
        available: which there are, `bool [1, K]`.
        values: what they are worth, `float64 [1, K]`.
        positions: candidates chosen, by slot, `int32 [1, L]`.
        slate: their items, `int32 [1, L]`.
        propensities: not read, `float64 [1, L]`.
        clicked_unit: the user, once per click of the page, `int32 [L]`.
        clicked: items clicked, `int32 [L]`.
        stars: what their plays stand for, `float32 [L]`.
        due: days on which late ratings come, `int32 [Q]`.
        due_item: rated items, `int32 [Q]`.
        due_stars: the ratings, `float32 [Q]`.
        keys: not read, `uint64 [1]`.
        response: of the page.
    """

    unit: IndexArray
    pool: IndexArray
    pool_scores: Float32Array
    taken: BoolArray
    hidden: UInt64Array
    vector: Float32Array
    places: IndexArray
    candidates: IndexArray
    available: BoolArray
    values: FloatArray
    positions: IndexArray
    slate: IndexArray
    propensities: FloatArray
    clicked_unit: IndexArray
    clicked: IndexArray
    stars: Float32Array
    due: IndexArray
    due_item: IndexArray
    due_stars: Float32Array
    keys: UInt64Array
    response: PageArrays


def new_desk(
    *, depth: int, candidates: int, slots: int, words: int, factors: int, items: int
) -> Desk:
    """An empty desk.

    Args:
        depth: `P`.
        candidates: `K`.
        slots: `L`.
        words: `W`.
        factors: `f`.
        items: of the catalogue: a user clicks each once at most, so no more ratings are on
            their way.
    """
    return Desk(
        unit=np.zeros(1, dtype=np.int32),
        pool=np.full(depth, -1, dtype=np.int32),
        pool_scores=np.zeros(depth, dtype=np.float32),
        taken=np.zeros(depth, dtype=np.bool_),
        hidden=np.zeros((1, words), dtype=np.uint64),
        vector=np.zeros((1, factors), dtype=np.float32),
        places=np.zeros(candidates, dtype=np.int32),
        candidates=np.full((1, candidates), -1, dtype=np.int32),
        available=np.zeros((1, candidates), dtype=np.bool_),
        values=np.zeros((1, candidates)),
        positions=np.full((1, slots), -1, dtype=np.int32),
        slate=np.full((1, slots), -1, dtype=np.int32),
        propensities=np.zeros((1, slots)),
        clicked_unit=np.zeros(slots, dtype=np.int32),
        clicked=np.zeros(slots, dtype=np.int32),
        stars=np.zeros(slots, dtype=np.float32),
        due=np.zeros(items, dtype=np.int32),
        due_item=np.zeros(items, dtype=np.int32),
        due_stars=np.zeros(items, dtype=np.float32),
        keys=np.zeros(1, dtype=np.uint64),
        response=empty_page(1, slots),
    )


class Blanks(NamedTuple):
    """What a walk over slates is given where a rollout has nothing to say."""

    members: FloatArray
    doubles: FloatArray
    pins: IndexArray
    aspects: Float32Array
    creators: IndexArray
    interests: Float32Array
    laws: FloatArray
    costs: FloatArray


BLANKS = Blanks(
    NO_MEMBERS,
    NO_DOUBLES,
    NO_PINS,
    NO_ASPECTS,
    NO_CREATORS,
    NO_INTERESTS,
    NO_LAWS,
    NO_COSTS,
)


class Tally(NamedTuple):
    """What a rollout writes of `n` users; see `played.Played`."""

    visits: BoolArray
    sessions: IndexArray
    pages: IndexArray
    impressions: IndexArray
    examined: IndexArray
    clicks: IndexArray
    satisfaction: FloatArray
    watched: FloatArray
    exposure: Int64Array
    slot_impressions: Int64Array
    slot_examined: Int64Array
    slot_clicks: Int64Array
    difference: FloatArray
    """Sum over slates of the mean difference of their pairs, and slates, `float64 [2]`."""


def new_tally(*, users: int, days: int, items: int, slots: int) -> Tally:
    """A tally of nothing."""
    return Tally(
        visits=np.zeros((users, days), dtype=np.bool_),
        sessions=np.zeros(users, dtype=np.int32),
        pages=np.zeros(users, dtype=np.int32),
        impressions=np.zeros(users, dtype=np.int32),
        examined=np.zeros(users, dtype=np.int32),
        clicks=np.zeros(users, dtype=np.int32),
        satisfaction=np.zeros(users),
        watched=np.zeros(users),
        exposure=np.zeros(items, dtype=np.int64),
        slot_impressions=np.zeros(slots, dtype=np.int64),
        slot_examined=np.zeros(slots, dtype=np.int64),
        slot_clicks=np.zeros(slots, dtype=np.int64),
        difference=np.zeros(2),
    )


class Rows(NamedTuple):
    """Room for `S` sessions; see `played.Sessions`."""

    user: IndexArray
    day: IndexArray
    pages: IndexArray
    impressions: IndexArray
    examined: IndexArray
    clicks: IndexArray
    first_page_clicks: IndexArray
    last_page_clicks: IndexArray
    satisfaction: Float32Array
    watched: Float32Array
    goodwill: Float32Array


def new_rows(size: int) -> Rows:
    """Room for `size` sessions."""
    fields: dict[str, AnyArray] = {
        name: np.zeros(size, dtype=np.int32 if kind is IndexArray else np.float32)
        for name, kind in Rows.__annotations__.items()
    }
    return Rows(**fields)
