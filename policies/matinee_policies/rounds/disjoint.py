"""Rounds of a bandit whose arms have a ridge regression each (Li et al. 2010, algorithm 1).

    value_k(x) = x' theta_k          width_k(x) = sqrt(x' A_k^-1 x)

A round reads half of each A_k^-1 once, and changes the whole of one: O(K d^2 / 2 + d^2).
"""

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
from matinee_policies.quadratic_form import (
    VECTOR,
    column_dots,
    dot_lanes,
    fill_products,
    fill_triangle,
    triangle_size,
)
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
    padded,
    precision_like,
    unpadded,
    writable,
)
from matinee_policies.rounds.rank_one import (
    add_lower_outer,
    add_scaled_outer,
    invert_sums,
    mirror_lower,
    multiply_symmetric,
)
from matinee_policies.rounds.records import DisjointState, Rounds


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
            (d (d + 1) / 128 + 13) 2^-24 times sum_ij |x_i A^-1_ij x_j|, and never adds up over
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
    inverse, theta = padded(state.inverse, axes=2), padded(state.theta, axes=1)
    gram, moments = padded(state.gram, axes=2), padded(state.moments, axes=1)
    counts = state.counts.copy()
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
        inverse=unpadded(inverse, state.inverse),
        theta=unpadded(theta, state.theta),
        gram=unpadded(gram, state.gram),
        moments=unpadded(moments, state.moments),
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
    d = contexts.shape[1]
    K, D = theta.shape
    widths = needs_widths(numbers)
    x = aligned_zeros(D, theta)
    gain = aligned_zeros(D, theta)
    short_x = aligned_zeros(D, like)
    lanes: int = lanes_of(like)
    size = triangle_size(d, lanes)
    room = size + lanes
    products = aligned_zeros(room, like)
    triangles = aligned_zeros(K * room if widths else 0, like)
    # Values of all arms at once need their coefficients side by side.
    columns = (K + 4 * VECTOR - 1) // (4 * VECTOR) * (4 * VECTOR)
    coefficients = aligned_zeros(D * columns, theta).reshape(D, columns)
    for k in range(K):
        for i in range(d):
            coefficients[i, k] = theta[k, i]
    values = aligned_zeros(columns, theta)
    scores = np.zeros(K)
    forms = np.zeros(K)
    if widths:
        for k in range(K):
            fill_triangle(inverse[k], d, triangles, k * room)
    for t in range(contexts.shape[0]):
        for i in range(d):
            x[i] = contexts[t, i]
            short_x[i] = contexts[t, i]
        column_dots(coefficients, x, d, values)
        for k in range(K):
            scores[k] = values[k]
        if widths:
            fill_products(short_x, d, products, 0)
            for k in range(K):
                forms[k] = dot_lanes(triangles, k * room, products, 0, size)
            add_exploration(scores, forms, K, numbers, key, played + t)
        arm, propensity = choose_arm(scores, K, numbers, key, played + t)
        reward = rewards[t, arm]
        actions[t] = arm
        propensities[t] = propensity
        obtained[t] = reward

        A = inverse[arm]
        multiply_symmetric(A, x, gain)
        scale = 1.0 + dot_lanes(gain, 0, x, 0, D)
        step = (reward - values[arm]) / scale
        for i in range(d):
            coefficients[i, arm] += step * gain[i]
            moments[arm, i] += reward * x[i]
        add_scaled_outer(A, gain, gain, -1.0 / scale)
        add_lower_outer(gram[arm], x)
        counts[arm] += 1
        if refresh_every > 0 and counts[arm] % refresh_every == 0:
            if not invert_sums(gram[arm], l2, d, A):
                return False
            for i in range(d):
                coefficients[i, arm] = dot_lanes(inverse, (arm * D + i) * D, moments, arm * D, D)
        if widths:
            fill_triangle(A, d, triangles, arm * room)
    for k in range(K):
        mirror_lower(gram[k])
        for i in range(d):
            theta[k, i] = coefficients[i, k]
    return True
