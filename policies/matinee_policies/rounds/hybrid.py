"""Rounds of a bandit whose arms share some coefficients (Li et al. 2010, algorithm 2).

With the state's terms, and u_k = z_k - cross_k' x:

    value_k = z_k' beta + x' theta_k = u_k' beta + x' local_k
    width_k^2 = u_k' A0^-1 u_k + x' A_k^-1 x

which is the paper's s_t,a with its four terms drawn together. A reward r of arm k with
q = x' A_k^-1 x, g = A_k^-1 x, s = u' A0^-1 u and G = A0^-1 u moves every part by rank one, since A0
(the Schur complement of all A_k) grows by u u' / (1 + q):

    beta += G (r - value) / (1 + q + s)         A0^-1 -= G G' / (1 + q + s)
    local_k += g (r - x' local_k) / (1 + q)     A_k^-1 -= g g' / (1 + q)
    cross_k += g u' / (1 + q)
"""

from dataclasses import replace

import numpy as np

from matinee_policies.arrays import (
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
)
from matinee_policies.compiled import kernel
from matinee_policies.lanes import aligned_zeros, lanes_of, multiply_add
from matinee_policies.quadratic_form import (
    ROWS,
    blocks_size,
    dot_lanes,
    fill_blocks,
    fill_products,
    fill_triangle,
    row_forms,
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
    check_array,
    check_result,
    check_table,
    padded,
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
from matinee_policies.rounds.records import HybridState, Rounds


def play_hybrid(
    state: HybridState,
    contexts: Float32Array,
    features: Float32Array,
    rewards: FloatArray,
    explore: Exploration,
    *,
    key: int = 0,
) -> tuple[HybridState, Rounds]:
    """Choose an arm and learn from its reward, round after round.

    Only the reward of the arm chosen is looked at. Rounds may be played in any number of calls that
    go on from each other's states: the bits are the same.

    Args:
        state: where to begin; stays as it is.
        contexts: x, the features of each round whose coefficients are the arm's own,
            `float32 [T, d]`, finite.
        features: z, of each arm in each round, with coefficients in common, `float32 [T, K, m]`,
            finite.
        rewards: what each arm would pay, `float64 [T, K]`, finite.
        explore: how to choose.
        key: of the random numbers, `stream_key(seed, ...)`.

    Returns:
        Where to go on, and what happened.

    Raises:
        ContextError: if an array is not finite or does not fit, or sums overflow.

    Example:
        >>> from matinee_policies.rounds import Optimism
        >>> state = HybridState.prior(arms=2, dimension=1, shared_dimension=1)
        >>> ones = np.ones((3, 2, 1), dtype=np.float32)
        >>> rewards = np.tile([0.0, 1.0], (3, 1))
        >>> state, rounds = play_hybrid(state, ones[:, 0], ones, rewards, Optimism(alpha=1.0))
        >>> rounds.actions
        array([0, 1, 1], dtype=int32)
    """
    arms, d, m = state.cross.shape
    T = check_table("rewards", rewards, columns=arms)
    check_array("contexts", contexts, shape=(T, d), dtype=np.float32)
    check_array("features", features, shape=(T, arms, m), dtype=np.float32)
    shared_inverse, beta = padded(state.shared_inverse, axes=2), padded(state.beta, axes=1)
    inverse, cross = padded(state.inverse, axes=2), padded(state.cross, axes=2)
    local, counts = padded(state.local, axes=1), state.counts.copy()
    shared_gram = padded(state.shared_gram, axes=2)
    shared_moments = padded(state.shared_moments, axes=1)
    gram, cross_gram = padded(state.gram, axes=2), padded(state.cross_gram, axes=2)
    moments = padded(state.moments, axes=1)
    rounds = Rounds(np.empty(T, np.int32), np.empty(T), np.empty(T))
    sound = _play(
        writable(contexts),
        writable(features),
        writable(rewards),
        ExplorationNumbers.of(explore).array,
        np.uint64(key),
        state.rounds,
        state.l2,
        state.refresh_every,
        shared_inverse,
        beta,
        inverse,
        cross,
        local,
        shared_gram,
        shared_moments,
        gram,
        cross_gram,
        moments,
        counts,
        rounds.actions,
        rounds.propensities,
        rounds.rewards,
    )
    check_result(beta, local, cross, shared_inverse, inverse if sound else np.array([np.nan]))
    after = replace(
        state,
        shared_inverse=unpadded(shared_inverse, state.shared_inverse),
        beta=unpadded(beta, state.beta),
        inverse=unpadded(inverse, state.inverse),
        cross=unpadded(cross, state.cross),
        local=unpadded(local, state.local),
        shared_gram=unpadded(shared_gram, state.shared_gram),
        shared_moments=unpadded(shared_moments, state.shared_moments),
        gram=unpadded(gram, state.gram),
        cross_gram=unpadded(cross_gram, state.cross_gram),
        moments=unpadded(moments, state.moments),
        counts=counts,
        rounds=state.rounds + T,
    )
    return after, rounds


@kernel
def _play(
    contexts: Float32Array,
    features: Float32Array,
    rewards: FloatArray,
    numbers: FloatArray,
    key: np.uint64,
    played: int,
    l2: float,
    refresh_every: int,
    shared_inverse: FloatArray,
    beta: FloatArray,
    inverse: FloatArray,
    cross: FloatArray,
    local: FloatArray,
    shared_gram: FloatArray,
    shared_moments: FloatArray,
    gram: FloatArray,
    cross_gram: FloatArray,
    moments: FloatArray,
    counts: Int64Array,
    actions: IndexArray,
    propensities: FloatArray,
    obtained: FloatArray,
) -> bool:
    """Play all rounds in place; gives whether every refresh found a solution."""
    d, m = contexts.shape[1], features.shape[2]
    K, D, M = cross.shape
    widths = needs_widths(numbers)
    x = aligned_zeros(D, beta)
    u = aligned_zeros(M, beta)
    gain = aligned_zeros(D, beta)
    shared_gain = aligned_zeros(M, beta)
    U = aligned_zeros(ROWS * M, beta).reshape(ROWS, M)
    lanes: int = lanes_of(beta)
    size = triangle_size(d, lanes)
    room = size + lanes
    products = aligned_zeros(room, beta)
    triangles = aligned_zeros(K * room if widths else 0, beta)
    blocks = aligned_zeros(blocks_size(M, lanes), beta)
    values = np.zeros(K + ROWS)
    forms = np.zeros(K + ROWS)
    if widths:
        for k in range(K):
            fill_triangle(inverse[k], d, triangles, k * room)
    for t in range(contexts.shape[0]):
        for i in range(d):
            x[i] = contexts[t, i]
        if widths:
            fill_products(x, d, products, 0)
            fill_blocks(shared_inverse, blocks)
        for first in range(0, K, ROWS):
            for row in range(min(ROWS, K - first)):
                k = first + row
                _new_part(features[t, k], cross[k], x, u)
                values[k] = dot_lanes(u, 0, beta, 0, M) + dot_lanes(local, k * D, x, 0, D)
                for i in range(m):
                    U[row, i] = u[i]
            if widths:
                row_forms(U, blocks, forms, first)
        if widths:
            for k in range(K):
                forms[k] += dot_lanes(triangles, k * room, products, 0, size)
            add_exploration(values, forms, K, numbers, key, played + t)
        arm, propensity = choose_arm(values, K, numbers, key, played + t)
        reward = rewards[t, arm]
        actions[t] = arm
        propensities[t] = propensity
        obtained[t] = reward

        _new_part(features[t, arm], cross[arm], x, u)
        multiply_symmetric(inverse[arm], x, gain)
        multiply_symmetric(shared_inverse, u, shared_gain)
        own = 1.0 + dot_lanes(gain, 0, x, 0, D)
        whole = own + dot_lanes(shared_gain, 0, u, 0, M)
        residual = reward - dot_lanes(local, arm * D, x, 0, D)
        shared_step = (residual - dot_lanes(beta, 0, u, 0, M)) / whole
        for i in range(M):
            beta[i] += shared_step * shared_gain[i]
        for i in range(D):
            local[arm, i] += residual / own * gain[i]
            moments[arm, i] += reward * x[i]
        add_scaled_outer(shared_inverse, shared_gain, shared_gain, -1.0 / whole)
        add_scaled_outer(inverse[arm], gain, gain, -1.0 / own)
        add_scaled_outer(cross[arm], gain, u, 1.0 / own)
        add_lower_outer(gram[arm], x)
        for i in range(m):
            u[i] = features[t, arm, i]
            shared_moments[i] += reward * u[i]
        add_lower_outer(shared_gram, u)
        add_scaled_outer(cross_gram[arm], x, u, 1.0)
        counts[arm] += 1
        if refresh_every > 0 and counts[arm] % refresh_every == 0:
            if not invert_sums(gram[arm], l2, d, inverse[arm]):
                return False
            _solve_arm(inverse[arm], cross_gram[arm], moments[arm], cross[arm], local[arm])
        if refresh_every > 0 and (played + t + 1) % refresh_every == 0:
            solved = _solve_shared(
                shared_gram, shared_moments, cross_gram, moments, cross, l2, m, shared_inverse, beta
            )
            if not solved:
                return False
        if widths:
            fill_triangle(inverse[arm], d, triangles, arm * room)
    for k in range(K):
        mirror_lower(gram[k])
    mirror_lower(shared_gram)
    return True


@kernel
def _new_part(z: Float32Array, cross: FloatArray, x: FloatArray, u: FloatArray) -> None:
    """Write u = z - cross' x, what the arm's own regression does not tell about z."""
    M = u.size
    for j in range(z.size):
        u[j] = z[j]
    for j in range(z.size, M):
        u[j] = 0.0
    for i in range(0, x.size, 4):
        for j in range(M):
            part = multiply_add(-x[i], cross[i, j], u[j])
            part = multiply_add(-x[i + 1], cross[i + 1, j], part)
            part = multiply_add(-x[i + 2], cross[i + 2, j], part)
            u[j] = multiply_add(-x[i + 3], cross[i + 3, j], part)


@kernel
def _solve_arm(
    inverse: FloatArray,
    cross_gram: FloatArray,
    moments: FloatArray,
    cross: FloatArray,
    local: FloatArray,
) -> None:
    """Compute the arm's part anew from its inverse and sums."""
    D, M = cross.shape
    for i in range(D):
        local[i] = dot_lanes(inverse, i * D, moments, 0, D)
        for j in range(M):
            cross[i, j] = 0.0
        for k in range(D):
            for j in range(M):
                cross[i, j] += inverse[i, k] * cross_gram[k, j]


@kernel
def _solve_shared(
    shared_gram: FloatArray,
    shared_moments: FloatArray,
    cross_gram: FloatArray,
    moments: FloatArray,
    cross: FloatArray,
    l2: float,
    dimension: int,
    inverse: FloatArray,
    beta: FloatArray,
) -> bool:
    """Compute the shared part anew from the sums; gives whether there is a solution."""
    K, D, M = cross.shape
    A = shared_gram.copy()
    b = shared_moments.copy()
    for k in range(K):
        for i in range(D):
            for row in range(M):
                b[row] -= cross[k, i, row] * moments[k, i]
                for j in range(row + 1):
                    A[row, j] -= cross_gram[k, i, row] * cross[k, i, j]
    if not invert_sums(A, l2, dimension, inverse):
        return False
    for i in range(dimension):
        beta[i] = 0.0
        for j in range(dimension):
            beta[i] += inverse[i, j] * b[j]
    return True
