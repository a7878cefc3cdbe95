"""The policy against a real `--cb_explore_adf` that is fed whole action sets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pylibvw
import pytest

from matinee_policies import ContextBatch, OutcomeBatch
from matinee_policies.arrays import Float32Array, FloatArray
from matinee_policies.testing_data import example_contexts
from matinee_policies.testing_laws import per_slot_epsilon
from matinee_policies.vowpal_wabbit import VowpalWabbit, VowpalWabbitConfig

INTERACTIONS = ("ac", "aa")


class Oracle:
    """A real `--cb_explore_adf`, fed whole action sets as text by Python's own formatting."""

    def __init__(
        self, *options: str, context: Sequence[int] = (), interactions: Sequence[str] = ()
    ) -> None:
        words = ["--quiet", "--noconstant", "--cb_explore_adf", "--cb_type", "mtr", *options]
        for names in interactions:
            words += ["--interactions", names]
        self.vw: Any = pylibvw.vw(words)
        self._context = context

    def line(self, x: Float32Array) -> str:
        parts = {"a": "", "c": ""}
        for column, number in enumerate(x.tolist()):
            parts["c" if column in self._context else "a"] += f" {column}:{number!r}"
        return " ".join(f"|{name}{part}" for name, part in parts.items() if part)

    def learn(self, X: Float32Array, *, chosen: int, cost: float, probability: float) -> None:
        lines = [self.line(x) for x in X]
        lines[chosen] = f"0:{cost!r}:{probability!r} {lines[chosen]}"
        examples = self.vw._parse("\n".join(lines))
        self.vw.learn_multi(examples)
        self.vw._finish_example_multi_ex(examples)

    def take_over(self, policy: VowpalWabbit, *, events: int) -> None:
        """The weights of a policy, and the counter after so many events that taught nothing."""
        for _ in range(events):
            examples = self.vw._parse("0:0:1 |")
            self.vw.learn_multi(examples)
            self.vw._finish_example_multi_ex(examples)
        space = self.vw.hash_space("a")
        for column, weight in enumerate(policy.weights.tolist()):
            index = self.vw.hash_feature(str(column), space) & (self.vw.num_weights() - 1)
            self.vw.set_weight(index, 0, weight)

    def predict(self, X: Float32Array) -> tuple[FloatArray, FloatArray]:
        """Probabilities, normalised in float64, and predicted costs."""
        examples = self.vw._parse("\n".join(self.line(x) for x in X))
        self.vw.predict_multi(examples)
        pmf = np.array(examples[0].get_action_scores(), dtype=np.float64)
        costs = np.array([example.get_partial_prediction() for example in examples])
        self.vw._finish_example_multi_ex(examples)
        return pmf / pmf.sum(), costs


def logged_events(
    seed: int, *, events: int, actions: int, dimension: int
) -> tuple[Float32Array, OutcomeBatch, list[int]]:
    """Whole action sets, the outcome of one action of each, and which one."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(events, actions, dimension)).astype(np.float32)
    chosen = rng.integers(0, actions, size=events)
    shown = X[np.arange(events), chosen]
    click = rng.random(events) < 1.0 / (
        1.0 + np.exp(-shown.astype(float) @ rng.normal(size=dimension))
    )
    outcomes = OutcomeBatch(
        component="engagement",
        first=True,
        features=shown[:, None, :],
        rewards=np.where(click, rng.uniform(0.5, 1.0, events), -0.3)[:, None],
        shown=np.ones((events, 1), dtype=np.bool_),
        propensities=rng.choice([0.02, 0.3, 0.95], size=(events, 1)),
        shards=np.zeros(events, dtype=np.uint8),
    )
    return X, outcomes, chosen.tolist()


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("interactions", [(), INTERACTIONS])
def test_it_learns_what_vowpal_wabbit_learns_from_whole_action_sets(
    weighted: bool, interactions: tuple[str, ...]
) -> None:
    """Unweighted rows are those of a logging policy that draws uniformly."""
    actions, dimension, context = 20, 6, (1, 4) if interactions else ()
    X, outcomes, chosen = logged_events(0, events=400, actions=actions, dimension=dimension)
    policy = VowpalWabbit(
        VowpalWabbitConfig(
            actions=actions,
            propensity_weighted=weighted,
            context_features=context,
            interactions=interactions,
        ),
        dimension=dimension,
    )
    policy.learn(outcomes)
    oracle = Oracle("--epsilon", "0.1", context=context, interactions=interactions)
    for t in range(len(X)):
        oracle.learn(
            X[t],
            chosen=chosen[t],
            cost=-float(outcomes.rewards[t, 0]),
            probability=float(outcomes.propensities[t, 0]) if weighted else 1.0 / actions,
        )
    fresh = logged_events(1, events=20, actions=actions, dimension=dimension)[0]
    values = policy.values(contexts_of(fresh))
    expected = np.array([-oracle.predict(rows)[1] for rows in fresh])
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(values, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({"exploration": "epsilon", "epsilon": 0.17}, ["--epsilon", "0.17", "--first_only"]),
        ({"exploration": "squarecb"}, ["--squarecb"]),
        (
            {"exploration": "squarecb", "gamma_scale": 3.0, "gamma_exponent": 0.25},
            ["--squarecb", "--gamma_scale", "3", "--gamma_exponent", "0.25"],
        ),
        ({"exploration": "softmax", "temperature": 0.25}, ["--softmax", "--lambda", "4"]),
    ],
)
@pytest.mark.parametrize("rows", [0, 120])
def test_the_first_slot_follows_the_law_of_vowpal_wabbit(
    config: dict[str, Any], options: list[str], rows: int
) -> None:
    policy = VowpalWabbit(VowpalWabbitConfig.from_json(config), dimension=5)
    policy.learn(logged_events(3, events=rows, actions=8, dimension=5)[1])
    assert policy.rows == rows
    oracle = Oracle(*options)
    oracle.take_over(policy, events=rows)
    rng = np.random.default_rng(4)
    for _ in range(60):
        X = rng.normal(size=(int(rng.integers(1, 30)), 5)).astype(np.float32)
        if len(X) > 3:
            # Ties, also for the best.
            best = int(np.argmax(-X.astype(float) @ policy.weights))
            X[rng.integers(len(X))] = X[best]
            X[1] = X[2]
        pmf, _ = oracle.predict(X)
        contexts = contexts_of(X[None])
        law = policy.next_law(contexts, np.zeros((1, 0), dtype=np.int32), slots=1)[0]
        np.testing.assert_allclose(law, pmf, rtol=0, atol=1e-6)


def test_a_slot_of_a_long_slate_has_its_share_of_epsilon() -> None:
    policy = VowpalWabbit(VowpalWabbitConfig(epsilon=0.2), dimension=5)
    policy.learn(logged_events(3, events=100, actions=8, dimension=5)[1])
    oracle = Oracle("--epsilon", repr(per_slot_epsilon(0.2, slots=10)), "--first_only")
    oracle.take_over(policy, events=0)
    X = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    law = policy.next_law(contexts_of(X[None]), np.zeros((1, 0), dtype=np.int32), slots=10)[0]
    np.testing.assert_allclose(law, oracle.predict(X)[0], rtol=0, atol=1e-6)


def test_the_kernel_values_are_the_predictions_of_vowpal_wabbit() -> None:
    policy = VowpalWabbit(dimension=5)
    policy.learn(logged_events(3, events=300, actions=8, dimension=5)[1])
    contexts = example_contexts(0, decisions=30, candidates=12, dimension=5, padded=True)
    present = contexts.candidates >= 0
    difference = policy.values(contexts) - policy._predicted_values(contexts)
    assert present.any(axis=1).sum() > 20
    np.testing.assert_allclose(difference[present], 0.0, rtol=0, atol=1e-6)


def contexts_of(X: Float32Array) -> ContextBatch:
    """Decisions whose candidates are the first items of a catalogue, `float32 [B, K, d]`."""
    decisions, candidates, _ = X.shape
    return ContextBatch(
        candidates=np.tile(np.arange(candidates, dtype=np.int32), (decisions, 1)),
        features=X,
        scores=np.full((decisions, candidates), 0.5, dtype=np.float32),
        embeddings=np.zeros((candidates, 2), dtype=np.float32),
    )
