import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from matinee_policies import (
    ConfigError,
    ContextBatch,
    ContextError,
    Policy,
    Snapshot,
    SnapshotError,
    restore_policy,
)
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import (
    example_contexts,
    example_keys,
    example_outcomes,
    rows_of_outcomes,
)
from matinee_policies.testing_laws import (
    per_slot_epsilon,
    plain_greedy_law,
    plain_inverse_gap_law,
    plain_softmax_law,
    plain_utilities,
)
from matinee_policies.vowpal_wabbit import VowpalWabbit, VowpalWabbitConfig
from matinee_policies.vw_workspace import Workspace

CONTEXT = (0, 2)
INTERACTIONS = ("ac", "aa")


def plain_values(policy: Policy, contexts: ContextBatch, prefix: Sequence[int]) -> dict[int, float]:
    assert isinstance(policy, VowpalWabbit)
    assert isinstance(policy.config.diversity, float)
    return plain_utilities(
        (-contexts.features[0].astype(float) @ policy.weights).tolist(),
        contexts.embeddings[contexts.candidates[0]].tolist(),
        prefix,
        diversity=policy.config.diversity,
    )


class TestEpsilon(PolicyContract):
    def make_policy(self) -> Policy:
        config = VowpalWabbitConfig(epsilon=0.3, diversity=0.2, actions=5)
        return VowpalWabbit(config, dimension=self.dimension)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        utilities = plain_values(policy, contexts, prefix)
        return plain_greedy_law(utilities, 5, weight=per_slot_epsilon(0.3, slots=3))


class TestSquareCB(PolicyContract):
    def make_policy(self) -> Policy:
        config = VowpalWabbitConfig(exploration="squarecb", floor=0.05, diversity=0.2, actions=5)
        return VowpalWabbit(config, dimension=self.dimension)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        utilities = plain_values(policy, contexts, prefix)
        rows = int(example_outcomes(1, slates=150, dimension=4).shown.sum())
        return plain_inverse_gap_law(utilities, 5, gamma=10.0 * rows**0.5, weight=0.05)


class TestSoftmax(PolicyContract):
    def make_policy(self) -> Policy:
        config = VowpalWabbitConfig(
            exploration="softmax", temperature=0.3, diversity=0.2, propensity_weighted=False
        )
        return VowpalWabbit(config, dimension=self.dimension)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        utilities = plain_values(policy, contexts, prefix)
        return plain_softmax_law(utilities, 5, temperature=0.3, weight=0.0)


class TestInteractions(PolicyContract):
    """Vowpal Wabbit itself predicts."""

    draws = 5_000

    def make_policy(self) -> Policy:
        config = VowpalWabbitConfig(
            exploration="squarecb",
            actions=5,
            context_features=CONTEXT,
            interactions=INTERACTIONS,
            bits=12,
        )
        return VowpalWabbit(config, dimension=self.dimension)


def test_later_components_are_counted_and_not_learned() -> None:
    policy = VowpalWabbit(dimension=4)
    policy.learn(example_outcomes(1, slates=50, dimension=4))
    before, rows = policy.weights, policy.rows
    later = example_outcomes(1, slates=50, dimension=4, first=False)
    policy.learn(later)
    np.testing.assert_array_equal(policy.weights, before)
    assert (policy.rows, policy.ignored) == (rows, int(later.shown.sum()))
    assert rows == int(later.shown.sum())
    again = restore_policy(policy.snapshot())
    assert isinstance(again, VowpalWabbit)
    assert (again.rows, again.ignored) == (rows, rows)


def test_rare_draws_weigh_more_up_to_a_bound() -> None:
    """One row of propensity p and many of propensity 1 are told apart by their weights."""

    def weight(propensity: float, **config: Any) -> float:
        outcomes = example_outcomes(1, slates=1, dimension=4)
        outcomes.shown[:] = [[True, False, False]]
        outcomes.propensities[:] = propensity
        policy = VowpalWabbit(VowpalWabbitConfig(**config), dimension=4)
        return float(policy._training_rows(outcomes)[0, 1])

    assert weight(0.01) == pytest.approx(1.0)
    assert weight(0.5, actions=10) == pytest.approx(0.2)
    assert weight(1e-7) == pytest.approx(100.0)
    assert weight(1e-7, least_propensity=1e-3) == pytest.approx(10.0)
    assert weight(1e-7, propensity_weighted=False) == 1.0


STATE = """
from matinee_policies.testing_data import example_outcomes
from matinee_policies.vowpal_wabbit import VowpalWabbit, VowpalWabbitConfig
config = VowpalWabbitConfig(context_features=(0, 2), interactions=("ac", "aa"))
policy = VowpalWabbit(config, dimension=4)
policy.learn(example_outcomes(1, slates=150, dimension=4))
print(policy.snapshot().content_hash)
"""


def test_another_process_learns_the_same_bits() -> None:
    other = subprocess.run(
        [sys.executable, "-c", STATE], capture_output=True, text=True, check=True
    )
    config = VowpalWabbitConfig(context_features=CONTEXT, interactions=INTERACTIONS)
    policy = VowpalWabbit(config, dimension=4)
    policy.learn(example_outcomes(1, slates=150, dimension=4))
    assert other.stdout == policy.snapshot().content_hash + "\n"


def test_its_workspace_is_open_for_interactions_only() -> None:
    contexts = example_contexts(0, decisions=2, candidates=6, dimension=4)
    plain = VowpalWabbit(dimension=4)
    plain.decide(contexts, slots=2, keys=example_keys(2))
    assert plain._reader is None
    config = VowpalWabbitConfig(context_features=CONTEXT, interactions=INTERACTIONS)
    policy = VowpalWabbit(config, dimension=4)

    def reader_of_a_decision() -> Workspace:
        policy.decide(contexts, slots=2, keys=example_keys(2))
        assert policy._reader is not None
        return policy._reader

    first = reader_of_a_decision()
    assert reader_of_a_decision() is first
    before = policy.values(contexts)
    policy.learn(example_outcomes(1, slates=5, dimension=4))
    closed = [first.closed]
    second = reader_of_a_decision()
    assert (policy.values(contexts) != before).all()
    closed.append(second.closed)
    policy.close()
    closed.append(second.closed)
    assert closed == [True, False, True]


@pytest.mark.parametrize(
    ("field", "number", "message"),
    [
        ("features", np.nan, "features of shown slots must be finite and within 1e\\+06, got nan"),
        ("features", np.inf, "features of shown slots must be finite and within 1e\\+06, got inf"),
        ("features", -2e6, "features of shown slots must be finite .* got -2000000"),
        ("rewards", 1e7, "rewards of shown slots must be finite .* got 10000000"),
        ("propensities", 0.0, r"propensities of shown slots must be in \(0, 1\], got 0.0"),
        ("propensities", np.nan, r"propensities of shown slots must be in \(0, 1\], got nan"),
        ("propensities", 1.5, r"propensities of shown slots must be in \(0, 1\], got 1.5"),
    ],
)
def test_bad_outcomes_leave_the_state_unchanged(field: str, number: float, message: str) -> None:
    outcomes = example_outcomes(1, slates=10, dimension=4)
    shown = np.argwhere(outcomes.shown)[-1]
    getattr(outcomes, field)[tuple(shown)] = number
    policy = VowpalWabbit(dimension=4)
    before = policy.snapshot().content_hash
    with pytest.raises(ContextError, match=message):
        policy.learn(outcomes)
    assert policy.snapshot().content_hash == before
    # What stands in an empty slot is nobody's business.
    getattr(outcomes, field)[tuple(shown)] = 0.5
    getattr(outcomes, field)[~outcomes.shown] = np.nan
    policy.learn(rows_of_outcomes(outcomes, np.arange(10)))


def test_numbers_as_large_as_allowed_leave_finite_weights() -> None:
    config = VowpalWabbitConfig(interactions=("aaa",), learning_rate=10.0, least_propensity=1e-9)
    policy = VowpalWabbit(config, dimension=4)
    outcomes = example_outcomes(1, slates=100, dimension=4)
    outcomes.features[:] = np.where(outcomes.features > 0, 1e6, -1e6)
    outcomes.features[::5] *= 1e-6
    outcomes.rewards[:] = np.where(outcomes.rewards > 0.5, 1e6, -1e6)
    outcomes.propensities[:] = 1e-9
    policy.learn(outcomes)
    values = policy.values(example_contexts(0, decisions=5, candidates=6, dimension=4))
    assert np.isfinite(values).all()


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_of_interactions_that_overflow_leave_the_state_unchanged(
    number: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = VowpalWabbitConfig(context_features=CONTEXT, interactions=INTERACTIONS, bits=12)
    policy = VowpalWabbit(config, dimension=4)
    policy.learn(example_outcomes(1, slates=20, dimension=4))
    contexts = example_contexts(0, decisions=2, candidates=6, dimension=4)
    before, values = policy.snapshot().content_hash, policy.values(contexts)
    learn = Workspace.learn

    def learn_and_overflow(workspace: Workspace, text: str, *, rows: int) -> None:
        learn(workspace, text, rows=rows)
        vw, own = workspace._vw, set(policy._indices)
        used = [index for index in range(2**12) if vw.get_weight(index, 0) and index not in own]
        assert used
        vw.set_weight(used[-1], 0, number)

    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "learn", learn_and_overflow)
        with pytest.raises(ContextError, match="must be moderate, got weights that overflow"):
            policy.learn(example_outcomes(2, slates=20, dimension=4))
    assert policy.snapshot().content_hash == before
    np.testing.assert_array_equal(policy.values(contexts), values)


@pytest.mark.parametrize("interactions", [(), ("aa",)])
def test_contexts_that_are_not_finite_or_do_not_fit_are_refused(
    interactions: tuple[str, ...],
) -> None:
    policy = VowpalWabbit(VowpalWabbitConfig(interactions=interactions), dimension=4)
    policy.learn(example_outcomes(1, slates=20, dimension=4))
    contexts = example_contexts(0, decisions=3, candidates=5, dimension=4)
    contexts.features[1, 2, 3] = np.nan
    with pytest.raises(ContextError, match=r"must be finite.*got nan"):
        policy.decide(contexts, slots=2, keys=example_keys(3))
    contexts = example_contexts(0, decisions=3, candidates=5, dimension=3)
    with pytest.raises(ContextError, match="features must have dimension 4, got 3"):
        policy.decide(contexts, slots=2, keys=example_keys(3))
    with pytest.raises(ContextError, match="features must have dimension 4, got 3"):
        policy.learn(example_outcomes(1, slates=5, dimension=3))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            {"exploration": "bag"},
            "exploration must be one of epsilon, squarecb, softmax, got 'bag'",
        ),
        ({"epsilon": 1.5}, "epsilon must be <= 1, got 1.5"),
        ({"gamma_scale": -1.0}, "gamma_scale must be >= 0, got -1.0"),
        ({"temperature": 0.0}, "temperature must be > 0, got 0.0"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number, got nan"),
        ({"least_propensity": 0.0}, "least_propensity must be >= 1e-09, got 0.0"),
        ({"actions": 0}, "actions must be >= 1, got 0"),
        ({"bits": 30}, "bits must be <= 24, got 30"),
        ({"propensity_weighted": "yes"}, "propensity_weighted must be true or false, got 'yes'"),
        ({"interactions": "aa"}, "interactions must be a list, got 'aa'"),
        ({"interactions": ["a\n"]}, "interactions must be two or three letters of 'ac'"),
        ({"interactions": ["ac"]}, "interactions of 'c' need context_features, got 'ac'"),
        ({"interactions": ["aa", "aa"]}, "interactions must be distinct"),
        ({"context_features": [1, 1]}, r"context_features must be distinct, got \[1, 1\]"),
        ({"context_features": ["x"]}, "context_features must be a whole number, got 'x'"),
        ({"context_features": [4]}, "context_features must be below the dimension 4, got 4"),
        ({"options": "--bag 5"}, "VowpalWabbitConfig has no setting 'options'"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VowpalWabbit(VowpalWabbitConfig.from_json(setting), dimension=4)


def test_more_features_than_weights_are_refused() -> None:
    with pytest.raises(ConfigError, match="bits must be so many that 300 features"):
        VowpalWabbit(VowpalWabbitConfig(bits=8), dimension=300)


def with_changes(snapshot: Snapshot, *, model: Any = None, **manifest: object) -> Snapshot:
    return Snapshot(
        kind=snapshot.kind,
        version=snapshot.version,
        arrays=snapshot.arrays if model is None else {"model": model},
        manifest={**snapshot.manifest, **manifest},
    )


def test_damaged_snapshots_are_refused() -> None:
    policy = VowpalWabbit(dimension=4)
    policy.learn(example_outcomes(1, slates=20, dimension=4))
    good = policy.snapshot()
    model = good.arrays["model"]
    flipped = model.copy()
    flipped[len(flipped) // 2] ^= 1
    for bad in (model[:-20], flipped, np.zeros(0, dtype=np.uint8)):
        with pytest.raises(SnapshotError, match="is damaged: its digest does not match"):
            restore_policy(with_changes(good, model=bad))
    for changes in ({"dimension": 3}, {"rows": 5}, {"digest": None}):
        with pytest.raises(SnapshotError, match="is damaged: its digest does not match"):
            restore_policy(with_changes(good, **changes))
    with pytest.raises(SnapshotError, match="must hold a model as uint8 bytes"):
        restore_policy(with_changes(good, model=np.zeros(3)))
    with pytest.raises(SnapshotError, match="rows must be >= 0, got -1"):
        restore_policy(with_changes(good, rows=-1))
