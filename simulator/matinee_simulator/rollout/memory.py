"""How the platform of a rollout learns of one user, event by event: kernels over plain arrays."""

import math
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import Float32Array, IndexArray, Int64Array, UInt64Array
from matinee_policies.candidates.fold_in import add_observations
from matinee_policies.compiled import kernel
from matinee_simulator.page import PageArrays
from matinee_simulator.rollout.view import Known, View, stars_of

_ONE = np.uint64(1)
_LONGEST = 2.0**20


class News(NamedTuple):
    """What has come to the platform of one user and what is on its way; `L` slots.

    Attributes:
        units: the user, `int32 [L]`.
        items: watched or rated, `int32 [L]`.
        stars: ratings, or what plays stand for, `float32 [L]`.
        due: days and items of ratings on their way, `int32 [2, Q]`.
        due_stars: those ratings, `float32 [Q]`.
        waiting: how many there are, `int64 [1]`.
    """

    units: IndexArray
    items: IndexArray
    stars: Float32Array
    due: IndexArray
    due_stars: Float32Array
    waiting: Int64Array


def new_news(*, slots: int, items: int) -> News:
    """No news.

    Args:
        slots: of a page, `L`.
        items: of the catalogue: a user clicks each once at most, so no more ratings than that
            are ever on their way.
    """
    return News(
        units=np.zeros(slots, dtype=np.int32),
        items=np.zeros(slots, dtype=np.int32),
        stars=np.zeros(slots, dtype=np.float32),
        due=np.zeros((2, items), dtype=np.int32),
        due_stars=np.zeros(items, dtype=np.float32),
        waiting=np.zeros(1, dtype=np.int64),
    )


@kernel
def hide_items(
    seen: UInt64Array, resting: IndexArray, closed: UInt64Array, hidden: UInt64Array
) -> None:
    """Hide what a user has rated or watched, what rests, and what no one can be shown.

    Args:
        seen: `uint64 [W]`.
        resting: item rows, -1 for none, `int32 [R]`.
        closed: `uint64 [W]`.
        hidden: receives the bits, `uint64 [W]`.
    """
    for word in range(hidden.shape[0]):
        hidden[word] = seen[word] | closed[word]
    for place in range(resting.shape[0]):
        item = resting[place]
        if item >= 0:
            hidden[item >> 6] |= _ONE << np.uint64(item & 63)


@kernel
def observe_page(
    view: View,
    known: Known,
    unit: int,
    day: int,
    slate: IndexArray,
    response: PageArrays,
    news: News,
) -> None:
    """Let the platform learn of one page, ratings excepted, which come later.

    Args:
        view: what it knows of items.
        known: what it knows of users; changed.
        unit: the user.
        day: the day.
        slate: items shown, -1 for none, `int32 [L]`.
        response: to them.
        news: room for plays; ratings on their way are added.
    """
    plays = 0
    rest = known.resting.shape[1]
    for slot in range(slate.shape[0]):
        item = slate[slot]
        if item < 0:
            continue
        if rest > 0:
            known.resting[unit, known.shown[unit] % rest] = item
        known.shown[unit] += 1
        if response.clicks[0, slot]:
            known.seen[unit, item >> 6] |= _ONE << np.uint64(item & 63)
            news.units[plays] = unit
            news.items[plays] = item
            news.stars[plays] = stars_of(view, response.watch[0, slot])
            plays += 1
            if not math.isnan(response.ratings[0, slot]):
                delay = min(float(response.rating_delay[0, slot]), _LONGEST)
                place = news.waiting[0]
                news.due[0, place] = day + math.floor(delay)
                news.due[1, place] = item
                news.due_stars[place] = response.ratings[0, slot]
                news.waiting[0] += 1
    if plays > 0:
        _fold_in(view, known, news, plays)


@kernel
def take_in_ratings(view: View, known: Known, unit: int, day: int, news: News) -> bool:
    """Fold in the ratings that came before `day`, by their day and then in order.

    Arguments as `observe_page`.

    Returns:
        Whether there were any.
    """
    due, due_stars = news.due, news.due_stars
    before = news.waiting[0]
    while True:
        soonest = day
        for place in range(news.waiting[0]):
            soonest = min(soonest, int(due[0, place]))
        if soonest == day:
            return bool(news.waiting[0] != before)
        left = 0
        for place in range(news.waiting[0]):
            if due[0, place] == soonest:
                news.units[0] = unit
                news.items[0] = due[1, place]
                news.stars[0] = due_stars[place]
                _fold_in(view, known, news, 1)
            else:
                due[0, left] = due[0, place]
                due[1, left] = due[1, place]
                due_stars[left] = due_stars[place]
                left += 1
        news.waiting[0] = left


@kernel
def _fold_in(view: View, known: Known, news: News, count: int) -> None:
    add_observations(
        news.units[:count],
        news.items[:count],
        news.stars[:count],
        view.taste_factors,
        view.taste_offset,
        view.weights[0],
        view.weights[1],
        view.weights[2],
        view.weights[3],
        known.gram,
        known.pull,
        known.counts,
    )
