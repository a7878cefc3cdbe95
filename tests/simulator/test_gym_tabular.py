"""The tabular world as a gymnasium environment: its contract, and its exact optimum.

Bounds of statistical tests are 4 standard errors, with fixed seeds.
"""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence

from matinee_policies.arrays import IndexArray
from matinee_policies.errors import ConfigError, ContextError
from matinee_simulator.gym_env import TabularEnv
from matinee_simulator.tabular import (
    START,
    Solution,
    TabularModel,
    simulate_lifetimes,
    value_iteration,
)


@pytest.fixture(scope="module")
def solution() -> Solution:
    return value_iteration(TabularModel.from_parameters())


@pytest.fixture(scope="module")
def best(solution: Solution) -> IndexArray:
    """The best action in each state."""
    return np.asarray(np.argmax(solution.q, axis=1), dtype=np.int32)


def returns(env: TabularEnv, actions: IndexArray, *, episodes: int) -> list[tuple[int, float]]:
    """User and plain sum of rewards of some episodes under a fixed policy."""
    out = []
    for _ in range(episodes):
        state, info = env.reset()
        total, over = 0.0, False
        while not over:
            state, reward, terminated, truncated, _ = env.step(np.int64(actions[state]))
            total, over = total + reward, terminated or truncated
        out.append((info["user"], total))
    return out


@pytest.mark.parametrize("discount_ends", [True, False])
def test_the_checker_of_gymnasium_passes(*, discount_ends: bool) -> None:
    check_env(TabularEnv(discount_ends=discount_ends), skip_render_check=True)


def test_the_registered_name_makes_the_environment() -> None:
    with gymnasium.make("matinee/Tabular-v0") as env:
        check_env(env.unwrapped)
    users = gymnasium.make_vec("matinee/Tabular-v0", num_envs=3)
    states, _ = users.reset(seed=0)
    assert states.tolist() == [START] * 3
    states, rewards, *_ = users.step(np.array([0, 1, 5]))
    assert states in users.observation_space
    assert set(rewards.tolist()) <= {0.0, 1.0}


def test_the_sum_of_rewards_is_worth_the_exact_optimum(
    solution: Solution, best: IndexArray
) -> None:
    env = TabularEnv()
    env.reset(seed=1)
    totals = np.array([total for _, total in returns(env, best, episodes=400)])
    error = totals.std(ddof=1) / np.sqrt(totals.size)
    assert abs(totals.mean() - solution.values[START]) < 4 * error
    assert error < 0.06 * solution.values[START]


def test_without_endings_by_discount_it_lives_the_lifetimes_of_the_world(best: IndexArray) -> None:
    """User by user the same clicks as the simulation of whole lifetimes."""
    env = TabularEnv(discount_ends=False, seed=6)
    env.reset(seed=2)
    played = returns(env, best, episodes=15)
    law = np.eye(6)[best]
    users = np.array([user for user, _ in played])
    lives = simulate_lifetimes(env.model, law, users, seed=6)
    assert lives.clicks.tolist() == [total for _, total in played]
    assert lives.sessions.max() > 3


def test_equal_seeds_give_equal_episodes(best: IndexArray) -> None:
    runs = []
    for seed in (3, 3, 4):
        env = TabularEnv()
        env.reset(seed=seed)
        runs.append(returns(env, best, episodes=8))
    assert data_equivalence(runs[0], runs[1], exact=True)
    assert not data_equivalence(runs[0], runs[2])


def test_episodes_are_truncated_after_the_steps_asked_for() -> None:
    env = TabularEnv(most_steps=2, discount_ends=False)
    for seed in range(50):
        env.reset(seed=seed)
        _, _, terminated, truncated, _ = env.step(np.int64(0))
        assert not truncated
        if not terminated:
            *_, terminated, truncated, _ = env.step(np.int64(0))
            assert truncated != terminated
            with pytest.raises(gymnasium.error.ResetNeeded):
                env.step(np.int64(0))


def test_the_first_state_can_be_named() -> None:
    env = TabularEnv()
    assert env.reset(options={"state": 447})[0] == 447
    assert env.reset()[0] == START


def test_what_cannot_be_is_refused() -> None:
    env = TabularEnv()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.int64(0))
    for state in (-1, 448, 0.5, True):
        with pytest.raises(ContextError, match="state"):
            env.reset(options={"state": state})
    with pytest.raises(ContextError, match="options has no 'user'"):
        env.reset(options={"user": 1})
    env.reset(seed=0)
    with pytest.raises(ContextError, match="action must be within 0 and 5"):
        env.step(np.int64(6))
    with pytest.raises(ConfigError, match="most_steps must be >= 2"):
        TabularEnv(most_steps=1)
