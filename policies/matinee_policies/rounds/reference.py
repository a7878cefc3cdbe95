"""The rounds in plain numpy: readable twins of the compiled ones, in O(K d^3) a round.

Each round solves the normal equations of all that was played, so there is nothing to drift.
"""

import math
from dataclasses import replace

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray
from matinee_policies.philox import random_bits
from matinee_policies.rounds.exploration import EpsilonDraws, Exploration, Optimism
from matinee_policies.rounds.records import DisjointState, HybridState, Rounds, SharedState

_TO_UNIT = 2.0**-53


def play_disjoint_reference(
    state: DisjointState,
    contexts: Float32Array,
    rewards: FloatArray,
    explore: Exploration,
    *,
    key: int = 0,
) -> tuple[DisjointState, Rounds]:
    """Li et al. 2010, algorithm 1: the twin of `play_disjoint`."""
    rounds = _empty_rounds(len(rewards))
    for t, x in enumerate(contexts.astype(np.float64)):
        variances = np.einsum("i,kij,j->k", x, state.inverse, x)
        arm, reward = _play_one(
            rounds, t, state.theta @ x, variances, rewards, explore, key=key, played=state.rounds
        )
        gram, moments = state.gram.copy(), state.moments.copy()
        inverse, theta, counts = state.inverse.copy(), state.theta.copy(), state.counts.copy()
        gram[arm] += np.outer(x, x)
        moments[arm] += reward * x
        counts[arm] += 1
        inverse[arm] = np.asarray(
            np.linalg.inv(state.l2 * np.eye(x.size) + gram[arm]), dtype=np.float64
        )
        theta[arm] = inverse[arm] @ moments[arm]
        state = replace(
            state,
            inverse=inverse,
            theta=theta,
            gram=gram,
            moments=moments,
            counts=counts,
            rounds=state.rounds + 1,
        )
    return state, rounds


def play_shared_reference(
    state: SharedState,
    features: Float32Array,
    rewards: FloatArray,
    explore: Exploration,
    *,
    key: int = 0,
) -> tuple[SharedState, Rounds]:
    """Chu et al. 2011, algorithm 1: the twin of `play_shared`."""
    rounds = _empty_rounds(len(rewards))
    for t, X in enumerate(features.astype(np.float64)):
        variances = np.einsum("ki,ij,kj->k", X, state.inverse, X)
        arm, reward = _play_one(
            rounds, t, X @ state.theta, variances, rewards, explore, key=key, played=state.rounds
        )
        gram = state.gram + np.outer(X[arm], X[arm])
        moments = state.moments + reward * X[arm]
        inverse = np.asarray(np.linalg.inv(state.l2 * np.eye(X.shape[1]) + gram), dtype=np.float64)
        state = replace(
            state,
            inverse=inverse,
            theta=inverse @ moments,
            gram=gram,
            moments=moments,
            rounds=state.rounds + 1,
        )
    return state, rounds


def play_hybrid_reference(
    state: HybridState,
    contexts: Float32Array,
    features: Float32Array,
    rewards: FloatArray,
    explore: Exploration,
    *,
    key: int = 0,
) -> tuple[HybridState, Rounds]:
    """Li et al. 2010, algorithm 2, lines 9-13 and 17-24: the twin of `play_hybrid`."""
    rounds = _empty_rounds(len(rewards))
    arms, d, m = state.cross.shape
    A, B, b = state.l2 * np.eye(d) + state.gram, state.cross_gram.copy(), state.moments.copy()
    inverse = np.asarray(np.linalg.inv(A), dtype=np.float64)
    A0 = state.l2 * np.eye(m) + state.shared_gram
    b0 = state.shared_moments.copy()
    for k in range(arms):
        A0 -= B[k].T @ inverse[k] @ B[k]
        b0 -= B[k].T @ inverse[k] @ b[k]
    counts = state.counts.copy()
    shared_gram, shared_moments = state.shared_gram.copy(), state.shared_moments.copy()
    for t in range(len(rewards)):
        x, Z = contexts[t].astype(np.float64), features[t].astype(np.float64)
        values, variances = np.empty(arms), np.empty(arms)
        A0_inverse = np.asarray(np.linalg.inv(A0), dtype=np.float64)
        beta = A0_inverse @ b0
        for k, z in enumerate(Z):
            theta = inverse[k] @ (b[k] - B[k] @ beta)
            values[k] = z @ beta + x @ theta
            back = B[k].T @ inverse[k] @ x
            variances[k] = (
                z @ A0_inverse @ z
                - 2.0 * z @ A0_inverse @ back
                + x @ inverse[k] @ x
                + back @ A0_inverse @ back
            )
        a, reward = _play_one(
            rounds, t, values, variances, rewards, explore, key=key, played=state.rounds
        )
        A0 += B[a].T @ inverse[a] @ B[a]
        b0 += B[a].T @ inverse[a] @ b[a]
        A[a] += np.outer(x, x)
        B[a] += np.outer(x, Z[a])
        b[a] += reward * x
        inverse[a] = np.asarray(np.linalg.inv(A[a]), dtype=np.float64)
        A0 += np.outer(Z[a], Z[a]) - B[a].T @ inverse[a] @ B[a]
        b0 += reward * Z[a] - B[a].T @ inverse[a] @ b[a]
        counts[a] += 1
        shared_gram += np.outer(Z[a], Z[a])
        shared_moments += reward * Z[a]
        state = replace(state, rounds=state.rounds + 1)
    A0_inverse = np.asarray(np.linalg.inv(A0), dtype=np.float64)
    after = replace(
        state,
        shared_inverse=A0_inverse,
        beta=A0_inverse @ b0,
        inverse=inverse,
        cross=inverse @ B,
        local=np.einsum("kij,kj->ki", inverse, b),
        shared_gram=shared_gram,
        shared_moments=shared_moments,
        gram=A - state.l2 * np.eye(d),
        cross_gram=B,
        moments=b,
        counts=counts,
    )
    return after, rounds


def _empty_rounds(count: int) -> Rounds:
    return Rounds(np.empty(count, np.int32), np.empty(count), np.empty(count))


def _play_one(
    rounds: Rounds,
    t: int,
    values: FloatArray,
    variances: FloatArray,
    rewards: FloatArray,
    explore: Exploration,
    *,
    key: int,
    played: int,
) -> tuple[int, float]:
    """Choose, write down what happened and give the arm and its reward."""
    arm, propensity = _choose(
        values, np.sqrt(variances), explore, key=np.uint64(key), played=played
    )
    rounds.actions[t] = arm
    rounds.propensities[t] = propensity
    rounds.rewards[t] = rewards[t, arm]
    return arm, float(rewards[t, arm])


def _choose(
    values: FloatArray, widths: FloatArray, explore: Exploration, *, key: np.uint64, played: int
) -> tuple[int, float]:
    """The arm, and the probability of choosing it."""
    if isinstance(explore, Optimism):
        return int(np.argmax(values + explore.alpha * widths)), 1.0
    if isinstance(explore, EpsilonDraws):
        epsilon = max(explore.least, explore.epsilon / (1.0 + played / explore.decay_rounds))
        draw, place = _uniforms(key, played, 0)
        best = int(np.argmax(values))
        arm = int(place * len(values)) if draw < epsilon else best
        return arm, epsilon / len(values) + (1.0 - epsilon) * (arm == best)
    noise = []
    for pair in range(0, len(values), 2):
        first, second = _uniforms(key, played, 1 + pair)
        radius = math.sqrt(-2.0 * math.log(first + 2.0**-54))
        noise += [
            radius * math.cos(2.0 * math.pi * second),
            radius * math.sin(2.0 * math.pi * second),
        ]
    scores = values + explore.scale * widths * np.array(noise[: len(values)])
    return int(np.argmax(scores)), math.nan if len(values) > 1 else 1.0


def _uniforms(key: np.uint64, played: int, place: int) -> tuple[float, float]:
    words = random_bits(key, np.uint64(played), np.uint64(place))
    return int(words[0] >> np.uint64(11)) * _TO_UNIT, int(words[1] >> np.uint64(11)) * _TO_UNIT
