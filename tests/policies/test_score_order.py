from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from matinee_policies import ConfigError, ContextBatch, Policy, ScoreOrder, ScoreOrderConfig
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_keys
from matinee_policies.testing_laws import per_slot_epsilon, plain_greedy_law, plain_utilities


def brute_force(
    contexts: ContextBatch, prefix: Sequence[int], *, epsilon: float, diversity: float
) -> list[float]:
    utilities = plain_utilities(
        contexts.scores[0].tolist(),
        contexts.embeddings[contexts.candidates[0]].tolist(),
        prefix,
        diversity=diversity,
    )
    return plain_greedy_law(utilities, 5, weight=per_slot_epsilon(epsilon, slots=3))


class TestScoreOrder(PolicyContract):
    def make_policy(self) -> Policy:
        return ScoreOrder()

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        return brute_force(contexts, prefix, epsilon=0.0, diversity=0.0)


class TestExploringDiverseScoreOrder(PolicyContract):
    def make_policy(self) -> Policy:
        return ScoreOrder(ScoreOrderConfig(epsilon=0.4, diversity=0.5))

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        return brute_force(contexts, prefix, epsilon=0.4, diversity=0.5)


def test_best_scores_come_first_and_equal_scores_keep_their_order() -> None:
    contexts = example_contexts(0, decisions=30, candidates=12, dimension=2)
    contexts.scores[:] = np.round(contexts.scores, 1)
    slates = ScoreOrder().decide(contexts, slots=8, keys=example_keys(30))
    order = np.argsort(-contexts.scores, axis=1, kind="stable")[:, :8]
    np.testing.assert_array_equal(slates.positions, order)
    np.testing.assert_array_equal(slates.propensities, 1.0)


def test_slates_without_exploration_are_as_frequent_as_the_budget_says() -> None:
    n, epsilon, slots = 40_000, 0.3, 4
    contexts = example_contexts(0, decisions=1, candidates=6, dimension=1)
    many = ContextBatch(
        contexts.candidates.repeat(n, 0),
        contexts.features.repeat(n, 0),
        contexts.scores.repeat(n, 0),
        contexts.embeddings,
    )
    policy = ScoreOrder(ScoreOrderConfig(epsilon=epsilon))
    slates = policy.decide(many, slots=slots, keys=example_keys(n))
    greedy = ScoreOrder().decide(contexts, slots=slots, keys=example_keys(1)).positions
    share = (slates.positions == greedy).all(axis=1).mean()
    # A uniform draw hits the greedy item by chance, too.
    weight = per_slot_epsilon(epsilon, slots=slots)
    expected = np.prod([1 - weight + weight / (6 - slot) for slot in range(slots)])
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / n)
    assert expected > 1 - epsilon


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epsilon": 1.5}, "epsilon must be <= 1, got 1.5"),
        ({"diversity": -1.0}, "diversity must be >= 0, got -1.0"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ScoreOrderConfig(**setting)
