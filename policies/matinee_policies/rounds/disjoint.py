"""Rounds of a bandit whose arms have a ridge regression each (Li et al. 2010, algorithm 1).

    value_k(x) = x' theta_k          width_k(x) = sqrt(x' A_k^-1 x)

A round reads half of each A_k^-1 once, and changes half of one: O(K d^2 / 2 + d^2). The sums of an
arm are needed only where its inverse is computed anew, and at the end. So its rounds wait until
then and are added in their order, which gives the bits of adding each at once.
"""

import math
from dataclasses import replace

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
)
from matinee_policies.compiled import kernel
from matinee_policies.lanes import aligned_zeros, lanes_of
from matinee_policies.quadratic_form import VECTOR, copy_features, dot_lanes, row_dots
from matinee_policies.rounds.exploration import (
    Exploration,
    ExplorationNumbers,
    add_exploration,
    choose_arm,
    needs_widths,
)
from matinee_policies.rounds.inputs import (
    Precision,
    check_array,
    check_result,
    check_table,
    copied,
    precision_like,
    writable,
)
from matinee_policies.rounds.rank_one import invert_sums
from matinee_policies.rounds.records import DisjointState, Rounds
from matinee_policies.rounds.tiles import (
    TILE,
    add_outer_to_tiles,
    convert_tiles,
    fill_tile_products,
    fill_tiles,
    multiply_tiles,
    read_tiles,
    tiles_size,
)

CHUNK = 32
"""Rounds of an arm that are added to its sums at a time."""


def play_disjoint(
    state: DisjointState,
    contexts: Float32Array,
    rewards: FloatArray,
    explore: Exploration,
    *,
    key: int = 0,
    precision: Precision = "float64",
) -> tuple[DisjointState, Rounds]:
    """Choose an arm and learn from its reward, round after round.

    Only the reward of the arm chosen is looked at. Rounds may be played in any number of calls that
    go on from each other's states: the bits are the same.

    Args:
        state: where to begin; stays as it is.
        contexts: features of each round, `float32 [T, d]`, finite.
        rewards: what each arm would pay, `float64 [T, K]`, finite.
        explore: how to choose.
        key: of the random numbers, `stream_key(seed, ...)`.
        precision: of the widths. With float32, rounding adds to x' A^-1 x at most
            ((d + 15)^2 / 64 + 6) 2^-24 times sum_ij |x_i A^-1_ij x_j|, and never adds up over
            rounds: each number is rounded anew from the float64 inverse.

    Returns:
        Where to go on, and what happened.

    Raises:
        ContextError: if an array is not finite or does not fit, or sums overflow.
        ConfigError: if the precision is unknown.

    Example:
        >>> from matinee_policies.rounds import Optimism
        >>> state = DisjointState.prior(arms=2, dimension=1)
        >>> contexts = np.ones((3, 1), dtype=np.float32)
        >>> rewards = np.tile([0.0, 1.0], (3, 1))
        >>> state, rounds = play_disjoint(state, contexts, rewards, Optimism(alpha=1.0))
        >>> rounds.actions
        array([0, 1, 1], dtype=int32)
    """
    arms, d = state.theta.shape
    T = check_table("rewards", rewards, columns=arms)
    check_array("contexts", contexts, shape=(T, d), dtype=np.float32)
    like = precision_like(precision)
    inverse, theta = copied(state.inverse), copied(state.theta)
    gram, moments = copied(state.gram), copied(state.moments)
    counts = copied(state.counts)
    rounds = Rounds(np.empty(T, np.int32), np.empty(T), np.empty(T))
    sound = _play(
        writable(contexts),
        writable(rewards),
        ExplorationNumbers.of(explore).array,
        np.uint64(key),
        state.rounds,
        state.l2,
        state.refresh_every,
        like,
        inverse,
        theta,
        gram,
        moments,
        counts,
        rounds.actions,
        rounds.propensities,
        rounds.rewards,
    )
    check_result(theta, moments, inverse if sound else np.array([np.nan]))
    after = replace(
        state,
        inverse=inverse,
        theta=theta,
        gram=gram,
        moments=moments,
        counts=counts,
        rounds=state.rounds + T,
    )
    return after, rounds


@kernel
def _play(
    contexts: Float32Array,
    rewards: FloatArray,
    numbers: FloatArray,
    key: np.uint64,
    played: int,
    l2: float,
    refresh_every: int,
    like: AnyArray,
    inverse: FloatArray,
    theta: FloatArray,
    gram: FloatArray,
    moments: FloatArray,
    counts: Int64Array,
    actions: IndexArray,
    propensities: FloatArray,
    obtained: FloatArray,
) -> bool:
    """Play all rounds in place; gives whether every refresh found a solution."""
    T, d = contexts.shape
    K = theta.shape[0]
    D = (d + TILE - 1) // TILE * TILE
    widths = needs_widths(numbers)
    short: bool = lanes_of(like) != VECTOR
    X = aligned_zeros(D, theta).reshape(1, D)
    x = X[0]
    gain = aligned_zeros(D, theta)
    step = aligned_zeros(D, theta).reshape(1, D)
    back = aligned_zeros(D, theta).reshape(1, D)
    size = tiles_size(d)
    arms = (K + 3) // 4 * 4
    tiles = aligned_zeros(arms * size, theta).reshape(arms, size)
    products = aligned_zeros(size, theta)
    short_tiles = aligned_zeros(arms * size if short else 0, like).reshape(-1, size)
    short_products = aligned_zeros(size, like)
    in_tiles = np.zeros(K, np.bool_)
    coefficients = aligned_zeros(arms * D, theta).reshape(arms, D)
    for k in range(K):
        for i in range(d):
            coefficients[k, i] = theta[k, i]
        if widths:
            in_tiles[k] = True
            fill_tiles(inverse[k], tiles[k], 0)
            if short:
                convert_tiles(tiles, k * size, size, short_tiles, k * size)
    values = aligned_zeros(arms, theta)
    scores = aligned_zeros(arms, theta)
    forms = aligned_zeros(arms, theta)
    # Rounds of each arm that its sums do not hold yet, as a list from the oldest on.
    oldest = np.full(K, -1)
    newest = np.full(K, -1)
    following = np.full(T, -1)
    rows = aligned_zeros(CHUNK * D, theta).reshape(CHUNK, D)
    sums = aligned_zeros(size, theta)
    for t in range(T):
        copy_features(contexts[t], X, 0)
        if widths:
            fill_tile_products(x, products)
        row_dots(coefficients, x, values)
        for k in range(K):
            scores[k] = values[k]
        if widths:
            if short:
                convert_tiles(products, 0, size, short_products, 0)
                row_dots(short_tiles, short_products, forms)
            else:
                row_dots(tiles, products, forms)
            add_exploration(scores, forms, K, numbers, key, played + t)
        arm, propensity = choose_arm(scores, K, numbers, key, played + t)
        reward = rewards[t, arm]
        actions[t] = arm
        propensities[t] = propensity
        obtained[t] = reward
        if oldest[arm] < 0:
            oldest[arm] = t
        else:
            following[newest[arm]] = t
        newest[arm] = t

        if not in_tiles[arm]:
            in_tiles[arm] = True
            fill_tiles(inverse[arm], tiles[arm], 0)
        multiply_tiles(tiles, arm * size, x, gain)
        scale = 1.0 + dot_lanes(gain, 0, x, 0, D)
        error = (reward - values[arm]) / scale
        # Scaled alike, both factors of an outer product leave a symmetric matrix.
        root = 1.0 / math.sqrt(scale)
        for i in range(D):
            coefficients[arm, i] += error * gain[i]
            step[0, i] = root * gain[i]
            back[0, i] = -root * gain[i]
        add_outer_to_tiles(tiles, arm * size, back, step, 1)
        counts[arm] += 1
        if refresh_every > 0 and counts[arm] % refresh_every == 0:
            _add_waiting(
                contexts, obtained, oldest[arm], following, gram[arm], moments[arm], rows, sums
            )
            oldest[arm] = -1
            if not invert_sums(gram[arm], l2, d, inverse[arm]):
                return False
            fill_tiles(inverse[arm], tiles[arm], 0)
            for i in range(d):
                total = 0.0
                for j in range(d):
                    total += inverse[arm, i, j] * moments[arm, j]
                coefficients[arm, i] = total
        if widths and short:
            convert_tiles(tiles, arm * size, size, short_tiles, arm * size)
    for k in range(K):
        if newest[k] >= 0:
            if oldest[k] >= 0:
                _add_waiting(
                    contexts, obtained, oldest[k], following, gram[k], moments[k], rows, sums
                )
            read_tiles(tiles[k], 0, inverse[k])
            for i in range(d):
                theta[k, i] = coefficients[k, i]
    return True


@kernel
def _add_waiting(
    contexts: Float32Array,
    obtained: FloatArray,
    oldest: int,
    following: Int64Array,
    gram: FloatArray,
    moments: FloatArray,
    rows: FloatArray,
    sums: FloatArray,
) -> None:
    """Add the rounds of an arm from `oldest` on to its sums, in their order."""
    fill_tiles(gram, sums, 0)
    t = oldest
    while t >= 0:
        count = 0
        while t >= 0 and count < rows.shape[0]:
            for i in range(moments.size):
                rows[count, i] = contexts[t, i]
                moments[i] += obtained[t] * rows[count, i]
            t = following[t]
            count += 1
        add_outer_to_tiles(sums, 0, rows, rows, count)
    read_tiles(sums, 0, gram)
