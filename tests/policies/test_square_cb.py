import math
from collections.abc import Sequence

import numpy as np
import pytest

from matinee_policies import (
    ConfigError,
    ContextBatch,
    ContextError,
    Policy,
    SquareCB,
    SquareCBConfig,
    build_policy,
)
from matinee_policies.rules import Rule
from matinee_policies.square_cb import gamma_at
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_outcomes
from matinee_policies.testing_laws import plain_inverse_gap_law, plain_utilities
from matinee_policies.value_policy import ValuePolicy


class TestSquareCB(PolicyContract):
    def make_policy(self) -> Policy:
        config = SquareCBConfig(
            gamma_scale=2.0, gamma_exponent=0.7, l2=2.0, floor=0.1, diversity=0.2
        )
        return SquareCB(config, dimension=self.dimension)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        first = example_outcomes(1, slates=150, dimension=4)
        later = example_outcomes(1, slates=150, dimension=4, first=False)
        X = first.features[first.shown].astype(float)
        r = first.rewards[first.shown] + later.rewards[later.shown]
        theta = np.linalg.solve(2.0 * np.eye(4) + X.T @ X, X.T @ r)
        utilities = plain_utilities(
            (contexts.features[0].astype(float) @ theta).tolist(),
            contexts.embeddings[contexts.candidates[0]].tolist(),
            prefix,
            diversity=0.2,
        )
        return plain_inverse_gap_law(utilities, 5, gamma=2.0 * len(X) ** 0.7, weight=0.1)


def test_it_is_uniform_before_it_has_learned_and_greedier_with_every_row() -> None:
    contexts = example_contexts(2, decisions=1, candidates=5, dimension=4)
    prefix = np.zeros((1, 0), dtype=np.int32)
    policy = SquareCB(dimension=4)
    law = policy.next_law(contexts, prefix, slots=2)
    np.testing.assert_allclose(law, 0.2, rtol=1e-14)
    largest = []
    for seed in range(4):
        policy.learn(example_outcomes(1, slates=50, dimension=4))
        largest.append(policy.next_law(contexts, prefix, slots=2).max())
        again = SquareCB.from_snapshot(policy.snapshot())
        np.testing.assert_array_equal(
            again.next_law(contexts, prefix, slots=2), policy.next_law(contexts, prefix, slots=2)
        )
        assert policy.config.gamma_at(policy.rows) == 10.0 * policy.rows**0.5, seed
    assert (np.diff(largest) > 0).all()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"gamma_scale": -1.0}, "gamma_scale must be >= 0, got -1.0"),
        ({"gamma_scale": 1e308}, "gamma_scale must be <= 1e.12, got 1e.308"),
        ({"gamma_exponent": 1.1}, "gamma_exponent must be <= 1, got 1.1"),
        ({"floor": 2.0}, "floor must be <= 1, got 2.0"),
        ({"budget": -0.1}, "budget must be >= 0, got -0.1"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SquareCBConfig.from_json(setting)


def test_the_largest_gamma_learns_and_survives() -> None:
    policy = SquareCB(SquareCBConfig(gamma_scale=1e12, gamma_exponent=1.0), dimension=4)
    policy.learn(example_outcomes(1, slates=50, dimension=4))
    again = SquareCB.from_snapshot(policy.snapshot())
    assert again.snapshot().content_hash == policy.snapshot().content_hash
    assert math.isfinite(gamma_at(2**63, scale=1e12, exponent=1.0))


@pytest.mark.parametrize("kind", ["square_cb", "logistic"])
def test_gamma_is_0_before_any_row_and_constant_without_an_exponent(kind: str) -> None:
    settings = {"exploration": "inverse_gap"} if kind == "logistic" else {}
    policy = build_policy(kind, {**settings, "gamma_exponent": 0.0}, dimension=4)
    assert isinstance(policy, ValuePolicy)
    gammas = []
    for seed in range(3):
        gammas.append(policy._rule.parameter)
        policy.learn(example_outcomes(seed, slates=5, dimension=4))
    assert gammas == [0.0, 10.0, 10.0]


def test_a_rule_that_cannot_be_made_leaves_the_state_alone() -> None:
    class Breaks(SquareCB):
        def _rule_at(self, rows: int) -> Rule:
            raise ContextError("no rule")

    policy = Breaks(dimension=4)
    before = policy.snapshot().content_hash
    with pytest.raises(ContextError, match="no rule"):
        policy.learn(example_outcomes(1, slates=5, dimension=4))
    assert policy.snapshot().content_hash == before
