"""Make one page of the candidates of one user."""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.compiled import kernel
from matinee_policies.philox import stream_key, uniform
from matinee_policies.redundancy_codes import CODE_MMR
from matinee_policies.rules import GREEDY
from matinee_policies.slate_walk import walk
from matinee_simulator.draws import moment
from matinee_simulator.oracle import fill_item_truth
from matinee_simulator.page import PageWeights
from matinee_simulator.rollout.desk import Blanks, Desk
from matinee_simulator.rollout.rankers import POPULARITY, RANDOM, RELEVANCE, Ranker
from matinee_simulator.rollout.view import View
from matinee_simulator.truth import ItemTruth
from matinee_simulator.user_state import UserState


class Order(NamedTuple):
    """A `Ranker` as kernels take it, with the stream of its random order."""

    code: int
    scale: float
    price: float
    satisfaction_weight: float
    satiation_price: float
    key: np.uint64


def order_of(ranker: Ranker, *, seed: int) -> Order:
    """What kernels need of a ranker."""
    return Order(
        code=ranker.code,
        scale=float(ranker.scale),
        price=float(ranker.price),
        satisfaction_weight=float(ranker.satisfaction_weight),
        satiation_price=float(ranker.satiation_price),
        key=stream_key(seed, "rollout", "order"),
    )


@kernel
def keeps_pool_order(order: Order) -> bool:
    """Whether a page is simply the best of its candidates by the score that ranked them."""
    return order.price == 0.0 and (order.code == RELEVANCE or order.code == POPULARITY)


@kernel
def order_page(
    truth: ItemTruth,
    users: UserState,
    weights: PageWeights,
    view: View,
    order: Order,
    blanks: Blanks,
    desk: Desk,
    filled: int,
    day: int,
    page: int,
) -> None:
    """Choose `desk.positions` among `desk.candidates`.

    Args:
        truth: of the items.
        users: latent state, read only.
        weights: of the model.
        view: what the platform knows of items.
        order: of the candidates.
        blanks: what the walk over slates need not know.
        desk: holds unit, candidates and the user's vector; values and positions are written.
        filled: number of candidates; they come first.
        day: the day.
        page: page within the session, from 0.
    """
    values, positions = desk.values[0], desk.positions[0]
    if keeps_pool_order(order):
        for slot in range(positions.shape[0]):
            positions[slot] = slot if slot < filled else -1
        return
    if order.code == RANDOM:
        number = users.numbers[desk.unit[0]]
        for k in range(filled):
            values[k] = uniform(order.key, number, moment(day, page, k))
    elif order.code == RELEVANCE:
        for k in range(filled):
            raw = relevance_known(view, desk.vector[0], desk.candidates[0, k])
            values[k] = (raw - view.score_mean) / view.score_scale
    elif order.code == POPULARITY:
        for k in range(filled):
            values[k] = desk.pool_scores[desk.places[k]]
    else:
        fill_item_truth(
            truth,
            users,
            weights,
            order.code,
            order.satisfaction_weight,
            order.satiation_price,
            desk.unit,
            desk.candidates,
            day,
            desk.values,
        )
    if order.price == 0.0:
        take_largest(values, filled, positions)
        return
    for k in range(values.shape[0]):
        values[k] = order.scale * values[k] if k < filled else 0.0
        desk.available[0, k] = k < filled
    walk(
        desk.values,
        blanks.members,
        desk.available,
        desk.candidates,
        view.embeddings,
        blanks.doubles,
        blanks.pins,
        blanks.aspects,
        blanks.creators,
        blanks.interests,
        0,
        0,
        CODE_MMR,
        order.price,
        0.0,
        GREEDY,
        0.0,
        0.0,
        0.0,
        desk.keys,
        desk.positions,
        desk.slate,
        desk.propensities,
        blanks.laws,
        blanks.costs,
        positions.shape[0] - 1,
    )


@kernel
def relevance_known(view: View, vector: FloatArray, item: int) -> float:
    """The platform's raw score of an item, in stars, for a user's vector `float32 [f]`."""
    total = float(view.taste_offset[item])
    for f in range(vector.shape[0]):
        total += float(vector[f]) * float(view.taste_factors[item, f])
    return total


@kernel
def take_largest(values: FloatArray, filled: int, positions: IndexArray) -> None:
    """Positions of the largest values, the first among equals; -1 where they run out.

    Args:
        values: of candidates; those taken become -infinity, `float64 [K]`.
        filled: how many there are.
        positions: receives positions, `int32 [L]`.
    """
    for slot in range(positions.shape[0]):
        best = -1
        highest = -np.inf
        for k in range(filled):
            if values[k] > highest:
                best, highest = k, values[k]
        positions[slot] = best
        if best >= 0:
            values[best] = -np.inf
