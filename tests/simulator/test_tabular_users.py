"""Simulated users of the tabular world against exact values; Q-learning against the optimum."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from matinee_policies.errors import ConfigError, ContextError
from matinee_simulator.tabular import (
    ACTIONS,
    GONE,
    START,
    STATES,
    QLearningConfig,
    Solution,
    TabularModel,
    TabularParameters,
    fixed_action,
    greedy,
    myopic_clicks,
    myopic_satisfaction,
    policy_evaluation,
    q_learning,
    share_of_optimum,
    simulate_lifetimes,
    state_number,
    undiscounted_evaluation,
    uniform_law,
    value_iteration,
)
from matinee_simulator.tabular.equations import NOTHING
from matinee_simulator.tabular.lifetimes import simulate_lifetimes_reference
from matinee_simulator.tabular.model import by_state
from matinee_simulator.tabular.q_learning import q_learning_reference
from matinee_simulator.tabular.step import (
    advance,
    advance_reference,
    step_tables,
    step_users,
    tabular_streams,
)


@pytest.fixture(scope="module")
def model() -> TabularModel:
    return TabularModel.from_parameters()


@pytest.fixture(scope="module")
def solution(model: TabularModel) -> Solution:
    return value_iteration(model)


def test_a_step_equals_its_twin(model: TabularModel) -> None:
    tables, streams = step_tables(model), tabular_streams(5)
    for user in range(600):
        state, action = (user * 37) % STATES, user % ACTIONS
        fast = advance(tables, streams, np.uint64(user), np.uint64(9), state, action)
        slow = advance_reference(model, streams, user=user, step=9, state=state, action=action)
        assert fast == slow


@pytest.mark.parametrize(
    ("state", "action"),
    [(START, 1), (state_number((2, 3, 1), 1), 2), (state_number((3, 0, 2), 6), 0)],
)
def test_steps_follow_the_transitions(model: TabularModel, state: int, action: int) -> None:
    n = 200_000
    users, states = np.arange(n, dtype=np.uint64), np.full(n, state, dtype=np.int32)
    outcomes, after = np.empty(n, dtype=np.int8), np.empty(n, dtype=np.int32)
    actions = np.full(n, action, dtype=np.int32)
    step_users(
        step_tables(model),
        tabular_streams(1),
        users,
        np.uint64(0),
        states,
        actions,
        outcomes,
        after,
    )
    law = np.append(model.transitions[state, action], model.gone[state, action])
    counts = np.bincount(np.where(after == GONE, STATES, after), minlength=STATES + 1)
    assert (counts[law == 0] == 0).all()
    # Small cells together; then a chi-square statistic within 4 sd of its mean.
    large = law * n >= 10
    seen = np.append(counts[large], counts[~large].sum())
    due = n * np.append(law[large], law[~large].sum())
    statistic = float(np.sum((seen - due)[due > 0] ** 2 / due[due > 0]))
    freedom = int((due > 0).sum()) - 1
    assert statistic < freedom + 4 * np.sqrt(2 * freedom)
    click = model.rewards[state, action]
    share = float((outcomes != NOTHING).mean())
    assert abs(share - click) < 4 * np.sqrt(click * (1 - click) / n)


def test_lifetimes_equal_their_twin(model: TabularModel) -> None:
    law, users = myopic_satisfaction(model) * 0.7 + uniform_law() * 0.3, np.arange(12)
    fast = simulate_lifetimes(model, law, users, seed=2)
    slow = simulate_lifetimes_reference(model, law, users, seed=2)
    for name in ("clicks", "satisfied", "steps", "sessions", "days", "ended"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name))
    np.testing.assert_allclose(fast.discounted_clicks, slow.discounted_clicks, rtol=1e-9)


def test_luck_belongs_to_the_user(model: TabularModel) -> None:
    law = uniform_law()
    together = simulate_lifetimes(model, law, np.arange(40), seed=3)
    again = simulate_lifetimes(model, law, np.arange(40), seed=3)
    np.testing.assert_array_equal(together.discounted_clicks, again.discounted_clicks)
    for user in (0, 17, 39):
        alone = simulate_lifetimes(model, law, np.array([user]), seed=3)
        assert alone.discounted_clicks[0] == together.discounted_clicks[user]
        assert alone.days[0] == together.days[user]
    other = simulate_lifetimes(model, law, np.arange(40), seed=4)
    assert (other.steps != together.steps).any()


@pytest.mark.parametrize("policy", ["optimum", "satisfaction", "clicks", "uniform", "fixed"])
def test_monte_carlo_equals_evaluation(
    model: TabularModel, solution: Solution, policy: str
) -> None:
    law = {
        "optimum": greedy(solution.q),
        "satisfaction": myopic_satisfaction(model),
        "clicks": myopic_clicks(model),
        "uniform": uniform_law(),
        "fixed": fixed_action(4),
    }[policy]
    lives = simulate_lifetimes(model, law, np.arange(4_000), seed=11)
    assert lives.ended.all()
    exact = policy_evaluation(model, law)[START]
    assert abs(lives.value - exact) < 3 * lives.standard_error
    plain = {
        "clicks": None,
        "satisfied": by_state(model.laws.click * model.laws.satisfied),
        "steps": np.ones((STATES, ACTIONS)),
        "sessions": model.ends,
    }
    for name, rewards in plain.items():
        seen = getattr(lives, name)
        exact = undiscounted_evaluation(model, law, rewards=rewards)[START]
        assert abs(seen.mean() - exact) < 4 * seen.std(ddof=1) / np.sqrt(seen.size), name


def test_a_limit_of_steps_is_told(model: TabularModel) -> None:
    lives = simulate_lifetimes(model, uniform_law(), np.arange(200), seed=1, most_steps=5)
    assert lives.steps.max() == 5
    assert not lives.ended.all()
    assert lives.ended[lives.steps < 5].all()


def test_impossible_users_are_refused(model: TabularModel) -> None:
    law = uniform_law()
    with pytest.raises(ContextError, match="users must be at least 0, got -3"):
        simulate_lifetimes(model, law, np.array([1, -3]), seed=1)
    for users in (np.array([0.5]), np.zeros(0, dtype=np.int64), np.zeros((2, 2), dtype=np.int64)):
        with pytest.raises(ContextError, match="users must be a row"):
            simulate_lifetimes(model, law, users, seed=1)
    with pytest.raises(ContextError, match="states must be within 0 and 447, got -1"):
        simulate_lifetimes(model, law, np.arange(2), seed=1, start=GONE)
    with pytest.raises(ConfigError, match="most_steps must be >= 1, got 0"):
        simulate_lifetimes(model, law, np.arange(2), seed=1, most_steps=0)


def test_q_learning_equals_its_twin(model: TabularModel) -> None:
    config = QLearningConfig(users=7, steps=21, epsilon=0.8, initial_value=3.0)
    fast = q_learning(model, seed=6, config=config)
    slow = q_learning_reference(model, seed=6, config=config)
    np.testing.assert_array_equal(fast.visits, slow.visits)
    np.testing.assert_allclose(fast.q, slow.q, rtol=1e-9)
    assert fast.visits.sum() == 7 * 21


def test_q_learning_reaches_the_optimum(model: TabularModel, solution: Solution) -> None:
    """Mean share of V* over 5 seeds, each evaluated exactly: at least .98 by 3 standard errors."""
    with ThreadPoolExecutor(2) as threads:
        learned = list(threads.map(lambda seed: q_learning(model, seed=seed), range(5)))
    shares = np.array([share_of_optimum(model, one.law, solution) for one in learned])
    error = shares.std(ddof=1) / np.sqrt(shares.size)
    assert shares.mean() - 3 * error >= 0.98
    assert shares.max() <= 1.0 + 1e-6
    assert share_of_optimum(model, myopic_satisfaction(model), solution) < shares.min()


def test_q_learning_finds_the_values_of_a_short_future() -> None:
    """With little future, Q is known well wherever it was tried often."""
    model = TabularModel.from_parameters(TabularParameters(churn_base=2.0, leave_base=2.0))
    exact = value_iteration(model)
    config = QLearningConfig(users=500, steps=1_000, initial_value=0.0, epsilon=1.0)
    learned = q_learning(model, seed=1, config=config)
    often = learned.visits > 2_000
    assert often.sum() > 10
    assert np.abs(learned.q - exact.q)[often].max() < 0.08


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("users", 0),
        ("steps", 1.5),
        ("epsilon", 1.1),
        ("last_epsilon", 0.5),
        ("power", 0.5),
        ("power", 1.2),
        ("initial_value", float("inf")),
    ],
)
def test_impossible_schedule_is_named(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        QLearningConfig.from_json({name: value})
    assert repr(value) in str(caught.value)
