"""Mixtures of policies against the laws of their bases in plain Python."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from matinee_policies import ContextBatch, Mixture, MixtureConfig, Policy, build_policy
from matinee_policies.arrays import FloatArray
from matinee_policies.mixture import draw_bases
from matinee_policies.records import PAD, ItemTraits
from matinee_policies.testing import PolicyContract, all_slates
from matinee_policies.testing_data import (
    example_contexts,
    example_keys,
    example_outcomes,
    rows_of,
)
from matinee_policies.testing_laws import (
    per_slot_epsilon,
    plain_greedy_law,
    plain_mixture_law,
    plain_softmax_law,
)
from matinee_policies.vowpal_wabbit import VowpalWabbit

D = 4
SOFTMAX: dict[str, Any] = {
    "kind": "softmax",
    "policy": {"temperature": 0.2, "floor": 0.1},
}
LIN_UCB: dict[str, Any] = {
    "kind": "lin_ucb",
    "policy": {"alpha": 0.5, "floor": 0.2},
}
UNIFORM: dict[str, Any] = {"kind": "uniform"}
VOWPAL_WABBIT: dict[str, Any] = {
    "kind": "vowpal_wabbit",
    "policy": {"bits": 10, "epsilon": 0.3},
}


def mixture_of(*bases: Mapping[str, Any]) -> Mixture:
    return Mixture(MixtureConfig.from_json({"bases": list(bases)}), dimension=D)


def plain_base_law(policy: Policy, contexts: ContextBatch, prefix: Sequence[int]) -> list[float]:
    """Law of one slot of 3, of a base as set above, for 5 candidates; none has diversity."""
    features = contexts.features[0].astype(float)
    if policy.name == "softmax":
        scores = remaining(contexts.scores[0].astype(float).tolist(), prefix)
        return plain_softmax_law(scores, 5, temperature=0.2, weight=0.1)
    if policy.name == "lin_ucb":
        return plain_greedy_law(remaining(upper_bounds(contexts), prefix), 5, weight=0.2)
    if isinstance(policy, VowpalWabbit):
        values = [-math.fsum(row) for row in features * policy.weights]
        weight = per_slot_epsilon(0.3, slots=3)
        return plain_greedy_law(remaining(values, prefix), 5, weight=weight)
    return [0.0 if item in prefix else 1.0 / (5 - len(prefix)) for item in range(5)]


def remaining(values: Sequence[float], prefix: Sequence[int]) -> dict[int, float]:
    return {item: value for item, value in enumerate(values) if item not in prefix}


def upper_bounds(contexts: ContextBatch) -> list[float]:
    """Values of LinUCB after the contract's training, by solving the ridge equations at once."""
    parts = [example_outcomes(1, slates=150, dimension=D, first=first) for first in (True, False)]
    rows = parts[0].features[parts[0].shown].astype(float)
    rewards = parts[0].rewards[parts[0].shown] + parts[1].rewards[parts[1].shown]
    inverse = np.linalg.inv(rows.T @ rows + np.eye(D))
    theta = inverse @ (rows.T @ rewards)
    features = contexts.features[0].astype(float)
    widths = np.sqrt(np.einsum("kd,de,ke->k", features, inverse, features))
    return [float(value) for value in features @ theta + 0.5 * widths]


class MixtureLaws(PolicyContract):
    """The contract and its oracle, for bases as set above."""

    dimension = D

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        assert isinstance(policy, Mixture)
        laws = [
            [plain_base_law(base, contexts, prefix[:slot]) for slot in range(len(prefix) + 1)]
            for base in policy.bases
        ]
        return plain_mixture_law(policy.weights.tolist(), laws, prefix)


class TestMixtureContract(MixtureLaws):
    def make_policy(self) -> Mixture:
        return mixture_of(
            {**SOFTMAX, "weight": 0.5}, {**LIN_UCB, "weight": 0.3}, {**UNIFORM, "weight": 0.2}
        )


class TestMixtureOfNoLearners(MixtureLaws):
    draws = 20_000

    def make_policy(self) -> Mixture:
        return mixture_of({**SOFTMAX, "weight": 0.75}, {**UNIFORM, "weight": 0.25})


class TestMixtureWithVowpalWabbit(MixtureLaws):
    draws = 20_000

    def make_policy(self) -> Mixture:
        return mixture_of({**VOWPAL_WABBIT, "weight": 0.5}, {**LIN_UCB, "weight": 0.5})


def trained(policy: Policy) -> Policy:
    policy.learn(example_outcomes(1, slates=150, dimension=D))
    policy.learn(example_outcomes(1, slates=150, dimension=D, first=False))
    return policy


def slate_laws(policy: Policy, contexts: ContextBatch) -> FloatArray:
    """Probability of each of the 60 slates of 3 of 5 candidates, `[60]`."""
    slates = all_slates(5, 3)
    many = rows_of(contexts, np.zeros(len(slates), dtype=np.int64))
    laws: FloatArray = policy.propensities(many, slates).prod(axis=1)
    return laws


def test_every_slate_has_the_mean_of_the_probabilities_of_the_bases() -> None:
    """For fixed weights w, P(slate) = sum_j w_j P_j(slate) by the bases' laws in plain Python."""
    policy = TestMixtureContract().make_policy()
    trained(policy)
    for seed in range(5):
        contexts = example_contexts(seed, decisions=1, candidates=5, dimension=D)
        expected = [
            math.fsum(
                weight
                * math.prod(
                    plain_base_law(base, contexts, slate[:slot])[item]
                    for slot, item in enumerate(slate)
                )
                for base, weight in zip(policy.bases, (0.5, 0.3, 0.2), strict=True)
            )
            for slate in all_slates(5, 3).tolist()
        ]
        laws = slate_laws(policy, contexts)
        np.testing.assert_allclose(laws, expected, rtol=0, atol=1e-13)
        assert abs(laws.sum() - 1.0) < 1e-12


def test_two_bases_without_chance_share_the_slates() -> None:
    """Each base has one slate; the mixture shows both with its weights, and no other."""
    greedy, curious = ({"alpha": alpha, "floor": 0.0} for alpha in (0.0, 5.0))
    policy = mixture_of(
        {"kind": "lin_ucb", "policy": greedy, "weight": 0.7},
        {"kind": "lin_ucb", "policy": curious, "weight": 0.3},
    )
    trained(policy)
    together = 0
    for seed in range(20):
        contexts = example_contexts(seed, decisions=1, candidates=5, dimension=D)
        slates = all_slates(5, 3)
        own = np.stack([slate_laws(base, contexts) for base in policy.bases])
        assert ((own == 0.0) | (own == 1.0)).all()
        laws = slate_laws(policy, contexts)
        np.testing.assert_allclose(laws, 0.7 * own[0] + 0.3 * own[1], rtol=0, atol=1e-15)
        # Impossible from the slot on at which the slate leaves both.
        many = rows_of(contexts, np.zeros(60, dtype=np.int64))
        parts = policy.propensities(many, slates)
        assert np.isfinite(parts).all()
        gone = np.minimum.accumulate(parts, axis=1) == 0.0
        assert (parts[gone] == 0.0).all()
        together += int((own[0] == own[1]).all())
        drawn = policy.decide(
            rows_of(contexts, np.zeros(200, dtype=np.int64)), slots=3, keys=example_keys(200)
        )
        assert (drawn.propensities > 0.0).all()
    assert together < 20


@pytest.mark.parametrize("top", [None, 3])
def test_constraints_leave_a_law(top: int | None) -> None:
    """Under caps, pins and eligibility all slates drawn have their law, and sum to 1.

    With `top`, one base runs out of candidates under the caps before the others.
    """
    caps = {"aspect": 1, "creator": 0}
    policy = mixture_of(
        {
            "kind": "softmax",
            "weight": 0.3,
            "policy": {
                "temperature": 1.0,
                "floor": 0.2,
                "top": top,
                "caps": caps,
                "diversity": {"kind": "xquad", "price": 0.3},
            },
        },
        {
            "kind": "epsilon_greedy",
            "weight": 0.7,
            "policy": {
                "epsilon": 0.9,
                "caps": caps,
                "diversity": {"kind": "calibrated", "price": 0.1},
            },
        },
    )
    trained(policy)
    below_one = 0
    for seed in range(8):
        contexts = constrained_contexts(seed)
        many = contexts.rows(np.zeros(4000, dtype=np.int64))
        drawn = policy.decide(many, slots=3, keys=example_keys(4000))
        again = policy.propensities(many, drawn.positions)
        np.testing.assert_array_equal(again, drawn.propensities)
        slates, first = np.unique(drawn.positions, axis=0, return_index=True)
        part = contexts.rows(np.zeros(len(slates), dtype=np.int64))
        laws = drawn.propensities[first].prod(axis=1)
        bases = [base.propensities(part, slates).prod(axis=1) for base in policy.bases]
        np.testing.assert_allclose(laws, 0.3 * bases[0] + 0.7 * bases[1], rtol=0, atol=1e-14)
        assert abs(laws.sum() - 1.0) < 1e-12
        below_one += int((drawn.propensities[drawn.positions == PAD] < 1.0).sum())
    assert (below_one > 0) == (top is not None)


def constrained_contexts(seed: int) -> ContextBatch:
    """One decision among 6 candidates of 3 aspects; one is not eligible, slot 1 is pinned."""
    plain = example_contexts(seed, decisions=1, candidates=6, dimension=D)
    rng = np.random.default_rng(seed)
    aspects = np.eye(3, dtype=np.float32)[rng.integers(0, 3, size=40)]
    eligible = np.ones((1, 6), dtype=np.bool_)
    eligible[0, rng.integers(1, 6)] = False
    return dataclasses.replace(
        plain,
        traits=ItemTraits(aspects=aspects, creators=np.full(40, -1, dtype=np.int32)),
        interests=np.array([[0.5, 0.3, 0.2]], dtype=np.float32),
        eligible=eligible,
        pinned=np.array([[PAD, 0]], dtype=np.int32),
    )


def test_each_slate_is_drawn_by_the_base_it_names() -> None:
    """With the decision's own key, and the logged probability is that base's weight."""
    n = 500
    policy = TestMixtureContract().make_policy()
    trained(policy)
    contexts = example_contexts(3, decisions=n, candidates=9, dimension=D)
    drawn = policy.decide(contexts, slots=4, keys=example_keys(n))
    assert drawn.base is not None
    assert drawn.base_propensity is not None
    np.testing.assert_array_equal(drawn.base, draw_bases(policy.weights, example_keys(n)))
    np.testing.assert_array_equal(drawn.base_propensity, policy.weights[drawn.base])
    for number, base in enumerate(policy.bases):
        alone = base.decide(contexts, slots=4, keys=example_keys(n))
        own = drawn.base == number
        assert own.any()
        np.testing.assert_array_equal(drawn.positions[own], alone.positions[own])
        np.testing.assert_array_equal(drawn.items[own], alone.items[own])


def test_bases_are_drawn_by_their_weights() -> None:
    n = 40_000
    policy = mixture_of(
        {**UNIFORM, "weight": 0.05}, {**SOFTMAX, "weight": 0.7}, {**UNIFORM, "weight": 0.25}
    )
    contexts = example_contexts(3, decisions=1, candidates=5, dimension=D)
    many = rows_of(contexts, np.zeros(n, dtype=np.int64))
    drawn = policy.decide(many, slots=1, keys=example_keys(n))
    assert drawn.base is not None
    for number, weight in enumerate((0.05, 0.7, 0.25)):
        share = (drawn.base == number).mean()
        assert abs(share - weight) < 4.0 * math.sqrt(weight * (1.0 - weight) / n)


def test_no_decision_and_no_candidate_make_no_slate() -> None:
    policy = TestMixtureContract().make_policy()
    none = policy.decide(
        example_contexts(1, decisions=0, candidates=5, dimension=D), slots=3, keys=example_keys(0)
    )
    assert none.positions.shape == none.propensities.shape == (0, 3)
    contexts = example_contexts(1, decisions=2, candidates=5, dimension=D)
    contexts.candidates[0] = -1
    slates = policy.decide(contexts, slots=3, keys=example_keys(2))
    assert (slates.positions[0] == -1).all()
    assert (slates.propensities[0] == 1.0).all()


def test_every_base_learns_from_every_outcome() -> None:
    policy = TestMixtureContract().make_policy()
    alone = build_policy("lin_ucb", LIN_UCB["policy"], dimension=D)
    for part in (policy, alone):
        trained(part)
    assert policy.bases[1].snapshot().content_hash == alone.snapshot().content_hash
