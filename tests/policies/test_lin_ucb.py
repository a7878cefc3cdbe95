from collections.abc import Sequence

import numpy as np
import pytest

from matinee_policies import (
    ConfigError,
    ContextBatch,
    ContextError,
    LinUCB,
    LinUCBConfig,
    OutcomeBatch,
    Policy,
)
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes
from matinee_policies.testing_laws import plain_greedy_law, plain_utilities


def upper_bounds(contexts: ContextBatch, *, alpha: float, l2: float) -> np.ndarray:
    """From the normal equations of what the contract's outcomes teach, `[B, K]`."""
    d = contexts.features.shape[2]
    first = example_outcomes(1, slates=150, dimension=d)
    later = example_outcomes(1, slates=150, dimension=d, first=False)
    X = first.features[first.shown].astype(float)
    r = first.rewards[first.shown] + later.rewards[later.shown]
    A = l2 * np.eye(d) + X.T @ X
    F = contexts.features.astype(float)
    variance = np.array([[x @ np.linalg.solve(A, x) for x in row] for row in F])
    return np.asarray(F @ np.linalg.solve(A, X.T @ r) + alpha * np.sqrt(variance))


class TestLinUCB(PolicyContract):
    def make_policy(self) -> Policy:
        config = LinUCBConfig(alpha=2.0, floor=0.2, l2=0.5, diversity=0.3)
        return LinUCB(config, dimension=self.dimension)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        utilities = plain_utilities(
            upper_bounds(contexts, alpha=2.0, l2=0.5)[0].tolist(),
            contexts.embeddings[contexts.candidates[0]].tolist(),
            prefix,
            diversity=0.3,
        )
        return plain_greedy_law(utilities, 5, weight=0.2)


def test_without_a_floor_it_orders_by_upper_bound() -> None:
    contexts = example_contexts(2, decisions=30, candidates=8, dimension=4)
    policy = LinUCB(LinUCBConfig(alpha=3.0, floor=0.0, l2=0.5), dimension=4)
    policy.learn(example_outcomes(1, slates=150, dimension=4))
    policy.learn(example_outcomes(1, slates=150, dimension=4, first=False))
    slates = policy.decide(contexts, slots=8, keys=example_keys(30))
    bounds = upper_bounds(contexts, alpha=3.0, l2=0.5)
    np.testing.assert_array_equal(slates.positions, np.argsort(-bounds, axis=1))


def test_the_prior_enters_as_its_inverse() -> None:
    """Before any observation the bound is alpha |x| / sqrt(l2)."""
    contexts = example_contexts(2, decisions=3, candidates=6, dimension=4)
    policy = LinUCB(LinUCBConfig(alpha=2.0, l2=16.0), dimension=4)
    lengths = np.linalg.norm(contexts.features.astype(float), axis=2)
    np.testing.assert_allclose(policy.values(contexts), 2.0 * lengths / 4.0, rtol=1e-14)


def test_it_finds_the_best_items_of_a_linear_world() -> None:
    """Regret of the last rounds is a small part of that of random slates."""
    rng = np.random.default_rng(8)
    theta = np.array([0.3, -0.2, 0.1, 0.4])
    policy = LinUCB(LinUCBConfig(alpha=0.5, floor=0.02), dimension=4)
    regret = []
    for round_ in range(40):
        contexts = example_contexts(100 + round_, decisions=20, candidates=10, dimension=4)
        slates = policy.decide(contexts, slots=2, keys=example_keys(20))
        shown = np.take_along_axis(contexts.features, slates.positions[:, :, None], axis=1)
        truth = contexts.features.astype(float) @ theta
        chosen = np.take_along_axis(truth, slates.positions.astype(np.int64), axis=1)
        regret.append((np.sort(truth, axis=1)[:, -2:].mean() - chosen.mean()) / truth.std())
        policy.learn(
            OutcomeBatch(
                component="engagement",
                first=True,
                features=shown,
                rewards=chosen + rng.normal(0, 0.3, size=chosen.shape),
                shown=np.ones_like(chosen, dtype=np.bool_),
                propensities=slates.propensities,
                shards=np.arange(20, dtype=np.uint8),
            )
        )
    # Random slates lose about 1.3 standard deviations.
    assert np.mean(regret[-10:]) < 0.1
    np.testing.assert_allclose(policy.theta, theta, atol=4 * 0.3 / np.sqrt(1600))


def test_features_that_are_not_finite_are_refused_with_the_state_unchanged() -> None:
    policy = LinUCB(dimension=4)
    contexts = example_contexts(2, decisions=2, candidates=5, dimension=4)
    contexts.features[1, 3, 0] = np.inf
    with pytest.raises(ContextError, match="value of candidate 3 of decision 1 must be finite"):
        policy.decide(contexts, slots=2, keys=example_keys(2))
    before = policy.snapshot().content_hash
    for first in (True, False):
        outcomes = example_outcomes(1, slates=5, dimension=4, first=first)
        outcomes.shown[2, 1] = True
        outcomes.features[2, 1, 3] = np.nan
        with pytest.raises(ContextError, match="features of shown slots must be finite, got nan"):
            policy.learn(outcomes)
    assert policy.snapshot().content_hash == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"alpha": -1.0}, "alpha must be >= 0, got -1.0"),
        ({"floor": 1.5}, "floor must be <= 1, got 1.5"),
        ({"l2": float("nan")}, "l2 must be a finite number, got nan"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LinUCBConfig.from_json(setting)


def test_a_dimension_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="dimension must be >= 1, got 0"):
        LinUCB(dimension=0)
