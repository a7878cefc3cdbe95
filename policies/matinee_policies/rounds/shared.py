"""Rounds of a bandit whose arms share one ridge regression (Chu et al. 2011, algorithm 1).

    value(x) = x' theta          width(x) = sqrt(x' A^-1 x)

Every arm has features of its own in every round. A round costs O(K d^2 / 2 + d^2).
"""

from dataclasses import replace

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, FloatArray, IndexArray
from matinee_policies.compiled import kernel
from matinee_policies.errors import ContextError
from matinee_policies.lanes import aligned_zeros, lanes_of
from matinee_policies.quadratic_form import (
    ROWS,
    blocks_size,
    copy_features,
    dot_lanes,
    feature_dot,
    fill_blocks,
    row_forms,
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
from matinee_policies.rounds.records import Rounds, SharedState


def play_shared(
    state: SharedState,
    features: Float32Array,
    rewards: FloatArray,
    explore: Exploration,
    *,
    key: int = 0,
    precision: Precision = "float64",
) -> tuple[SharedState, Rounds]:
    """Choose an arm and learn from its reward, round after round.

    Only the reward of the arm chosen is looked at. Rounds may be played in any number of calls that
    go on from each other's states: the bits are the same.

    Args:
        state: where to begin; stays as it is.
        features: of each arm in each round, `float32 [T, K, d]`, finite, K at least 1.
        rewards: what each arm would pay, `float64 [T, K]`, finite.
        explore: how to choose.
        key: of the random numbers, `stream_key(seed, ...)`.
        precision: of the widths. With float32, rounding adds to x' A^-1 x at most
            (d + d / 16 + 7) 2^-24 times sum_ij |x_i A^-1_ij x_j|, and never adds up over rounds:
            each number is rounded anew from the float64 inverse.

    Returns:
        Where to go on, and what happened.

    Raises:
        ContextError: if an array is not finite or does not fit, or sums overflow.
        ConfigError: if the precision is unknown.

    Example:
        >>> from matinee_policies.rounds import Optimism
        >>> state = SharedState.prior(dimension=2)
        >>> features = np.tile(np.eye(2, dtype=np.float32), (3, 1, 1))
        >>> rewards = np.tile([0.0, 1.0], (3, 1))
        >>> state, rounds = play_shared(state, features, rewards, Optimism(alpha=1.0))
        >>> rounds.actions
        array([0, 1, 1], dtype=int32)
    """
    d = state.theta.size
    arms = features.shape[1] if isinstance(features, np.ndarray) and features.ndim == 3 else 0
    T = check_table("rewards", rewards, columns=arms) if arms else 0
    check_array("features", features, shape=(T, arms, d), dtype=np.float32)
    if not arms:
        raise ContextError("features must have at least one arm, got 0")
    like = precision_like(precision)
    inverse, theta = padded(state.inverse, axes=2), padded(state.theta, axes=1)
    gram, moments = padded(state.gram, axes=2), padded(state.moments, axes=1)
    rounds = Rounds(np.empty(T, np.int32), np.empty(T), np.empty(T))
    sound = _play(
        writable(features),
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
        rounds=state.rounds + T,
    )
    return after, rounds


@kernel
def _play(
    features: Float32Array,
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
    actions: IndexArray,
    propensities: FloatArray,
    obtained: FloatArray,
) -> bool:
    """Play all rounds in place; gives whether every refresh found a solution."""
    K, d = features.shape[1], features.shape[2]
    D = theta.size
    widths = needs_widths(numbers)
    X = aligned_zeros(ROWS * D, like).reshape(ROWS, D)
    x = aligned_zeros(D, theta)
    gain = aligned_zeros(D, theta)
    blocks = aligned_zeros(blocks_size(D, lanes_of(like)), like)
    values = np.zeros(K + ROWS)
    forms = np.zeros(K + ROWS)
    for t in range(features.shape[0]):
        if widths:
            fill_blocks(inverse, blocks)
        for first in range(0, K, ROWS):
            for row in range(min(ROWS, K - first)):
                values[first + row] = feature_dot(features[t, first + row], theta)
                if widths:
                    copy_features(features[t, first + row], X, row)
            if widths:
                row_forms(X, blocks, forms, first)
        if widths:
            add_exploration(values, forms, K, numbers, key, played + t)
        arm, propensity = choose_arm(values, K, numbers, key, played + t)
        reward = rewards[t, arm]
        actions[t] = arm
        propensities[t] = propensity
        obtained[t] = reward

        for i in range(d):
            x[i] = features[t, arm, i]
        multiply_symmetric(inverse, x, gain)
        scale = 1.0 + dot_lanes(gain, 0, x, 0, D)
        step = (reward - dot_lanes(theta, 0, x, 0, D)) / scale
        for i in range(D):
            theta[i] += step * gain[i]
            moments[i] += reward * x[i]
        add_scaled_outer(inverse, gain, gain, -1.0 / scale)
        add_lower_outer(gram, x)
        if refresh_every > 0 and (played + t + 1) % refresh_every == 0:
            if not invert_sums(gram, l2, d, inverse):
                return False
            for i in range(d):
                theta[i] = dot_lanes(inverse, i * D, moments, 0, D)
    mirror_lower(gram)
    return True
