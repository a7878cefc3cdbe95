"""CORRAL as a policy: what moves its weights, and what it refuses."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from matinee_policies import (
    ConfigError,
    ContextBatch,
    ContextError,
    Corral,
    CorralConfig,
    EpsilonGreedy,
    OutcomeBatch,
    Policy,
    Snapshot,
    SnapshotError,
    build_policy,
    restore_policy,
)
from matinee_policies.corral import CorralState, corral_steps
from matinee_policies.corral_policy import slate_rewards
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes
from matinee_policies.testing_laws import (
    per_slot_epsilon,
    plain_greedy_law,
    plain_mixture_law,
    plain_softmax_law,
    plain_utilities,
)

D = 4
SOFTMAX: dict[str, Any] = {"kind": "softmax", "policy": {"temperature": 0.2, "floor": 0.1}}
GREEDY: dict[str, Any] = {"kind": "epsilon_greedy", "policy": {"epsilon": 0.3}}
LIN_UCB: dict[str, Any] = {"kind": "lin_ucb"}
UNIFORM: dict[str, Any] = {"kind": "uniform"}


def corral_of(*bases: Mapping[str, Any], **settings: object) -> Corral:
    return Corral(CorralConfig.from_json({"bases": list(bases), **settings}), dimension=D)


class TestCorralContract(PolicyContract):
    dimension = D

    def make_policy(self) -> Corral:
        return corral_of(SOFTMAX, GREEDY, UNIFORM, learning_rate=0.1)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        assert isinstance(policy, Corral)
        greedy = policy.bases[1]
        assert isinstance(greedy, EpsilonGreedy)
        scores = contexts.scores[0].astype(float).tolist()
        rewards = [math.fsum(row) for row in contexts.features[0].astype(float) * greedy.theta]
        laws: list[list[list[float]]] = [[], [], []]
        for slot in range(len(prefix) + 1):
            before = prefix[:slot]
            open_scores, open_rewards = (
                plain_utilities(values, [[0.0]] * 5, before, diversity=0.0)
                for values in (scores, rewards)
            )
            weight = per_slot_epsilon(0.3, slots=3)
            laws[0].append(plain_softmax_law(open_scores, 5, temperature=0.2, weight=0.1))
            laws[1].append(plain_greedy_law(open_rewards, 5, weight=weight))
            laws[2].append([(item not in before) / (5 - slot) for item in range(5)])
        weights = policy.weights.tolist()
        assert len(set(weights)) == 3
        return plain_mixture_law(weights, laws, prefix)


def test_corral_decides_as_a_mixture_of_its_weights() -> None:
    policy = corral_of(LIN_UCB, SOFTMAX, learning_rate=0.3)
    policy.learn(example_outcomes(2, slates=60, dimension=D))
    bases = [
        {**base, "weight": float(weight)}
        for base, weight in zip((LIN_UCB, SOFTMAX), policy.weights, strict=True)
    ]
    mixture = build_policy("mixture", {"bases": bases}, dimension=D)
    mixture.learn(example_outcomes(2, slates=60, dimension=D))
    contexts = example_contexts(3, decisions=60, candidates=9, dimension=D)
    first, second = (
        some.decide(contexts, slots=4, keys=example_keys(60)) for some in (policy, mixture)
    )
    for name in ("positions", "propensities", "base", "base_propensity"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_weights_of_corral_move_by_the_loss_of_each_slate() -> None:
    policy = corral_of(UNIFORM, SOFTMAX, learning_rate=0.2, reward="sum", reward_range=[-1, 4])
    outcomes = example_outcomes(2, slates=40, dimension=D)
    outcomes.shown[7] = False
    assert outcomes.base is not None
    assert outcomes.base_propensity is not None
    policy.learn(outcomes)
    kept = np.arange(40) != 7
    rewards = (outcomes.rewards * outcomes.shown).sum(axis=1)
    expected = corral_steps(
        CorralState.start(2, rate=0.2),
        1.0 - (rewards[kept] + 1.0) / 5.0,
        base=outcomes.base[kept],
        base_propensity=outcomes.base_propensity[kept],
        gamma=0.02,
        beta=1.1,
    )
    np.testing.assert_allclose(policy.weights, expected.mixed(0.02), rtol=1e-12)
    assert policy.steps == 39
    after = policy.weights
    policy.learn(example_outcomes(2, slates=40, dimension=D, first=False))
    np.testing.assert_array_equal(policy.weights, after)


def test_corral_finds_the_base_that_earns_more() -> None:
    """Rewards are the scores shown: best scores first beats the uniform law, on each of 8 seeds."""
    for seed in range(8):
        policy = corral_of(UNIFORM, {"kind": "softmax", "policy": {"temperature": 0.05}})
        for day in range(20):
            contexts = example_contexts(
                1000 * seed + day, decisions=500, candidates=12, dimension=D
            )
            keys = np.random.default_rng([seed, day]).integers(2**64, size=500, dtype=np.uint64)
            slates = policy.decide(contexts, slots=3, keys=keys)
            policy.learn(
                OutcomeBatch(
                    component="engagement",
                    first=True,
                    features=np.take_along_axis(
                        contexts.features, slates.positions[:, :, None], axis=1
                    ),
                    rewards=np.take_along_axis(contexts.scores, slates.positions, axis=1).astype(
                        np.float64
                    ),
                    shown=slates.items != -1,
                    propensities=slates.propensities,
                    shards=np.zeros(500, dtype=np.uint8),
                    base=slates.base,
                    base_propensity=slates.base_propensity,
                )
            )
        assert policy.weights[1] > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": None, "base_propensity": None}, "must be given base and base_propensity"),
        ({"base": 2}, "base must be within 0 and 1, got 2 for slate 3"),
        ({"base": -1}, "base must be within 0 and 1, got -1 for slate 3"),
        ({"base_propensity": 0.0}, r"within gamma / bases = 0.01 and 1, got 0.0 for slate 3"),
        ({"base_propensity": 5e-324}, r"gamma / bases = 0.01 and 1, got 5e-324 for slate 3"),
        ({"base_propensity": 0.0099}, r"gamma / bases = 0.01 and 1, got 0.0099 for slate 3"),
        ({"base_propensity": 1.001}, r"gamma / bases = 0.01 and 1, got 1.001 for slate 3"),
        ({"base_propensity": np.nan}, r"gamma / bases = 0.01 and 1, got nan for slate 3"),
        ({"rewards": 9.0}, "mean reward of a slate must be within reward_range 0 and 1, got 9.0"),
        ({"rewards": -0.5}, "mean reward of a slate must be within reward_range 0 and 1, got -0.5"),
    ],
)
def test_outcomes_that_corral_cannot_charge_are_refused(
    change: Mapping[str, Any], message: str
) -> None:
    policy = corral_of(LIN_UCB, UNIFORM)
    before = policy.snapshot().content_hash
    outcomes = example_outcomes(2, slates=10, dimension=D)
    outcomes.shown[3] = True
    fields: dict[str, Any] = {
        name: getattr(outcomes, name) for name in OutcomeBatch.__dataclass_fields__
    }
    for name, value in change.items():
        if value is None:
            fields[name] = None
        else:
            fields[name][3] = value
    with pytest.raises(ContextError, match=message):
        policy.learn(OutcomeBatch(**fields))
    assert policy.snapshot().content_hash == before


def test_means_of_rewards_at_the_end_of_the_range_are_taken() -> None:
    policy = corral_of(UNIFORM, SOFTMAX, reward_range=[0.0, 0.7])
    outcomes = example_outcomes(2, slates=30, dimension=D)
    outcomes.rewards[:] = 0.7
    policy.learn(outcomes)
    np.testing.assert_allclose(policy.weights, 0.5, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be > 0, got 0.0"),
        ({"gamma": 0.0}, "gamma must be > 0"),
        ({"gamma": 1.0}, "gamma must be < 1"),
        ({"beta": 0.9}, "beta must be >= 1, got 0.9"),
        ({"reward": "median"}, "reward must be one of mean, sum, got 'median'"),
        ({"reward_range": [1.0, 1.0]}, "reward_range must be > 1, got 1.0"),
        ({"reward_range": [0.0]}, r"reward_range must be two numbers, got \[0.0\]"),
        ({"bases": [{**UNIFORM, "weight": 0.5}] * 2}, "BasePolicy has no setting 'weight'"),
    ],
)
def test_bad_settings_of_corral_are_refused(settings: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_policy("corral", settings, dimension=D)


@pytest.mark.parametrize("weights", [[0.5, 0.6], [1.0, 0.0]])
def test_weights_that_are_no_law_are_refused(weights: list[float]) -> None:
    good = corral_of(LIN_UCB, UNIFORM).snapshot()
    bad = Snapshot(
        kind=good.kind,
        version=good.version,
        arrays={**good.arrays, "weights": np.array(weights)},
        manifest=good.manifest,
    )
    with pytest.raises(SnapshotError, match=r"weights.* must"):
        restore_policy(bad)


def test_the_reward_of_a_slate_is_that_of_its_shown_slots() -> None:
    rewards = np.array([[0.25, 0.5, np.nan], [1.0, 2.0, 3.0], [np.nan, np.nan, np.nan]])
    shown = np.array([[True, True, False], [True, False, True], [False, False, False]])
    assert slate_rewards(rewards, shown, mean=False).tolist() == [0.75, 4.0, 0.0]
    assert slate_rewards(rewards, shown, mean=True).tolist() == [0.375, 2.0, 0.0]
