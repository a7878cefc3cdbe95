"""One page: which items a batch of users click, how they like them, and whether they leave.

Each user's page depends on that user's state and draws alone, so results do not depend on how
users are batched or ordered.
"""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import BoolArray, Float32Array, IndexArray
from matinee_policies.compiled import lean_kernel
from matinee_policies.philox import normal, uniform
from matinee_simulator.click_models import (
    CASCADE,
    MULTINOMIAL,
    ClickLaw,
    choice_score,
    click_law,
    examined_ranks,
    has_enough,
)
from matinee_simulator.draws import Streams, moment
from matinee_simulator.fatigue import count_impressions
from matinee_simulator.logistic import logistic
from matinee_simulator.parameters import Parameters
from matinee_simulator.response import (
    ResponseWeights,
    attraction,
    redundancy,
    response_weights,
)
from matinee_simulator.satiation import (
    SatiationWeights,
    add_satiation,
    decay_satiation,
    remaining_share,
    satiation_weights,
    satiation_with,
)
from matinee_simulator.satisfaction import (
    SatisfactionWeights,
    cut_rating,
    expected_satisfaction,
    exponential_delay,
    satisfaction_weights,
    watched_fraction,
)
from matinee_simulator.session_end import LeaveWeights, leave_probability, leave_weights
from matinee_simulator.truth import ItemTruth, relevance_of
from matinee_simulator.user_state import UserState


class PageWeights(NamedTuple):
    """All parameters that a page needs, as kernels take them."""

    response: ResponseWeights
    law: ClickLaw
    satisfaction: SatisfactionWeights
    satiation: SatiationWeights
    leave: LeaveWeights
    fatigue_days: int
    max_pages: int


def page_weights(parameters: Parameters) -> PageWeights:
    """The part of `parameters` that speaks of a page."""
    return PageWeights(
        response=response_weights(parameters),
        law=click_law(parameters),
        satisfaction=satisfaction_weights(parameters),
        satiation=satiation_weights(parameters),
        leave=leave_weights(parameters),
        fatigue_days=parameters.fatigue_days,
        max_pages=parameters.max_pages,
    )


class PageArrays(NamedTuple):
    """What a page writes for `n` users and `L` slots; see `feedback.PageFeedback`."""

    clicks: BoolArray
    watch: Float32Array
    ratings: Float32Array
    rating_delay: Float32Array
    left: BoolArray


def empty_page(n: int, slots: int) -> PageArrays:
    """Nothing clicked, nothing seen."""
    return PageArrays(
        clicks=np.zeros((n, slots), dtype=np.bool_),
        watch=np.full((n, slots), np.nan, dtype=np.float32),
        ratings=np.full((n, slots), np.nan, dtype=np.float32),
        rating_delay=np.full((n, slots), np.nan, dtype=np.float32),
        left=np.zeros(n, dtype=np.bool_),
    )


@lean_kernel
def serve_pages(
    truth: ItemTruth,
    users: UserState,
    weights: PageWeights,
    keys: Streams,
    units: IndexArray,
    slates: IndexArray,
    day: int,
    page: int,
    out: PageArrays,
) -> None:
    """Show one page to each of `units`, advance their state and fill `out`.

    Args:
        truth: of the items.
        users: latent state, changed in place.
        weights: of the model.
        keys: streams of random numbers.
        units: distinct users who are browsing, `int32 [n]`.
        slates: item rows, distinct within a row, -1 for empty slots, `int32 [n, L]`.
        day: the day.
        page: page within the session, from 0.
        out: receives the feedback.
    """
    for row in range(units.shape[0]):
        unit = units[row]
        number = users.numbers[unit]
        _come_to_today(users, weights.satiation, unit, day)
        draw = uniform(keys.depth, number, moment(day, page, 0))
        depth = examined_ranks(draw, weights.law.persistence, slates.shape[1])
        within = slates[row, :depth]
        if weights.law.model == MULTINOMIAL:
            clicks, satisfaction = _choose_one(
                truth, users, weights, keys, unit, row, within, day, page, out
            )
        else:
            depth, clicks, satisfaction = _click_in_turn(
                truth, users, weights, keys, unit, row, within, day, page, out
            )
        _remember_page(
            truth.topics, users, weights.satiation, unit, slates[row], depth, day, out.clicks[row]
        )
        chance = leave_probability(
            weights.leave, users.leave_frailty[unit], satisfaction, clicks, page + 1
        )
        draw = uniform(keys.leave, number, moment(day, page, 0))
        out.left[row] = page + 1 >= weights.max_pages or draw < chance
        users.browsing[unit] = not out.left[row]
        users.depth[unit] = depth
        users.pages[unit] = page + 1
        users.clicks[unit] += clicks
        users.satisfaction[unit] += satisfaction


@lean_kernel
def _come_to_today(users: UserState, weights: SatiationWeights, unit: int, day: int) -> None:
    """Let satiation decay up to `day`."""
    if users.satiation_day[unit] != day:
        share = remaining_share(weights, day - users.satiation_day[unit])
        decay_satiation(users.satiation[unit], share)
        users.satiation_day[unit] = day


@lean_kernel
def _click_in_turn(
    truth: ItemTruth,
    users: UserState,
    weights: PageWeights,
    keys: Streams,
    unit: int,
    row: int,
    within: IndexArray,
    day: int,
    page: int,
    out: PageArrays,
) -> tuple[int, int, float]:
    """Click some of the items within patience, from the top.

    Returns:
        Ranks examined, clicks, and the sum of satisfaction with them.
    """
    clicks, total = 0, 0.0
    for rank in range(within.shape[0]):
        item = within[rank]
        if item < 0:
            continue
        relevance = relevance_of(truth, users.taste[unit], item)
        satiation = satiation_with(users.satiation[unit], truth.topics[item])
        logit = attraction(
            weights.response,
            relevance,
            truth.appeal[item],
            satiation,
            redundancy(truth.similarity, within, rank),
            count_impressions(
                users.shown_item[unit], users.shown_day[unit], item, day, weights.fatigue_days
            ),
        )
        at = moment(day, page, rank)
        if uniform(keys.click, users.numbers[unit], at) < logistic(logit + truth.boost[item]):
            liked = _click(
                truth,
                users,
                weights.satisfaction,
                keys,
                unit,
                row,
                rank,
                at,
                item,
                relevance,
                satiation,
                out,
            )
            clicks += 1
            total += liked
            if weights.law.model == CASCADE and has_enough(
                weights.law, liked, normal(keys.enough, users.numbers[unit], at)
            ):
                return rank + 1, clicks, total
    return within.shape[0], clicks, total


@lean_kernel
def _choose_one(
    truth: ItemTruth,
    users: UserState,
    weights: PageWeights,
    keys: Streams,
    unit: int,
    row: int,
    within: IndexArray,
    day: int,
    page: int,
    out: PageArrays,
) -> tuple[int, float]:
    """Click at most one of the items within patience; clicks, and satisfaction with them."""
    number = users.numbers[unit]
    chosen = -1
    highest = choice_score(0.0, uniform(keys.choice, number, moment(day, page, 0)))
    for rank in range(within.shape[0]):
        item = within[rank]
        if item < 0:
            continue
        logit = attraction(
            weights.response,
            relevance_of(truth, users.taste[unit], item),
            truth.appeal[item],
            satiation_with(users.satiation[unit], truth.topics[item]),
            redundancy(truth.similarity, within, rank),
            count_impressions(
                users.shown_item[unit], users.shown_day[unit], item, day, weights.fatigue_days
            ),
        )
        logit += truth.boost[item]
        score = choice_score(logit, uniform(keys.click, number, moment(day, page, rank)))
        if score > highest:
            chosen, highest = rank, score
    if chosen < 0:
        return 0, 0.0
    item, at = within[chosen], moment(day, page, chosen)
    relevance = relevance_of(truth, users.taste[unit], item)
    satiation = satiation_with(users.satiation[unit], truth.topics[item])
    liked = _click(
        truth,
        users,
        weights.satisfaction,
        keys,
        unit,
        row,
        chosen,
        at,
        item,
        relevance,
        satiation,
        out,
    )
    return 1, liked


@lean_kernel
def _click(
    truth: ItemTruth,
    users: UserState,
    weights: SatisfactionWeights,
    keys: Streams,
    unit: int,
    row: int,
    rank: int,
    at: np.uint64,
    item: int,
    relevance: float,
    satiation: float,
    out: PageArrays,
) -> float:
    """Note a click and what is seen of it; satisfaction y with it."""
    number = users.numbers[unit]
    liked = expected_satisfaction(weights, relevance, truth.appeal[item], satiation)
    liked += weights.noise * normal(keys.satisfaction, number, at)
    out.clicks[row, rank] = True
    out.watch[row, rank] = watched_fraction(
        weights, liked, users.watch_bias[unit], normal(keys.watch, number, at)
    )
    if uniform(keys.rated, number, at) < weights.rating_share:
        score = truth.mean + truth.sd * relevance + users.rating_bias[unit]
        noisy = score + truth.rating_noise * normal(keys.rating, number, at)
        out.ratings[row, rank] = cut_rating(truth.cuts, truth.levels, noisy)
        out.rating_delay[row, rank] = exponential_delay(
            weights.rating_delay, uniform(keys.delay, number, at)
        )
    return liked


@lean_kernel
def _remember_page(
    topics: Float32Array,
    users: UserState,
    weights: SatiationWeights,
    unit: int,
    slate: IndexArray,
    depth: int,
    day: int,
    clicks: BoolArray,
) -> None:
    """Add the page to the user's satiation and impressions."""
    capacity = users.shown_item.shape[1]
    for rank in range(slate.shape[0]):
        item = slate[rank]
        if item < 0:
            continue
        if rank < depth:
            add_satiation(weights, users.satiation[unit], topics[item], clicks[rank])
        if not clicks[rank]:
            place = users.shown_place[unit]
            users.shown_item[unit, place] = item
            users.shown_day[unit, place] = day
            users.shown_place[unit] = place + 1 if place + 1 < capacity else 0
