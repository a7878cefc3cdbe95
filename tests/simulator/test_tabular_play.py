"""Contextual policies in the tabular world."""

from typing import Any

import numpy as np
import pytest

from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.records import OutcomeBatch
from matinee_policies.registry import build_policy
from matinee_policies.uniform import Uniform
from matinee_simulator.tabular import (
    ACTIONS,
    FEATURES,
    START,
    STATES,
    Play,
    PlayConfig,
    Solution,
    TabularModel,
    myopic_clicks,
    occupancy,
    play_policy,
    policy_evaluation,
    state_number,
    uniform_law,
    value_iteration,
)
from matinee_simulator.tabular.equations import DISAPPOINTED, NOTHING, SATISFIED
from matinee_simulator.tabular.play import contexts_of, rewards_of


@pytest.fixture(scope="module")
def model() -> TabularModel:
    return TabularModel.from_parameters()


@pytest.fixture(scope="module")
def solution(model: TabularModel) -> Solution:
    return value_iteration(model)


def play(
    kind: str,
    settings: dict[str, Any],
    model: TabularModel,
    solution: Solution,
    *,
    users: int = 200,
    seed: int = 1,
    **config: Any,
) -> Play:
    policy = build_policy(kind, settings, dimension=len(FEATURES))
    numbers = np.arange(users)
    return play_policy(
        policy, model, numbers, seed=seed, config=PlayConfig(**config), solution=solution
    )


def test_features_say_action_satiation_and_goodwill() -> None:
    contexts = contexts_of(np.array([state_number((3, 0, 1), 6), START], dtype=np.int32))
    assert contexts.features.shape == (2, ACTIONS, len(FEATURES))
    np.testing.assert_array_equal(contexts.features[0, :, :6], np.eye(6))
    np.testing.assert_allclose(contexts.features[0, :, 6], [1, 1, 0, 0, 1 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_array_equal(contexts.features[:, 0, 7], [1.0, 0.0])


def test_rewards_weigh_clicks_and_satisfaction() -> None:
    outcomes = np.array([NOTHING, DISAPPOINTED, SATISFIED], dtype=np.int8)
    assert rewards_of(outcomes, satisfaction_weight=0.0).tolist() == [0.0, 1.0, 1.0]
    assert rewards_of(outcomes, satisfaction_weight=1.0).tolist() == [0.0, 0.0, 1.0]
    assert rewards_of(outcomes, satisfaction_weight=0.25).tolist() == [0.0, 0.75, 1.0]


def test_regret_is_exact_and_sums_to_what_the_policy_loses(
    model: TabularModel, solution: Solution
) -> None:
    run = play("uniform", {}, model, solution, users=2_000, steps=1)
    assert (run.states == START).all()
    np.testing.assert_array_equal(run.pseudo_regret, solution.regrets[START, run.actions])
    exact = solution.regrets[START].mean()
    assert abs(run.regret_by_step[0] - exact) < 4 * run.regret_error_by_step[0]
    clicks = model.rewards[START].mean()
    assert abs(run.clicks.mean() - clicks) < 4 * np.sqrt(clicks * (1 - clicks) / 2_000)
    np.testing.assert_allclose(run.propensities, 1 / ACTIONS)


def test_long_runs_visit_states_as_the_chain_does(model: TabularModel, solution: Solution) -> None:
    """The mean regret of uniform choices equals that of the stationary law with newcomers."""
    run = play("uniform", {}, model, solution, users=1_000, steps=400)
    chain = np.einsum("sa,sat->st", uniform_law(), model.transitions)
    chain[:, START] += uniform_law()[0] @ model.gone.T
    law = np.linalg.matrix_power(chain, 4_096)[START]
    exact = float(law @ solution.regrets.mean(axis=1))
    by_user = run.pseudo_regret[100:].mean(axis=0)
    assert abs(by_user.mean() - exact) < 4 * by_user.std(ddof=1) / np.sqrt(by_user.size)


def test_lin_ucb_on_clicks_becomes_myopic(model: TabularModel, solution: Solution) -> None:
    settings = {"alpha": 1.0, "floor": 0.05}
    run = play("lin_ucb", settings, model, solution, users=300, steps=150)
    myopic = myopic_clicks(model)
    agreed = myopic[run.states, run.actions]
    assert agreed[-50:].mean() > 0.7 > agreed[:5].mean()
    assert run.clicks[-50:].mean() > run.clicks[:10].mean()
    assert run.propensities.max() == pytest.approx(0.95 + 0.05 / ACTIONS)


def test_learning_satisfaction_costs_less_than_learning_clicks(
    model: TabularModel, solution: Solution
) -> None:
    settings = {"alpha": 1.0, "floor": 0.05}
    runs = [
        play("lin_ucb", settings, model, solution, users=300, steps=150, satisfaction_weight=w)
        for w in (0.0, 1.0)
    ]
    clicks, satisfaction = (run.pseudo_regret[-100:].mean(axis=0) for run in runs)
    gap = clicks - satisfaction
    assert gap.mean() > 4 * gap.std(ddof=1) / np.sqrt(gap.size)


def test_luck_belongs_to_the_user(model: TabularModel, solution: Solution) -> None:
    together = play("uniform", {}, model, solution, users=30, steps=60)
    policy = build_policy("uniform", {}, dimension=len(FEATURES))
    for user in (0, 7, 29):
        alone = play_policy(
            policy,
            model,
            np.array([user]),
            seed=1,
            config=PlayConfig(steps=60),
            solution=solution,
        )
        np.testing.assert_array_equal(alone.states[:, 0], together.states[:, user])
        np.testing.assert_array_equal(alone.actions[:, 0], together.actions[:, user])
        np.testing.assert_array_equal(alone.rewards[:, 0], together.rewards[:, user])


def test_runs_repeat(model: TabularModel, solution: Solution) -> None:
    first, second = (
        play("epsilon_greedy", {}, model, solution, users=50, steps=40) for _ in range(2)
    )
    np.testing.assert_array_equal(first.actions, second.actions)
    np.testing.assert_array_equal(first.pseudo_regret, second.pseudo_regret)


def test_newcomers_start_afresh(model: TabularModel, solution: Solution) -> None:
    run = play("uniform", {}, model, solution, users=100, steps=100)
    assert run.newcomers[0].all()
    assert run.newcomers[1:].any()
    assert (run.states[run.newcomers] == START).all()
    np.testing.assert_array_equal(run.pseudo_regret, solution.regrets[run.states, run.actions])
    steps = model.transitions[run.states[:-1], run.actions[:-1], run.states[1:]]
    assert (steps[~run.newcomers[1:]] > 0).all()
    assert ((run.states >= 0) & (run.states < STATES)).all()


class _Watching(Uniform):
    """Counts what it is asked to learn."""

    learns = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[OutcomeBatch] = []

    def learn(self, outcomes: OutcomeBatch) -> None:
        self.seen.append(outcomes)


def test_policies_learn_at_barriers(model: TabularModel, solution: Solution) -> None:
    policy = _Watching()
    run = play_policy(
        policy,
        model,
        np.arange(70),
        seed=2,
        config=PlayConfig(steps=25, barrier=10),
        solution=solution,
    )
    assert [len(batch) for batch in policy.seen] == [700, 700]
    batch = policy.seen[1]
    np.testing.assert_array_equal(batch.rewards[:, 0], run.rewards[10:20].ravel())
    np.testing.assert_array_equal(batch.days, np.repeat(np.arange(10, 20), 70))
    assert batch.items is not None
    np.testing.assert_array_equal(batch.items[:, 0], run.actions[10:20].ravel())
    np.testing.assert_array_equal(batch.shards[:70], np.arange(70) % 64)
    states = run.states[10:20].ravel()
    expected = contexts_of(states).features[np.arange(700), batch.items[:, 0]]
    np.testing.assert_array_equal(batch.features[:, 0], expected)


@pytest.mark.parametrize("kind", ["softmax", "square_cb", "logistic", "discounted_lin_ucb"])
def test_other_kinds_play(kind: str, model: TabularModel, solution: Solution) -> None:
    run = play(kind, {}, model, solution, users=20, steps=20)
    assert (run.pseudo_regret >= 0).all()
    assert ((run.propensities > 0) & (run.propensities <= 1)).all()


def test_a_mixture_plays(model: TabularModel, solution: Solution) -> None:
    bases = [{"kind": "uniform"}, {"kind": "lin_ucb"}]
    run = play("corral", {"bases": bases}, model, solution, users=20, steps=20)
    assert (run.pseudo_regret >= 0).all()


def test_regret_in_lifetimes_is_the_performance_difference(
    model: TabularModel, solution: Solution
) -> None:
    lost = solution.values[START] - policy_evaluation(model, uniform_law())[START]
    visits = occupancy(model, uniform_law())
    assert visits @ solution.regrets.mean(axis=1) == pytest.approx(lost, abs=1e-7)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("barrier", 0), ("barrier", 1.5), ("satisfaction_weight", 1.1)],
)
def test_impossible_play_is_named(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        PlayConfig.from_json({name: value})
    assert repr(value) in str(caught.value)


def test_impossible_users_are_refused(model: TabularModel, solution: Solution) -> None:
    with pytest.raises(ContextError, match="users must be at least 0, got -1"):
        play_policy(Uniform(), model, np.array([-1]), seed=1, solution=solution)
