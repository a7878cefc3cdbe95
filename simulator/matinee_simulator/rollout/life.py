"""The whole life of users under a ranker, one after another, in one compiled call.

Each user goes through arrival, visits, pages and churn by the kernels of `daily` and `page`, with
the draws of that user, as in `Simulation`. Around them stands a platform that folds the user in
from what it observes and ranks its items once per visit, as the offline runs of the platform do.

Ranking is exact. Only as many items are ranked as the first pages need; if a visit goes on, the
longer list is worked out anew, and begins with the shorter one. A user's vector is solved for when
a visit begins, if anything was learned since: the same numbers as at the barriers between days.

What is handed on is unowned (`matinee_policies.unowned`), or counting references to arrays would
take half of the time; `live` is one long function because each layer of calls copies a hundred.
"""

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray, UInt64Array
from matinee_policies.candidates.fold_in import solve_vectors
from matinee_policies.candidates.top_k import rank_into
from matinee_policies.compiled import kernel
from matinee_policies.philox import uniform
from matinee_policies.unowned import unowned
from matinee_simulator.daily import close_visit, open_visit
from matinee_simulator.draws import Streams, moment
from matinee_simulator.item_boost import truth_on
from matinee_simulator.oracle import fill_item_truth
from matinee_simulator.page import PageWeights, serve_pages
from matinee_simulator.retention import RetentionWeights
from matinee_simulator.rollout.desk import Desk, Rows, Tally
from matinee_simulator.rollout.memory import News, hide_items, observe_page, take_in_ratings
from matinee_simulator.rollout.page_order import (
    Orders,
    is_plain,
    take_candidates,
    take_diverse,
    take_first,
    take_largest,
)
from matinee_simulator.rollout.rankers import POPULARITY, RANDOM, RELEVANCE
from matinee_simulator.rollout.view import Known, View
from matinee_simulator.taste_drift import TasteDrift, drift_taste
from matinee_simulator.truth import ItemTruth
from matinee_simulator.user_state import UserState


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
    news: News,
    orders: Orders,
    desk: Desk,
    first_depth: int,
    keep: bool,
    tally: Tally,
    rows: Rows,
) -> None:
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
        news: none.
        orders: of candidates, by visit.
        desk: room to work in.
        first_depth: items ranked for the first pages of a visit.
        keep: whether to write a row for each session.
        tally: counts, all 0; written.
        rows: room for all sessions if `keep`, else for one.
    """
    truth, users, drift = unowned(truth), unowned(users), unowned(drift)
    view, known, news, desk = unowned(view), unowned(known), unowned(news), unowned(desk)
    boosts, closed, tally, rows = unowned(boosts), unowned(closed), unowned(tally), unowned(rows)
    here = truth
    slots, days = desk.slate.shape[1], tally.visits.shape[1]
    for unit in range(tally.visits.shape[0]):
        desk.unit[0] = unit
        news.waiting[0] = 0
        is_stale = False
        for day in range(int(users.arrival[unit]), days):
            if users.churned[unit]:
                break
            if not open_visit(users, retention, keys.visit, unit, day):
                continue
            tally.visits[unit, day] = True
            drift_taste(users, drift, unit, day)
            if boosts.shape[0] > 1:
                here = truth_on(truth, boosts, day)
            if take_in_ratings(view, known, unit, day, news) or is_stale:
                solve_vectors(
                    desk.unit,
                    known.gram,
                    known.pull,
                    known.counts,
                    view.base,
                    view.ridge,
                    view.ridge_per_observation,
                    view.taste_prior,
                    known.vectors[unit : unit + 1],
                )
            hide_items(
                known.seen[unit],
                known.resting[unit],
                closed[day if closed.shape[0] > 1 else 0],
                desk.hidden[0],
            )
            for f in range(desk.vector.shape[1]):
                desk.vector[0, f] = known.vectors[unit, f] if view.is_folded else view.prior[f]
            for place in range(desk.taken.shape[0]):
                desk.taken[place] = False
            row = rows.written[0]
            for column in range(2, rows.counts.shape[1]):
                rows.counts[row, column] = 0
            rows.sums[row, 1] = 0.0
            visit = min(int(tally.counts[unit, 0]), orders.codes.shape[0] - 1)
            code, price = orders.codes[visit], orders.numbers[visit, 1]
            depth = 0
            for page in range(weights.max_pages):
                filled = take_candidates(
                    desk.pool, desk.taken, depth, desk.candidates[0], desk.places
                )
                # None are ranked yet, or too few for so long a visit.
                while filled < desk.places.shape[0] and depth < desk.pool.shape[0]:
                    depth = min(first_depth if depth == 0 else desk.pool.shape[0], desk.pool.size)
                    rank_into(
                        view.offset,
                        view.factors,
                        desk.vector,
                        desk.hidden,
                        view.score_mean,
                        view.score_scale,
                        desk.pool[:depth].reshape((1, depth)),
                        desk.scores[:depth].reshape((1, depth)),
                    )
                    filled = take_candidates(
                        desk.pool, desk.taken, depth, desk.candidates[0], desk.places
                    )
                if is_plain(code, price):
                    take_first(filled, desk.positions)
                else:
                    if code == RANDOM:
                        for k in range(filled):
                            desk.values[0, k] = uniform(
                                orders.key, users.numbers[unit], moment(day, page, k)
                            )
                    elif code == RELEVANCE:
                        fill_relevance(view, desk.vector[0], desk.candidates[0], desk.values[0])
                    elif code == POPULARITY:
                        for k in range(filled):
                            desk.values[0, k] = desk.scores[desk.places[k]]
                    else:
                        fill_item_truth(
                            here,
                            users,
                            weights,
                            code,
                            orders.numbers[visit, 2],
                            orders.numbers[visit, 3],
                            desk.unit,
                            desk.candidates,
                            day,
                            desk.values,
                        )
                    if price > 0.0:
                        for k in range(filled):
                            desk.values[0, k] *= orders.numbers[visit, 0]
                        take_diverse(
                            desk.values[0],
                            filled,
                            price,
                            desk.candidates[0],
                            view.embeddings,
                            desk.doubles,
                            desk.utility,
                            desk.notes,
                            desk.picked,
                            desk.positions,
                        )
                    else:
                        take_largest(desk.values[0], filled, desk.positions)
                for slot in range(slots):
                    position = desk.positions[slot]
                    desk.slate[0, slot] = -1
                    if position >= 0:
                        desk.slate[0, slot] = desk.candidates[0, position]
                        desk.taken[desk.places[position]] = True
                    desk.response.clicks[0, slot] = False
                    desk.response.ratings[0, slot] = np.nan
                serve_pages(
                    here, users, weights, keys, desk.unit, desk.slate, day, page, desk.response
                )
                observe_page(view, known, unit, day, desk.slate[0], desk.response, news)
                clicks = 0
                for slot in range(slots):
                    item = desk.slate[0, slot]
                    if item < 0:
                        continue
                    tally.slots[0, slot] += 1
                    rows.counts[row, 3] += 1
                    if slot < users.depth[unit]:
                        tally.slots[1, slot] += 1
                        tally.exposure[item] += 1
                        rows.counts[row, 4] += 1
                    if desk.response.clicks[0, slot]:
                        tally.slots[2, slot] += 1
                        clicks += 1
                        rows.sums[row, 1] += desk.response.watch[0, slot]
                add_difference(truth.similarity, desk.slate[0], tally.difference)
                rows.counts[row, 2] += 1
                rows.counts[row, 5] += clicks
                if page == 0:
                    rows.counts[row, 6] = clicks
                rows.counts[row, 7] = clicks
                if desk.response.left[0]:
                    break
            close_visit(users, retention, keys.churn, unit, day)
            is_stale = users.clicks[unit] > 0
            rows.counts[row, 0] = unit
            rows.counts[row, 1] = day
            rows.sums[row, 0] = users.satisfaction[unit]
            rows.sums[row, 2] = users.goodwill[unit]
            tally.counts[unit, 0] += 1
            for column in range(1, tally.counts.shape[1]):
                tally.counts[unit, column] += rows.counts[row, column + 1]
            tally.sums[unit, 0] += users.satisfaction[unit]
            tally.sums[unit, 1] += rows.sums[row, 1]
            if keep:
                rows.written[0] += 1


@kernel
def fill_relevance(
    view: View, vector: Float32Array, candidates: IndexArray, values: FloatArray
) -> None:
    """The platform's score of each candidate, in sd of raw scores over the known ratings.

    Args:
        view: what it knows of items.
        vector: of the user, `float32 [f]`.
        candidates: item rows, -1 for none, `int32 [K]`.
        values: receives the scores where there is an item, `float64 [K]`.
    """
    factors, offset = view.taste_factors, view.taste_offset
    for k in range(candidates.shape[0]):
        item = candidates[k]
        if item >= 0:
            raw = np.float64(offset[item])
            for f in range(vector.shape[0]):
                raw += np.float64(vector[f]) * np.float64(factors[item, f])
            values[k] = (raw - view.score_mean) / view.score_scale


@kernel
def add_difference(similarity: Float32Array, slate: IndexArray, total: FloatArray) -> None:
    """Add the mean over pairs of items of a slate of 1 - e_i . e_j to a sum, and 1 to its count.

    The sum over pairs of products is (|sum of e|^2 - sum of |e|^2) / 2.

    Args:
        similarity: vectors e of length 1 or 0, `float32 [M, m]`.
        slate: item rows, -1 for empty slots, `int32 [L]`; with fewer than two items nothing is
            added.
        total: sum and count, `float64 [2]`.
    """
    n = 0
    for slot in range(slate.shape[0]):
        n += 1 if slate[slot] >= 0 else 0
    if n < 2:
        return
    together, alone = 0.0, 0.0
    for f in range(similarity.shape[1]):
        column = 0.0
        for slot in range(slate.shape[0]):
            if slate[slot] >= 0:
                entry = np.float64(similarity[slate[slot], f])
                column += entry
                alone += entry * entry
        together += column * column
    total[0] += 1.0 - (together - alone) / (n * (n - 1))
    total[1] += 1.0
