"""The best page that could be made of a user's candidates, bracketed from both sides.

With redundancy within the slate, finding the best page exactly means trying every ordered slate.
Two numbers are cheap instead: the expected clicks of a real page, which no best page falls below,
and a number that no page exceeds. The real page is filled slot by slot with the item most likely to
be clicked there, redundancy counted; in a cascade, where that order is not the best one, the best
page without redundancy is tried too and the better one kept. The bound is

    position, multinomial   the candidates by falling click probability, were none redundant: worth
                            more at every rank, and redundancy only lowers probabilities
    cascade                 the best page without redundancy (`cascade_page`). A less attractive
                            item may help a given page, as it stops fewer users, but not the best
                            one, so what redundancy takes can only lower its worth

Both numbers are equal, the best page exactly, when `click_redundancy` is 0.
"""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray
from matinee_policies.compiled import kernel, lean_kernel
from matinee_simulator.cascade_page import best_cascade
from matinee_simulator.click_models import CASCADE, fill_click_chances, stop_probability
from matinee_simulator.fatigue import count_impressions
from matinee_simulator.logistic import logistic
from matinee_simulator.page import PageWeights
from matinee_simulator.response import attraction, redundancy
from matinee_simulator.satiation import remaining_share, satiation_with
from matinee_simulator.satisfaction import expected_satisfaction
from matinee_simulator.truth import ItemTruth, relevance_of
from matinee_simulator.user_state import UserState


class BestPages(NamedTuple):
    """Bounds of the best page of `n` users.

    Attributes:
        slates: a good page, item rows, -1 once candidates have run out, `int32 [n, L]`.
        greedy: its expected clicks, at most those of the best page, `float64 [n]`.
        bound: expected clicks that no page of these candidates exceeds, `float64 [n]`.
    """

    slates: IndexArray
    greedy: FloatArray
    bound: FloatArray


def empty_best_pages(n: int, slots: int) -> BestPages:
    """Arrays for `fill_best_pages` to fill."""
    return BestPages(np.full((n, slots), -1, dtype=np.int32), np.zeros(n), np.zeros(n))


@kernel
def fill_best_pages(
    truth: ItemTruth,
    users: UserState,
    weights: PageWeights,
    units: IndexArray,
    candidates: IndexArray,
    day: int,
    out: BestPages,
) -> None:
    """Fill `out` for each of `units`.

    Args:
        truth: of the items.
        users: latent state, read only.
        weights: of the model.
        units: indices of users, `int32 [n]`.
        candidates: item rows, distinct within a row, -1 for none, `int32 [n, K]`.
        day: the day.
        out: receives the pages and their bounds; slates hold -1 and numbers 0 before.
    """
    K, L = candidates.shape[1], out.slates.shape[1]
    items = np.empty(K, dtype=np.int32)
    logits = np.empty(K)
    stops = np.empty(K)
    for row in range(units.shape[0]):
        n = _judge(truth, users, weights, units[row], candidates[row], day, items, logits, stops)
        slate = out.slates[row]
        found = _greedy_page(truth, weights, items[:n], logits[:n], stops[:n], slate)
        if weights.law.model == CASCADE:
            out.greedy[row], out.bound[row] = _best_cascade_page(
                truth, weights, items[:n], logits[:n], stops[:n], slate, found
            )
        else:
            out.greedy[row], out.bound[row] = found, _ranked_worth(weights, logits[:n], L)


@lean_kernel
def _judge(
    truth: ItemTruth,
    users: UserState,
    weights: PageWeights,
    unit: int,
    candidates: IndexArray,
    day: int,
    items: IndexArray,
    logits: FloatArray,
    stops: FloatArray,
) -> int:
    """Note real candidates, their logits apart from redundancy, and chances to end the page."""
    share = remaining_share(weights.satiation, day - users.satiation_day[unit])
    n = 0
    for k in range(candidates.shape[0]):
        item = candidates[k]
        if item < 0:
            continue
        relevance = relevance_of(truth, users.taste[unit], item)
        satiation = share * satiation_with(users.satiation[unit], truth.topics[item])
        shown = count_impressions(
            users.shown_item[unit], users.shown_day[unit], item, day, weights.fatigue_days
        )
        items[n] = item
        logits[n] = truth.boost[item] + attraction(
            weights.response, relevance, truth.appeal[item], satiation, 0.0, shown
        )
        stops[n] = stop_probability(
            weights.law,
            expected_satisfaction(weights.satisfaction, relevance, truth.appeal[item], satiation),
        )
        n += 1
    return n


@kernel
def _greedy_page(
    truth: ItemTruth,
    weights: PageWeights,
    items: IndexArray,
    logits: FloatArray,
    stops: FloatArray,
    slate: IndexArray,
) -> float:
    """Fill `slate` with the likeliest click slot by slot; the expected clicks of that page."""
    n, slots = items.shape[0], slate.shape[0]
    similar = np.zeros(n)
    # One row per dimension: products run side by side over the candidates.
    vectors = np.empty((truth.similarity.shape[1], n), dtype=np.float32)
    for k in range(n):
        for f in range(vectors.shape[0]):
            vectors[f, k] = truth.similarity[items[k], f]
    products = np.empty(n, dtype=np.float32)
    is_open = np.ones(n, dtype=np.bool_)
    page_logits, page_stops = np.full(slots, -np.inf), np.zeros(slots)
    for rank in range(min(slots, n)):
        best, highest = -1, 0.0
        for k in range(n):
            if is_open[k]:
                repeats = similar[k] / rank if rank else 0.0
                logit = logits[k] - weights.response.redundancy * repeats
                if best < 0 or logit > highest:
                    best, highest = k, logit
        is_open[best] = False
        slate[rank] = items[best]
        page_logits[rank], page_stops[rank] = highest, stops[best]
        _dot_columns(vectors, best, products)
        for k in range(n):
            if is_open[k]:
                similar[k] += max(0.0, float(products[k]))
    return fill_click_chances(weights.law, page_logits, page_stops, np.empty(slots))


@kernel
def _ranked_worth(weights: PageWeights, logits: FloatArray, slots: int) -> float:
    """Expected clicks of the candidates by falling click probability, were none redundant."""
    rest = logits.copy()
    ranked, none = np.full(slots, -np.inf), np.zeros(slots)
    for rank in range(min(slots, rest.shape[0])):
        best = 0
        for k in range(rest.shape[0]):
            if rest[k] > rest[best]:
                best = k
        ranked[rank] = rest[best]
        rest[best] = -np.inf
    return fill_click_chances(weights.law, ranked, none, np.empty(slots))


@kernel
def _best_cascade_page(
    truth: ItemTruth,
    weights: PageWeights,
    items: IndexArray,
    logits: FloatArray,
    stops: FloatArray,
    slate: IndexArray,
    worth: float,
) -> tuple[float, float]:
    """Put the best page without redundancy into `slate` if it beats the page there.

    Returns:
        Expected clicks of the page in `slate`, `worth` if it stays, and the bound.
    """
    slots = slate.shape[0]
    chances = np.empty(items.shape[0])
    for k in range(items.shape[0]):
        chances[k] = logistic(logits[k])
    places = np.empty(slots, dtype=np.int64)
    bound = best_cascade(weights.law.persistence, chances, stops, places)
    other = np.full(slots, -1, dtype=np.int32)
    page_logits, page_stops = np.full(slots, -np.inf), np.zeros(slots)
    for rank in range(slots):
        k = places[rank]
        if k >= 0:
            other[rank] = items[k]
            repeats = redundancy(truth.similarity, other, rank)
            page_logits[rank] = logits[k] - weights.response.redundancy * repeats
            page_stops[rank] = stops[k]
    found = fill_click_chances(weights.law, page_logits, page_stops, np.empty(slots))
    if found <= worth:
        return worth, bound
    for rank in range(slots):
        slate[rank] = other[rank]
    return found, bound


@lean_kernel
def _dot_columns(vectors: Float32Array, chosen: int, products: Float32Array) -> None:
    """Dot product of each column with one of them.

    In float32 and in the order of `redundancy`, so that the greedy page counts to the same clicks.
    """
    for k in range(products.shape[0]):
        products[k] = np.float32(0.0)
    for f in range(vectors.shape[0]):
        factor = vectors[f, chosen]
        for k in range(products.shape[0]):
            products[k] += factor * vectors[f, k]
