"""Plain twins of the page kernels: one user at a time, written for reading and for tests."""

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.philox import normal, uniform
from matinee_simulator.click_models import (
    CASCADE,
    MULTINOMIAL,
    choice_score_reference,
    examined_ranks_reference,
)
from matinee_simulator.draws import Streams, moment
from matinee_simulator.fatigue import count_impressions_reference
from matinee_simulator.page import PageArrays, PageWeights, empty_page
from matinee_simulator.response import (
    attraction_reference,
    redundancy_reference,
)
from matinee_simulator.satisfaction import cut_rating_reference
from matinee_simulator.session_end import leave_probability_reference
from matinee_simulator.truth import ItemTruth
from matinee_simulator.user_state import UserState


def serve_page_reference(
    truth: ItemTruth,
    users: UserState,
    weights: PageWeights,
    keys: Streams,
    unit: int,
    slate: IndexArray,
    day: int,
    page: int,
) -> PageArrays:
    """Plain twin of `page.serve_pages` for one user without empty slots; changes their state."""
    number, liking = users.numbers[unit], weights.satisfaction
    relevance, satiation, logits = attraction_now_reference(truth, users, weights, unit, slate, day)
    start = np.uint64(moment(day, page, 0))
    draw = uniform(keys.depth, number, start)
    depth = examined_ranks_reference(draw, weights.law.persistence, slate.size)
    out = empty_page(1, slate.size)
    total = 0.0
    for rank in _would_click(weights.law.model, keys, number, logits[:depth], day, page):
        at = np.uint64(moment(day, page, rank))
        liked = liking.base + liking.relevance * relevance[rank]
        liked -= liking.appeal * truth.appeal[slate[rank]] + liking.satiation * satiation[rank]
        liked += liking.noise * normal(keys.satisfaction, number, at)
        total += liked
        out.clicks[0, rank] = True
        logit = liked + users.watch_bias[unit]
        logit += liking.watch_noise * normal(keys.watch, number, at)
        out.watch[0, rank] = 1 / (1 + np.exp(-logit))
        if uniform(keys.rated, number, at) < liking.rating_share:
            score = truth.mean + truth.sd * relevance[rank] + users.rating_bias[unit]
            score += truth.rating_noise * normal(keys.rating, number, at)
            out.ratings[0, rank] = cut_rating_reference(truth.cuts, truth.levels, score)
            delay = -np.log(1 - uniform(keys.delay, number, at))
            out.rating_delay[0, rank] = liking.rating_delay * delay
        threshold = weights.law.enough + weights.law.enough_sd * normal(keys.enough, number, at)
        if weights.law.model == CASCADE and liked > threshold:
            depth = rank + 1
            break
    clicks = int(out.clicks.sum())
    seen = np.array([total, clicks, page + 1])
    leaving = leave_probability_reference(weights.leave, users.leave_frailty[unit], *seen)
    out.left[0] = uniform(keys.leave, number, start) < leaving or page + 1 >= weights.max_pages
    _remember(truth, users, weights, unit, slate, day, depth, out)
    users.browsing[unit] = not out.left[0]
    users.pages[unit], users.depth[unit] = page + 1, depth
    users.clicks[unit] += clicks
    users.satisfaction[unit] += total
    return out


def _would_click(
    model: int, keys: Streams, number: np.uint64, logits: FloatArray, day: int, page: int
) -> list[int]:
    """Ranks clicked by a user whom no click satisfies enough to stop, rising."""
    slots = [np.uint64(moment(day, page, rank)) for rank in range(logits.size)]
    draws = [uniform(keys.click, number, at) for at in slots]
    if model != MULTINOMIAL:
        chances = 1 / (1 + np.exp(-logits))
        return [rank for rank, draw in enumerate(draws) if draw < chances[rank]]
    nothing = choice_score_reference(0.0, uniform(keys.choice, number, slots[0]))
    scores = [choice_score_reference(logits[rank], draw) for rank, draw in enumerate(draws)]
    best = int(np.argmax(scores))
    return [best] if scores[best] > nothing else []


def attraction_now_reference(
    truth: ItemTruth,
    users: UserState,
    weights: PageWeights,
    unit: int,
    slate: IndexArray,
    day: int,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Relevance, satiation and logit of attractiveness of each item of a full slate."""
    topics = truth.topics[slate].astype(np.float64)
    relevance = truth.quality[slate] + truth.factors[slate].astype(np.float64) @ users.taste[unit]
    satiation = topics @ satiation_now_reference(users, weights, unit, day)
    repeats = [redundancy_reference(truth.similarity, slate, k) for k in range(slate.size)]
    held = users.shown_item[unit] >= 0
    days = users.shown_day[unit][held].tolist()
    shown = list(zip(users.shown_item[unit][held].tolist(), days, strict=True))
    counts = [
        count_impressions_reference(shown, int(item), day, weights.fatigue_days) for item in slate
    ]
    logits = attraction_reference(
        weights.response,
        relevance,
        truth.appeal[slate],
        satiation,
        np.array(repeats),
        np.array(counts, dtype=np.int32),
    )
    return relevance, satiation, logits + truth.boost[slate]


def satiation_now_reference(
    users: UserState, weights: PageWeights, unit: int, day: int
) -> FloatArray:
    """A user's satiation by topic, decayed to `day`, `float64 [G]`."""
    days = day - users.satiation_day[unit]
    return np.asarray(2.0 ** (-days / weights.satiation.half_life) * users.satiation[unit])


def _remember(
    truth: ItemTruth,
    users: UserState,
    weights: PageWeights,
    unit: int,
    slate: IndexArray,
    day: int,
    depth: int,
    out: PageArrays,
) -> None:
    clicked = truth.topics[slate[out.clicks[0]]].sum(axis=0)
    examined = truth.topics[slate[:depth]].sum(axis=0)
    grown = satiation_now_reference(users, weights, unit, day) + clicked
    grown = grown + weights.satiation.impression * examined
    users.satiation[unit] = np.minimum(weights.satiation.cap, grown)
    users.satiation_day[unit] = day
    for item in slate[~out.clicks[0]]:
        place = users.shown_place[unit]
        users.shown_item[unit, place], users.shown_day[unit, place] = item, day
        users.shown_place[unit] = (place + 1) % users.shown_item.shape[1]
