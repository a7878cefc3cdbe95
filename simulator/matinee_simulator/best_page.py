"""The best page that could be made of a user's candidates, bracketed from both sides.

With redundancy within the slate, finding the best page exactly means trying every ordered slate.
Two pages are cheap instead: filling the slots greedily with redundancy gives a real page, whose
expected clicks no best page falls below; ranking by the click probability without redundancy gives
a number that no page exceeds (rearrangement inequality, redundancy only lowers probabilities).
Both are equal when `click_redundancy` is 0.
"""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import BoolArray, FloatArray, IndexArray, Int64Array
from matinee_policies.compiled import kernel
from matinee_simulator.fatigue import count_impressions
from matinee_simulator.page import PageWeights
from matinee_simulator.response import click_probability
from matinee_simulator.satiation import remaining_share, satiation_with
from matinee_simulator.truth import ItemTruth, relevance_of
from matinee_simulator.user_state import UserState


class BestPages(NamedTuple):
    """Bounds of the best page of `n` users.

    Attributes:
        slates: the greedy page, item rows, -1 once candidates have run out, `int32 [n, L]`.
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
    similar = np.empty(K)
    relevance = np.empty(K)
    satiation = np.empty(K)
    shown = np.empty(K, dtype=np.int64)
    is_open = np.empty(K, dtype=np.bool_)
    for row in range(units.shape[0]):
        unit = units[row]
        share = remaining_share(weights.satiation, day - users.satiation_day[unit])
        for k in range(K):
            item = candidates[row, k]
            is_open[k] = item >= 0
            similar[k] = 0.0
            if item >= 0:
                relevance[k] = relevance_of(truth, users.taste[unit], item)
                satiation[k] = share * satiation_with(users.satiation[unit], truth.topics[item])
                shown[k] = count_impressions(
                    users.shown_item[unit], users.shown_day[unit], item, day, weights.fatigue_days
                )
        out.bound[row] = _bound(
            truth, weights, candidates[row], relevance, satiation, shown, is_open, L
        )
        for k in range(K):
            is_open[k] = candidates[row, k] >= 0
        examined = 1.0
        for rank in range(L):
            best, chance = -1, -1.0
            for k in range(K):
                if is_open[k]:
                    item = candidates[row, k]
                    probability = click_probability(
                        weights.response,
                        relevance[k],
                        truth.appeal[item],
                        satiation[k],
                        similar[k] / rank if rank else 0.0,
                        shown[k],
                    )
                    if probability > chance:
                        best, chance = k, probability
            if best < 0:
                break
            is_open[best] = False
            picked = candidates[row, best]
            out.slates[row, rank] = picked
            out.greedy[row] += examined * chance
            examined *= weights.response.persistence
            for k in range(K):
                if is_open[k]:
                    similar[k] += _positive_similarity(truth, picked, candidates[row, k])


@kernel
def _bound(
    truth: ItemTruth,
    weights: PageWeights,
    candidates: IndexArray,
    relevance: FloatArray,
    satiation: FloatArray,
    shown: Int64Array,
    is_open: BoolArray,
    slots: int,
) -> float:
    """Expected clicks of the candidates by falling click probability, were none redundant."""
    chances = np.empty(candidates.shape[0])
    for k in range(candidates.shape[0]):
        chances[k] = -1.0
        if is_open[k]:
            chances[k] = click_probability(
                weights.response,
                relevance[k],
                truth.appeal[candidates[k]],
                satiation[k],
                0.0,
                shown[k],
            )
    total, examined = 0.0, 1.0
    for _ in range(slots):
        best = 0
        for k in range(chances.shape[0]):
            if chances[k] > chances[best]:
                best = k
        if chances.shape[0] == 0 or chances[best] < 0.0:
            break
        total += examined * chances[best]
        chances[best] = -1.0
        examined *= weights.response.persistence
    return total


@kernel
def _positive_similarity(truth: ItemTruth, item: int, other: int) -> float:
    # In float32 like `redundancy`, so that the greedy page counts to the same clicks.
    product = np.float32(0.0)
    for f in range(truth.similarity.shape[1]):
        product += truth.similarity[item, f] * truth.similarity[other, f]
    return max(0.0, float(product))
