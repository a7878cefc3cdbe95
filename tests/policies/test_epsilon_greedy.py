from collections.abc import Sequence

import numpy as np
import pytest

from matinee_policies import (
    ConfigError,
    ContextBatch,
    ContextError,
    EpsilonGreedy,
    EpsilonGreedyConfig,
    Policy,
)
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes
from matinee_policies.testing_laws import per_slot_epsilon, plain_greedy_law, plain_utilities


class TestEpsilonGreedy(PolicyContract):
    def make_policy(self) -> Policy:
        config = EpsilonGreedyConfig(epsilon=0.3, l2=2.0, diversity=0.2)
        return EpsilonGreedy(config, dimension=self.dimension)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        utilities = plain_utilities(
            (contexts.features[0].astype(float) @ learned_theta(self.dimension)).tolist(),
            contexts.embeddings[contexts.candidates[0]].tolist(),
            prefix,
            diversity=0.2,
        )
        return plain_greedy_law(utilities, 5, weight=per_slot_epsilon(0.3, slots=3))


class TestDecayingEpsilonGreedy(PolicyContract):
    """The contract's first components have 300 to 450 rows."""

    def make_policy(self) -> Policy:
        config = EpsilonGreedyConfig(
            epsilon=0.8, decay_rows=200, least_epsilon=0.01, l2=2.0, diversity=0.2
        )
        return EpsilonGreedy(config, dimension=self.dimension)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        utilities = plain_utilities(
            (contexts.features[0].astype(float) @ learned_theta(self.dimension)).tolist(),
            contexts.embeddings[contexts.candidates[0]].tolist(),
            prefix,
            diversity=0.2,
        )
        rows = int(example_outcomes(1, slates=150, dimension=4).shown.sum())
        epsilon = 0.8 * 200 / (200 + rows)
        return plain_greedy_law(utilities, 5, weight=per_slot_epsilon(epsilon, slots=3))


def learned_theta(dimension: int) -> np.ndarray:
    """What the contract's outcomes teach, by the normal equations."""
    first = example_outcomes(1, slates=150, dimension=dimension)
    later = example_outcomes(1, slates=150, dimension=dimension, first=False)
    X = first.features[first.shown].astype(float)
    r = first.rewards[first.shown] + later.rewards[later.shown]
    return np.asarray(np.linalg.solve(2.0 * np.eye(dimension) + X.T @ X, X.T @ r))


def test_without_exploration_it_orders_by_predicted_reward() -> None:
    contexts = example_contexts(2, decisions=30, candidates=8, dimension=4)
    policy = EpsilonGreedy(EpsilonGreedyConfig(epsilon=0.0, l2=2.0), dimension=4)
    policy.learn(example_outcomes(1, slates=150, dimension=4))
    policy.learn(example_outcomes(1, slates=150, dimension=4, first=False))
    slates = policy.decide(contexts, slots=8, keys=example_keys(30))
    predicted = contexts.features.astype(float) @ learned_theta(4)
    np.testing.assert_array_equal(slates.positions, np.argsort(-predicted, axis=1))
    np.testing.assert_allclose(policy.theta, learned_theta(4), rtol=1e-12)


def test_the_floor_is_part_of_the_budget() -> None:
    contexts = example_contexts(2, decisions=1, candidates=5, dimension=4)

    def least(epsilon: float, floor: float) -> float:
        config = EpsilonGreedyConfig(epsilon=epsilon, floor=floor)
        policy = EpsilonGreedy(config, dimension=4)
        prefix = np.zeros((1, 0), dtype=np.int32)
        return float(policy.next_law(contexts, prefix, slots=2).min())

    assert least(0.19, 0.05) == pytest.approx(0.1 / 5)
    assert least(0.19, 0.1) == pytest.approx(0.1 / 5)
    with pytest.raises(ConfigError, match=r"= 0.1 for epsilon = 0.19 .* L = 2 slots, got 0.15"):
        least(0.19, 0.15)


def test_the_floor_does_not_fall_with_epsilon() -> None:
    config = EpsilonGreedyConfig(epsilon=0.4, decay_rows=1.0, floor=0.1)
    policy = EpsilonGreedy(config, dimension=4)
    policy.learn(example_outcomes(1, slates=150, dimension=4))
    assert config.epsilon_at(policy.rows) < 0.01
    contexts = example_contexts(2, decisions=1, candidates=5, dimension=4)
    law = policy.next_law(contexts, np.zeros((1, 0), dtype=np.int32), slots=2)
    assert law.min() == pytest.approx(0.1 / 5)


def test_epsilon_falls_with_the_rows_learned_and_stops_at_the_least() -> None:
    config = EpsilonGreedyConfig(epsilon=0.4, decay_rows=100, least_epsilon=0.05)
    assert [config.epsilon_at(rows) for rows in (0, 100, 300, 10**6)] == [0.4, 0.2, 0.1, 0.05]
    assert EpsilonGreedyConfig(epsilon=0.4).epsilon_at(10**6) == 0.4
    contexts = example_contexts(2, decisions=1, candidates=5, dimension=4)
    policy = EpsilonGreedy(config, dimension=4)
    prefix = np.zeros((1, 0), dtype=np.int32)
    for rows in (0, 1, 2):
        assert policy.rows == sum(
            int(example_outcomes(seed, slates=30, dimension=4).shown.sum()) for seed in range(rows)
        )
        for some in (policy, EpsilonGreedy.from_snapshot(policy.snapshot())):
            law = some.next_law(contexts, prefix, slots=1)
            assert law.min() == pytest.approx(config.epsilon_at(policy.rows) / 5, rel=1e-12)
        # A later component brings no rows.
        policy.learn(example_outcomes(rows, slates=30, dimension=4, first=False))
        policy.learn(example_outcomes(rows, slates=30, dimension=4))


def test_features_of_another_dimension_are_refused() -> None:
    policy = EpsilonGreedy(dimension=3)
    contexts = example_contexts(2, decisions=1, candidates=5, dimension=4)
    with pytest.raises(ContextError, match="features must have dimension 3, got 4"):
        policy.decide(contexts, slots=2, keys=example_keys(1))
    with pytest.raises(ContextError, match="features must have dimension 3, got 4"):
        policy.learn(example_outcomes(1, slates=5, dimension=4))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epsilon": -0.1}, "epsilon must be >= 0, got -0.1"),
        ({"decay_rows": -1.0}, "decay_rows must be >= 0, got -1.0"),
        ({"least_epsilon": 0.2}, "least_epsilon must be <= epsilon = 0.1, got 0.2"),
        ({"least_epsilon": -0.2}, "least_epsilon must be >= 0, got -0.2"),
        ({"l2": 0.0}, "l2 must be > 0, got 0.0"),
        ({"floor": 2.0}, "floor must be <= 1, got 2.0"),
        ({"alpha": 1.0}, "EpsilonGreedyConfig has no setting 'alpha'"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EpsilonGreedyConfig.from_json(setting)
