"""The whole life of users under a ranker, one after another, in one compiled call.

Each user goes through arrivals, visits, pages and churn by the kernels of `daily` and `page`, with
the draws of that user, as in `Simulation`. Around them stands a platform that folds the user in
from what it observes and ranks its items once per visit, as the offline runs of the platform do.

Ranking is exact. Only as many items are ranked as the first pages need; if a visit goes on, the
longer list is worked out anew, and begins with the shorter one.
"""

import math

import numpy as np

from matinee_policies.arrays import Float32Array, IndexArray, UInt64Array
from matinee_policies.candidates.fold_in import add_observations, solve_vectors
from matinee_policies.candidates.top_k import rank_into
from matinee_policies.compiled import kernel
from matinee_simulator.daily import close_visit, open_visit
from matinee_simulator.draws import Streams
from matinee_simulator.item_boost import truth_on
from matinee_simulator.page import PageWeights, serve_pages
from matinee_simulator.retention import RetentionWeights
from matinee_simulator.rollout.desk import Blanks, Desk, Rows, Tally
from matinee_simulator.rollout.page_order import Order, order_page
from matinee_simulator.rollout.view import Known, View, stars_of
from matinee_simulator.taste_drift import TasteDrift, drift_taste
from matinee_simulator.truth import ItemTruth
from matinee_simulator.user_state import UserState

_ONE = np.uint64(1)
_LONGEST = 2.0**20


@kernel
def live(
    truth: ItemTruth,
    boosts: Float32Array,
    closed: UInt64Array,
    users: UserState,
    weights: PageWeights,
    retention: RetentionWeights,
    drift: TasteDrift,
    keys: Streams,
    view: View,
    known: Known,
    order: Order,
    blanks: Blanks,
    desk: Desk,
    first_depth: int,
    keep: bool,
    tally: Tally,
    rows: Rows,
) -> int:
    """Play every user from the first day to the last.

    Args:
        truth: of the items.
        boosts: of `ItemBoost.table`, `float32 [days or 1, M]`.
        closed: items that no one can be shown, by day or for all, `uint64 [days or 1, W]`.
        users: latent state, fresh; changed in place.
        weights: of pages.
        retention: of visits.
        drift: of tastes.
        keys: streams of random numbers.
        view: what the platform knows of items.
        known: what it knows of these users; changed in place.
        order: of candidates.
        blanks: see `desk`.
        desk: room to work in.
        first_depth: items ranked for the first pages of a visit.
        keep: whether to write a row for each session.
        tally: counts, all 0; written.
        rows: room for all sessions if `keep`, else for one.

    Returns:
        Rows written.
    """
    written = 0
    days = tally.visits.shape[1]
    for unit in range(tally.visits.shape[0]):
        desk.unit[0] = unit
        waiting, is_stale = 0, False
        for day in range(users.arrival[unit], days):
            if users.churned[unit]:
                break
            if not open_visit(users, retention, keys.visit, unit, day):
                continue
            tally.visits[unit, day] = True
            drift_taste(users, drift, unit, day)
            before = waiting
            waiting = _take_in_ratings(view, known, desk, waiting, day)
            if is_stale or waiting != before:
                _solve(view, known, desk.unit)
                is_stale = False
            here = truth_on(truth, boosts, day)
            _hide(known, closed[day if closed.shape[0] > 1 else 0], desk)
            row = written if keep else 0
            waiting = _visit(
                here,
                users,
                weights,
                keys,
                view,
                known,
                order,
                blanks,
                desk,
                first_depth,
                waiting,
                day,
                tally,
                rows,
                row,
            )
            is_stale = users.clicks[unit] > 0
            close_visit(users, retention, keys.churn, unit, day)
            rows.user[row] = unit
            rows.day[row] = day
            rows.goodwill[row] = users.goodwill[unit]
            written += 1 if keep else 0
    return written


@kernel
def _visit(
    truth: ItemTruth,
    users: UserState,
    weights: PageWeights,
    keys: Streams,
    view: View,
    known: Known,
    order: Order,
    blanks: Blanks,
    desk: Desk,
    first_depth: int,
    waiting: int,
    day: int,
    tally: Tally,
    rows: Rows,
    row: int,
) -> int:
    """One session, and what it leaves in `row` of `rows`; ratings on their way afterwards."""
    unit = desk.unit[0]
    depth = min(first_depth, desk.pool.shape[0])
    _rank(view, known, desk, depth)
    for place in range(desk.taken.shape[0]):
        desk.taken[place] = False
    rows.pages[row] = 0
    rows.impressions[row] = 0
    rows.examined[row] = 0
    rows.watched[row] = 0.0
    slots = desk.slate.shape[1]
    for page in range(weights.max_pages):
        filled = _take_candidates(desk, depth)
        if filled < desk.places.shape[0] and depth < desk.pool.shape[0]:
            depth = desk.pool.shape[0]
            _rank(view, known, desk, depth)
            filled = _take_candidates(desk, depth)
        order_page(truth, users, weights, view, order, blanks, desk, filled, day, page)
        for slot in range(slots):
            position = desk.positions[0, slot]
            desk.slate[0, slot] = -1
            if position >= 0:
                desk.slate[0, slot] = desk.candidates[0, position]
                desk.taken[desk.places[position]] = True
            desk.response.clicks[0, slot] = False
            desk.response.ratings[0, slot] = np.nan
        serve_pages(truth, users, weights, keys, desk.unit, desk.slate, day, page, desk.response)
        waiting = _observe(view, known, desk, waiting, day)
        clicks = _count(truth, users.depth[unit], desk, tally, rows, row)
        if page == 0:
            rows.first_page_clicks[row] = clicks
        rows.last_page_clicks[row] = clicks
        if desk.response.left[0]:
            break
    rows.clicks[row] = users.clicks[unit]
    rows.satisfaction[row] = users.satisfaction[unit]
    tally.sessions[unit] += 1
    tally.pages[unit] += rows.pages[row]
    tally.impressions[unit] += rows.impressions[row]
    tally.examined[unit] += rows.examined[row]
    tally.clicks[unit] += users.clicks[unit]
    tally.satisfaction[unit] += users.satisfaction[unit]
    tally.watched[unit] += rows.watched[row]
    return waiting


@kernel
def _hide(known: Known, closed: UInt64Array, desk: Desk) -> None:
    """Hide what the user has rated or watched, what rests, and what no one can be shown."""
    unit = desk.unit[0]
    for word in range(closed.shape[0]):
        desk.hidden[0, word] = known.seen[unit, word] | closed[word]
    for place in range(known.resting.shape[1]):
        item = known.resting[unit, place]
        if item >= 0:
            desk.hidden[0, item >> 6] |= _ONE << np.uint64(item & 63)


@kernel
def _rank(view: View, known: Known, desk: Desk, depth: int) -> None:
    """The `depth` best items that are not hidden, into the pool."""
    vector = desk.vector[0]
    for f in range(vector.shape[0]):
        vector[f] = known.vectors[desk.unit[0], f] if view.is_folded else view.prior[f]
    rank_into(
        view.offset,
        view.factors,
        desk.vector,
        desk.hidden,
        view.score_mean,
        view.score_scale,
        desk.pool[:depth].reshape((1, depth)),
        desk.pool_scores[:depth].reshape((1, depth)),
    )


@kernel
def _take_candidates(desk: Desk, depth: int) -> int:
    """The best items of the pool that the visit has not shown, as candidates; how many."""
    filled, wanted = 0, desk.places.shape[0]
    for place in range(depth):
        if filled == wanted:
            break
        if not desk.taken[place] and desk.pool[place] >= 0:
            desk.candidates[0, filled] = desk.pool[place]
            desk.places[filled] = place
            filled += 1
    for empty in range(filled, wanted):
        desk.candidates[0, empty] = -1
    return filled


@kernel
def _observe(view: View, known: Known, desk: Desk, waiting: int, day: int) -> int:
    """Let the platform learn of one page; ratings on their way afterwards."""
    unit, clicks = desk.unit[0], 0
    rest = known.resting.shape[1]
    for slot in range(desk.slate.shape[1]):
        item = desk.slate[0, slot]
        if item < 0:
            continue
        if rest > 0:
            known.resting[unit, known.shown[unit] % rest] = item
        known.shown[unit] += 1
        if desk.response.clicks[0, slot]:
            known.seen[unit, item >> 6] |= _ONE << np.uint64(item & 63)
            desk.clicked_unit[clicks] = unit
            desk.clicked[clicks] = item
            desk.stars[clicks] = stars_of(view, desk.response.watch[0, slot])
            clicks += 1
            if not math.isnan(desk.response.ratings[0, slot]):
                delay = min(desk.response.rating_delay[0, slot], _LONGEST)
                desk.due[waiting] = day + math.floor(delay)
                desk.due_item[waiting] = item
                desk.due_stars[waiting] = desk.response.ratings[0, slot]
                waiting += 1
    if clicks > 0:
        _fold_in(view, known, desk, clicks)
    return waiting


@kernel
def _take_in_ratings(view: View, known: Known, desk: Desk, waiting: int, day: int) -> int:
    """Fold in the ratings that came before `day`, by day and in order; those still on their way."""
    while True:
        soonest = day
        for place in range(waiting):
            soonest = min(soonest, desk.due[place])
        if soonest == day:
            return waiting
        left = 0
        for place in range(waiting):
            item, stars = desk.due_item[place], desk.due_stars[place]
            if desk.due[place] == soonest:
                desk.clicked_unit[0], desk.clicked[0], desk.stars[0] = desk.unit[0], item, stars
                _fold_in(view, known, desk, 1)
            else:
                desk.due[left] = desk.due[place]
                desk.due_item[left] = item
                desk.due_stars[left] = stars
                left += 1
        waiting = left


@kernel
def _fold_in(view: View, known: Known, desk: Desk, count: int) -> None:
    add_observations(
        desk.clicked_unit[:count],
        desk.clicked[:count],
        desk.stars[:count],
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


@kernel
def _solve(view: View, known: Known, unit: IndexArray) -> None:
    """Bring the user's vector up to date."""
    solve_vectors(
        unit,
        known.gram,
        known.pull,
        known.counts,
        view.base,
        view.ridge,
        view.ridge_per_observation,
        view.taste_prior,
        known.vectors[unit[0] : unit[0] + 1],
    )


@kernel
def _count(truth: ItemTruth, depth: int, desk: Desk, tally: Tally, rows: Rows, row: int) -> int:
    """Count one page; its clicks."""
    shown, clicks = 0, 0
    for slot in range(desk.slate.shape[1]):
        item = desk.slate[0, slot]
        if item < 0:
            continue
        shown += 1
        tally.slot_impressions[slot] += 1
        if slot < depth:
            rows.examined[row] += 1
            tally.slot_examined[slot] += 1
            tally.exposure[item] += 1
        if desk.response.clicks[0, slot]:
            clicks += 1
            tally.slot_clicks[slot] += 1
            rows.watched[row] += desk.response.watch[0, slot]
    rows.pages[row] += 1
    rows.impressions[row] += shown
    if shown > 1:
        tally.difference[0] += difference_within(truth.similarity, desk.slate[0])
        tally.difference[1] += 1.0
    return clicks


@kernel
def difference_within(similarity: Float32Array, slate: IndexArray) -> float:
    """Mean over pairs of items of a slate of 1 - e_i . e_j.

    The sum over pairs of products is (|sum of e|^2 - sum of |e|^2) / 2.

    Args:
        similarity: vectors of length 1 or 0, `float32 [M, m]`.
        slate: item rows, two at least, -1 for empty slots, `int32 [L]`.
    """
    together, alone, n = 0.0, 0.0, 0
    for slot in range(slate.shape[0]):
        n += 1 if slate[slot] >= 0 else 0
    for f in range(similarity.shape[1]):
        total = 0.0
        for slot in range(slate.shape[0]):
            if slate[slot] >= 0:
                entry = float(similarity[slate[slot], f])
                total += entry
                alone += entry * entry
        together += total * total
    return 1.0 - (together - alone) / (n * (n - 1))
