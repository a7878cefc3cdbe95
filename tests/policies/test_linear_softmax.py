from collections.abc import Sequence

import numpy as np
import pytest

from matinee_policies import ConfigError, ContextBatch, LinearSoftmax, LinearSoftmaxConfig, Policy
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_outcomes
from matinee_policies.testing_laws import plain_softmax_law, plain_utilities


class TestLinearSoftmax(PolicyContract):
    def make_policy(self) -> Policy:
        config = LinearSoftmaxConfig(temperature=0.3, alpha=1.5, l2=2.0, floor=0.1, diversity=0.2)
        return LinearSoftmax(config, dimension=self.dimension)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        first = example_outcomes(1, slates=150, dimension=4)
        later = example_outcomes(1, slates=150, dimension=4, first=False)
        X = first.features[first.shown].astype(float)
        r = first.rewards[first.shown] + later.rewards[later.shown]
        A = 2.0 * np.eye(4) + X.T @ X
        F = contexts.features[0].astype(float)
        widths = np.sqrt((F * np.linalg.solve(A, F.T).T).sum(axis=1))
        utilities = plain_utilities(
            (F @ np.linalg.solve(A, X.T @ r) + 1.5 * widths).tolist(),
            contexts.embeddings[contexts.candidates[0]].tolist(),
            prefix,
            diversity=0.2,
        )
        return plain_softmax_law(utilities, 5, temperature=0.3, weight=0.1)


def test_odds_are_exponential_in_the_difference_of_predicted_rewards() -> None:
    contexts = example_contexts(2, decisions=3, candidates=6, dimension=4)
    policy = LinearSoftmax(LinearSoftmaxConfig(temperature=0.4), dimension=4)
    policy.learn(example_outcomes(1, slates=100, dimension=4))
    law = policy.next_law(contexts, np.zeros((3, 0), dtype=np.int32), slots=1)
    predicted = contexts.features.astype(float) @ policy.theta
    odds = np.log(law / law[:, :1])
    np.testing.assert_allclose(odds, (predicted - predicted[:, :1]) / 0.4, atol=1e-12)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"temperature": 0.0}, "temperature must be > 0, got 0.0"),
        ({"alpha": -1.0}, "alpha must be >= 0, got -1.0"),
        ({"floor": 2.0}, "floor must be <= 1, got 2.0"),
        ({"budget": 1.5}, "budget must be <= 1, got 1.5"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LinearSoftmaxConfig.from_json(setting)
