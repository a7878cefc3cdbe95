"""Compiled rounds against the normal equations of the whole history, and their laws."""

import math

import numpy as np
import pytest

from matinee_policies.arrays import Float32Array, FloatArray
from matinee_policies.rounds import (
    DisjointState,
    EpsilonDraws,
    HybridState,
    Optimism,
    PosteriorDraws,
    SharedState,
    play_disjoint,
    play_hybrid,
    play_shared,
)
from matinee_policies.rounds.exploration import (
    ExplorationNumbers,
    add_exploration,
)


def normal(seed: int, *shape: int) -> Float32Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def solve(X: FloatArray, rewards: FloatArray, l2: float) -> tuple[FloatArray, FloatArray]:
    """The ridge solution and its inverse, of all rows at once; also of none."""
    A = l2 * np.eye(X.shape[1]) + X.T @ X
    inverse: FloatArray = np.linalg.solve(A, np.eye(len(A))).astype(np.float64)
    return np.linalg.solve(A, X.T @ rewards).astype(np.float64), inverse


@pytest.mark.parametrize("rounds", [0, 1, 300])
def test_disjoint_states_solve_the_normal_equations(rounds: int) -> None:
    contexts, rewards = normal(0, rounds, 9), normal(1, rounds, 6).astype(np.float64)
    rewards[:, 5] = -50.0  # Tried once, if at all.
    prior = DisjointState.prior(arms=6, dimension=9, l2=2.0)
    state, played = play_disjoint(prior, contexts, rewards, EpsilonDraws(epsilon=0.2), key=1)
    for arm in range(6):
        mine = played.actions == arm
        theta, inverse = solve(contexts[mine].astype(np.float64), rewards[mine, arm], 2.0)
        np.testing.assert_allclose(state.theta[arm], theta, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(state.inverse[arm], inverse, rtol=1e-10, atol=1e-10)
        assert state.counts[arm] == mine.sum()


@pytest.mark.parametrize("rounds", [0, 1, 300])
def test_shared_states_solve_the_normal_equations(rounds: int) -> None:
    features, rewards = normal(0, rounds, 6, 9), normal(1, rounds, 6).astype(np.float64)
    prior = SharedState.prior(dimension=9, l2=2.0)
    state, played = play_shared(prior, features, rewards, PosteriorDraws(scale=0.5), key=1)
    X = features[np.arange(rounds), played.actions].astype(np.float64)
    theta, inverse = solve(X, played.rewards, 2.0)
    np.testing.assert_allclose(state.theta, theta, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(state.inverse, inverse, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rounds", [0, 1, 300])
def test_hybrid_states_solve_one_joint_regression(rounds: int) -> None:
    """One regression on z and, in a block for each arm, x: its solution and the last choice."""
    arms, d, m, alpha = 4, 5, 3, 0.9
    contexts, features = normal(0, rounds + 1, d), normal(1, rounds + 1, arms, m)
    rewards = normal(2, rounds + 1, arms).astype(np.float64)
    prior = HybridState.prior(arms=arms, dimension=d, shared_dimension=m, l2=2.0, refresh_every=50)
    state, played = play_hybrid(
        prior,
        contexts[:rounds],
        features[:rounds],
        rewards[:rounds],
        EpsilonDraws(epsilon=0.3),
        key=1,
    )

    def joint(t: int, arm: int) -> FloatArray:
        row = np.zeros(m + arms * d)
        row[:m] = features[t, arm]
        row[m + arm * d : m + (arm + 1) * d] = contexts[t]
        return row

    rows = [joint(t, arm) for t, arm in enumerate(played.actions.tolist())]
    X = np.array(rows).reshape(rounds, m + arms * d)
    solution, inverse = solve(X, played.rewards, 2.0)
    np.testing.assert_allclose(state.beta, solution[:m], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(state.theta, solution[m:].reshape(arms, d), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(state.shared_inverse, inverse[:m, :m], rtol=1e-10, atol=1e-10)
    last = np.array([joint(rounds, arm) for arm in range(arms)])
    bounds = last @ solution + alpha * np.sqrt(np.einsum("ki,ij,kj->k", last, inverse, last))
    _, chosen = play_hybrid(
        state, contexts[rounds:], features[rounds:], rewards[rounds:], Optimism(alpha=alpha)
    )
    assert chosen.actions[0] == bounds.argmax()


def test_rows_of_zeros_teach_nothing() -> None:
    contexts, rewards = np.zeros((20, 4), np.float32), np.ones((20, 2))
    prior = DisjointState.prior(arms=2, dimension=4)
    state, played = play_disjoint(prior, contexts, rewards, Optimism())
    np.testing.assert_array_equal(state.inverse, prior.inverse)
    assert not state.theta.any()
    assert not played.actions.any()


@pytest.mark.parametrize("arms", [1, 2, 7])
def test_posterior_draws_have_the_mean_and_variance_of_the_posterior(arms: int) -> None:
    """Four standard errors of a mean, a variance and a covariance of normal draws."""
    n, scale = 40_000, 1.5
    means, forms = np.linspace(-1.0, 1.0, arms), np.linspace(0.2, 3.0, arms)
    numbers = ExplorationNumbers.of(PosteriorDraws(scale=scale)).array
    scores = np.empty((n, arms))
    for t in range(n):
        scores[t] = means
        add_exploration(scores[t], forms, arms, numbers, np.uint64(4), t)
    noise = (scores - means) / (scale * np.sqrt(forms))
    assert (abs(noise.mean(axis=0)) < 4.0 / math.sqrt(n)).all()
    second = noise.T @ noise / n
    error = np.where(np.eye(arms) > 0, math.sqrt(2.0), 1.0) * 4.0 / math.sqrt(n)
    assert (abs(second - np.eye(arms)) < error).all()
    # A normal number lies within one deviation with probability 0.6827.
    share = (abs(noise) < 1.0).mean(axis=0)
    assert (abs(share - 0.6826894921) < 4.0 * math.sqrt(0.6827 * 0.3173 / n)).all()


def test_single_precision_does_not_drift() -> None:
    """After 5,000 updates, widths rounded from the float64 inverse keep the error of one rounding;
    an inverse that is itself kept in float32 is wrong by a hundred times as much."""
    T, d = 5000, 8
    scale = 10.0 ** np.linspace(-1.0, 2.0, d)
    contexts = (normal(3, T, d) * scale).astype(np.float32)
    prior = SharedState.prior(dimension=d, l2=1e-3)
    state, _ = play_shared(
        prior, contexts[:, None], np.zeros((T, 1)), Optimism(), precision="float32"
    )
    naive = (np.eye(d) / 1e-3).astype(np.float32)
    for x in contexts:
        gain = naive @ x
        naive -= np.outer(gain, gain) / (1.0 + x @ gain)
    X = contexts.astype(np.float64)
    _, exact = solve(X, np.zeros(T), 1e-3)

    def error(inverse: FloatArray) -> float:
        forms = np.einsum("ti,ij,tj->t", X[:50], inverse, X[:50])
        expected = np.einsum("ti,ij,tj->t", X[:50], exact, X[:50])
        return float(abs(forms / expected - 1.0).max())

    assert error(state.inverse.astype(np.float32).astype(np.float64)) < 1e-6
    assert error(naive.astype(np.float64)) > 1e-4


def test_the_guard_ends_drift_of_badly_scaled_features() -> None:
    """Four decades between features and a weak prior: the rank-one steps cancel digits for good,
    unless the inverse is computed anew from the sums."""
    T, d, l2 = 4000, 6, 1e-8
    scale = 10.0 ** np.linspace(-1.0, 3.0, d)
    contexts = (normal(0, T, d) * scale).astype(np.float32)
    rewards = normal(1, T, 1).astype(np.float64)
    theta, _ = solve(contexts.astype(np.float64), rewards[:, 0], l2)

    def error(refresh_every: int) -> float:
        prior = DisjointState.prior(arms=1, dimension=d, l2=l2, refresh_every=refresh_every)
        state, _ = play_disjoint(prior, contexts, rewards, Optimism(alpha=0.0))
        return float(abs((state.theta[0] - theta) * scale).max() / abs(theta * scale).max())

    assert error(0) > 1e-6
    assert error(1000) < 1e-9
