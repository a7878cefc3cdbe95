"""What the platform knows of the users before the run: their past ratings.

Each existing user has rated items drawn without repetition with probability proportional to
popularity times exp(w x), at ratings cut(truth + noise): see `satisfaction.py`; items that arrive
during the run are not among them. Like everything about a user, a history is a pure function of
(seed, user). The times of ratings know nothing of the ages of items.
"""

import math

import numpy as np

from matinee_policies.arrays import (
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.compiled import kernel
from matinee_policies.philox import normal, stream_key, uniform
from matinee_simulator.catalogue_calendar import at_start
from matinee_simulator.population import Population
from matinee_simulator.satisfaction import cut_rating, cut_rating_reference
from matinee_simulator.truth import ItemTruth, item_truth
from matinee_simulator.world import World

RUN_START = 1_577_836_800
"""Unix seconds at which simulated day 0 begins: 2020-01-01, midnight UTC."""

SECONDS_PER_DAY = 86_400


def initial_interactions(
    world: World, population: Population, *, seed: int
) -> tuple[IndexArray, IndexArray, Float32Array, Int64Array]:
    """Ratings of the users before the run.

    Args:
        world: the truth.
        population: the users, drawn from this world.
        seed: of the run.

    Returns:
        Index into `population` (`int32 [nnz]`, ascending), item row of the world (`int32 [nnz]`),
        rating (`float32 [nnz]`), and unix seconds before `RUN_START`, ascending within a user
        (`int64 [nnz]`).
    """
    lengths, parameters = population.history_length, population.parameters
    present = at_start(world, parameters, seed=seed)
    starts = np.zeros(lengths.size + 1, dtype=np.int64)
    np.cumsum(lengths, out=starts[1:])
    items = np.empty(starts[-1], dtype=np.int32)
    ratings = np.empty(starts[-1], dtype=np.float32)
    times = np.empty(starts[-1], dtype=np.int64)
    keys = np.array([stream_key(seed, "history", purpose) for purpose in _PURPOSES])
    _draw_histories(
        item_truth(world),
        np.ascontiguousarray(world.item_factors.T),
        np.where(present, world.popularity, 0).astype(np.float64),
        population.users.astype(np.uint64),
        population.taste,
        population.rating_bias,
        float(parameters.history_taste),
        float(parameters.history_days * SECONDS_PER_DAY),
        keys,
        starts,
        items,
        ratings,
        times,
    )
    users = np.repeat(np.arange(lengths.size, dtype=np.int32), lengths)
    return users, items, ratings, RUN_START - times


_PURPOSES = ("item", "time", "rating")


@kernel
def _draw_histories(
    truth: ItemTruth,
    factors: Float32Array,
    popularity: FloatArray,
    numbers: UInt64Array,
    tastes: Float32Array,
    biases: Float32Array,
    taste_weight: float,
    span: float,
    keys: UInt64Array,
    starts: Int64Array,
    items: IndexArray,
    ratings: Float32Array,
    ages: Int64Array,
) -> None:
    """Fill `items`, `ratings` and `ages` (seconds before the run); `factors` is `[d, M]`."""
    relevance = np.empty(popularity.shape[0], dtype=np.float32)
    weights = np.empty(popularity.shape[0])
    reach = np.empty(popularity.shape[0])
    for user in range(numbers.shape[0]):
        first, last = starts[user], starts[user + 1]
        if first == last:
            continue
        for i in range(relevance.shape[0]):
            relevance[i] = truth.quality[i]
        for f in range(factors.shape[0]):
            for i in range(relevance.shape[0]):
                relevance[i] += tastes[user, f] * factors[f, i]
        for i in range(relevance.shape[0]):
            weights[i] = popularity[i] * math.exp(taste_weight * relevance[i])
        draw_without_repetition(keys[0], numbers[user], weights, reach, items[first:last])
        _draw_ages(keys[1], numbers[user], span, ages[first:last])
        for place in range(last - first):
            item = items[first + place]
            draw = normal(keys[2], numbers[user], np.uint64(place))
            score = truth.mean + truth.sd * relevance[item] + biases[user]
            score += truth.rating_noise * draw
            ratings[first + place] = cut_rating(truth.cuts, truth.levels, score)


@kernel
def draw_without_repetition(
    key: np.uint64, number: np.uint64, weights: FloatArray, reach: FloatArray, out: IndexArray
) -> None:
    """Draw distinct items one after another, each in proportion to the weights of those left.

    Args:
        key: stream key.
        number: first counter of the stream.
        weights: > 0 for at least as many items as are drawn, `float64 [M]`; drawn ones become 0.
        reach: overwritten with cumulative weights, `float64 [M]`.
        out: receives the items in the order drawn, `int32 [n]`.
    """
    total, taken = 0.0, 0.0
    for i in range(weights.shape[0]):
        total += weights[i]
        reach[i] = total
    drawn, attempt = 0, 0
    while drawn < out.shape[0]:
        target = uniform(key, number, np.uint64(attempt)) * total
        attempt += 1
        item = _place_of(reach, target)
        # An item already drawn is drawn again from the whole: the law over the rest is the same.
        if weights[item] == 0.0:
            continue
        out[drawn] = item
        drawn += 1
        taken += weights[item]
        weights[item] = 0.0
        if 2.0 * taken > total:
            total, taken = 0.0, 0.0
            for i in range(weights.shape[0]):
                total += weights[i]
                reach[i] = total


@kernel
def _place_of(reach: FloatArray, target: float) -> int:
    """First place whose cumulative weight is above `target`, the last one if none is."""
    low, high = 0, reach.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if reach[middle] > target:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def _draw_ages(key: np.uint64, number: np.uint64, span: float, out: Int64Array) -> None:
    """Uniform ages in seconds within `span`, falling."""
    for place in range(out.shape[0]):
        age = 1 + int(uniform(key, number, np.uint64(place)) * span)
        above = place
        while above > 0 and out[above - 1] < age:
            out[above] = out[above - 1]
            above -= 1
        out[above] = age


def history_reference(
    world: World, population: Population, index: int, *, seed: int
) -> tuple[list[int], list[float], list[int]]:
    """Plain twin of `initial_interactions` for one user: items, ratings and times."""
    number = np.uint64(population.users[index])
    relevance = world.quality + world.item_factors @ population.taste[index]
    popularity = world.popularity * at_start(world, population.parameters, seed=seed)
    weights = popularity * np.exp(population.parameters.history_taste * relevance)
    item_key, time_key, rating_key = (stream_key(seed, "history", word) for word in _PURPOSES)
    length = int(population.history_length[index])
    items = draw_without_repetition_reference(item_key, number, weights, length)
    places = [np.uint64(place) for place in range(length)]
    draws = np.array([normal(rating_key, number, place) for place in places])
    score = world.relevance_mean + world.relevance_sd * relevance[items]
    score = score + population.rating_bias[index] + world.rating_noise * draws
    ratings = cut_rating_reference(world.rating_cuts, world.rating_levels, score)
    span = population.parameters.history_days * SECONDS_PER_DAY
    ages = [1 + int(uniform(time_key, number, place) * span) for place in places]
    return items, ratings.tolist(), sorted(RUN_START - age for age in ages)


def draw_without_repetition_reference(
    key: np.uint64, number: np.uint64, weights: FloatArray, n: int
) -> list[int]:
    """Plain twin of `draw_without_repetition`: the `n` items drawn, `weights` left alone."""
    left, drawn, attempt = weights.copy(), list[int](), 0
    reach = np.cumsum(left)
    while len(drawn) < n:
        target = uniform(key, number, np.uint64(attempt)) * reach[-1]
        attempt += 1
        item = min(int(np.searchsorted(reach, target, side="right")), weights.size - 1)
        if item not in drawn and left[item] > 0:
            drawn.append(item)
            left[item] = 0.0
            if 2.0 * left.sum() < reach[-1]:
                reach = np.cumsum(left)
    return drawn
