"""The best page of a cascade without redundancy, exactly.

From an item with attractiveness a and stop probability s at its top, a page is worth
a + gamma (1 - a s) V, V being the worth of the ranks below. Exchanging two neighbours shows that a
given set of items is best shown by rising

    (1 - gamma) / a + gamma s

whatever stands around them, so the best page of K candidates follows from a dynamic programme over
the candidates in that order: take one or leave it.

The best page's worth never falls as an item becomes more attractive. Its derivative in a is the
probability of looking at the item times 1 - gamma s V; were that negative, the ranks below without
the item would be worth more by (1 - gamma) V + a (gamma s V - 1) > 0, and the page not the best.

After Kempe and Mahdian 2008, "A cascade model
for externalities in sponsored search".
"""

from itertools import permutations

import numpy as np

from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.compiled import kernel

_LEAST_CHANCE = 1e-300


@kernel
def best_cascade(
    persistence: float, chances: FloatArray, stops: FloatArray, places: Int64Array
) -> float:
    """Expected clicks of the best page, in O(n^2 + n L) steps.

    Args:
        persistence: gamma, in (0, 1].
        chances: attractiveness of each candidate, in [0, 1], `float64 [n]`.
        stops: probability that a click on it ends the page, `float64 [n]`.
        places: receives the candidates of that page from the top, -1 once they have run out,
            `int64 [L]`.
    """
    n, slots = chances.shape[0], places.shape[0]
    order = np.empty(n, dtype=np.int64)
    rank_by = np.empty(n)
    for k in range(n):
        index = (1.0 - persistence) / max(chances[k], _LEAST_CHANCE) + persistence * stops[k]
        place = k
        while place > 0 and rank_by[place - 1] > index:
            rank_by[place] = rank_by[place - 1]
            order[place] = order[place - 1]
            place -= 1
        rank_by[place] = index
        order[place] = k
    # worth[j, l]: the best l slots made of the candidates from the j-th in order.
    worth = np.zeros((n + 1, slots + 1))
    for j in range(n - 1, -1, -1):
        k = order[j]
        below = persistence * (1.0 - chances[k] * stops[k])
        for left in range(1, slots + 1):
            worth[j, left] = max(worth[j + 1, left], chances[k] + below * worth[j + 1, left - 1])
    left = slots
    for rank in range(slots):
        places[rank] = -1
    for j in range(n):
        k = order[j]
        below = persistence * (1.0 - chances[k] * stops[k])
        if left > 0 and chances[k] + below * worth[j + 1, left - 1] >= worth[j + 1, left]:
            places[slots - left] = k
            left -= 1
    best: float = worth[0, slots]
    return best


def best_cascade_reference(
    persistence: float, chances: FloatArray, stops: FloatArray, slots: int
) -> float:
    """Plain twin of `best_cascade`, which tries every page."""
    best = 0.0
    for page in permutations(range(chances.size), min(slots, chances.size)):
        worth = 0.0
        for k in reversed(page):
            worth = chances[k] + persistence * (1.0 - chances[k] * stops[k]) * worth
        best = max(best, float(worth))
    return best
