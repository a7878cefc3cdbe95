"""Policies with one regression per item, alone and beside one over all of them."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

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
    Snapshot,
    build_policy,
)
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_outcomes
from matinee_policies.testing_laws import (
    per_slot_epsilon,
    plain_greedy_law,
    plain_inverse_gap_law,
    plain_softmax_law,
    plain_utilities,
)

ITEMS = 40
FORMS = (("disjoint", ()), ("hybrid", ()), ("hybrid", (2, 0)))


def oracle(
    parts: Sequence[OutcomeBatch],
    contexts: ContextBatch,
    *,
    form: str,
    columns: Sequence[int] = (),
    l2: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and width of one ordinary ridge regression on [z; x of item 0; x of item 1; ...]."""
    d = contexts.features.shape[2]
    own = list(columns) or list(range(d))

    def stacked(features: np.ndarray, item: int) -> np.ndarray:
        blocks = np.zeros((ITEMS, len(own)))
        blocks[item] = features[own]
        z = features.astype(float) if form == "hybrid" else np.zeros(0)
        return np.concatenate([z, blocks.ravel()])

    size = d * (form == "hybrid") + ITEMS * len(own)
    A, b = l2 * np.eye(size), np.zeros(size)
    for part in parts:
        assert part.items is not None
        for row, slot in zip(*part.shown.nonzero(), strict=True):
            x = stacked(part.features[row, slot], int(part.items[row, slot]))
            b += x * part.rewards[row, slot]
            if part.first:
                A += np.outer(x, x)
    rows = [
        stacked(features, int(item))
        for features, item in zip(
            contexts.features.reshape(-1, d), contexts.candidates.ravel(), strict=True
        )
    ]
    X = np.array(rows)
    variance = (X * np.linalg.solve(A, X.T).T).sum(axis=1)
    shape = contexts.candidates.shape
    return (X @ np.linalg.solve(A, b)).reshape(shape), np.sqrt(variance).reshape(shape)


def outcomes(seed: int, *, slates: int, dimension: int, first: bool = True) -> OutcomeBatch:
    """Made-up outcomes of items below 30."""
    made = example_outcomes(seed, slates=slates, dimension=dimension, first=first)
    items = np.asarray(made.items) % 30
    return replace(made, items=np.where(made.shown, items, -1).astype(np.int32))


def policy_of(form: str, columns: tuple[int, ...] = (), *, dimension: int, **more: float) -> LinUCB:
    config = LinUCBConfig.from_json({"form": form, "item_features": columns, **more})
    return LinUCB(config, dimension=dimension)


@functools.cache
def taught(form: str, columns: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and width, after the contract's outcomes, of its only decision."""
    contexts = example_contexts(5, decisions=1, candidates=5, dimension=4)
    parts = [example_outcomes(1, slates=150, dimension=4, first=first) for first in (True, False)]
    mean, width = oracle(parts, contexts, form=form, columns=columns, l2=0.5)
    return mean[0], width[0]


class FormContract(PolicyContract):
    """A policy of some form; its law from utilities is given in plain Python."""

    form = "disjoint"
    columns: tuple[int, ...] = ()
    kind: str
    settings: ClassVar[dict[str, float]] = {}
    alpha = 0.0

    def make_policy(self) -> Policy:
        config = {
            **self.settings,
            "form": self.form,
            "item_features": self.columns,
            "l2": 0.5,
            "diversity": 0.3,
        }
        return build_policy(self.kind, config, dimension=4)

    def law(self, utilities: dict[int, float]) -> list[float]:
        raise NotImplementedError

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        mean, width = taught(self.form, self.columns)
        vectors = contexts.embeddings[contexts.candidates[0]].tolist()
        values = (mean + self.alpha * width).tolist()
        return self.law(plain_utilities(values, vectors, prefix, diversity=0.3))


class LinUCBContract(FormContract):
    kind = "lin_ucb"
    settings: ClassVar[dict[str, float]] = {"alpha": 2.0, "floor": 0.2}
    alpha = 2.0

    def law(self, utilities: dict[int, float]) -> list[float]:
        return plain_greedy_law(utilities, 5, weight=0.2)


class EpsilonGreedyContract(FormContract):
    kind = "epsilon_greedy"
    settings: ClassVar[dict[str, float]] = {"epsilon": 0.4}

    def law(self, utilities: dict[int, float]) -> list[float]:
        return plain_greedy_law(utilities, 5, weight=per_slot_epsilon(0.4, slots=3))


class SquareCBContract(FormContract):
    kind = "square_cb"
    settings: ClassVar[dict[str, float]] = {"gamma_scale": 2.0}

    def law(self, utilities: dict[int, float]) -> list[float]:
        rows = int(example_outcomes(1, slates=150, dimension=4).shown.sum())
        return plain_inverse_gap_law(utilities, 5, gamma=2.0 * rows**0.5, weight=0.0)


class LinearSoftmaxContract(FormContract):
    kind = "linear_softmax"
    settings: ClassVar[dict[str, float]] = {"temperature": 0.2, "alpha": 0.5}
    alpha = 0.5

    def law(self, utilities: dict[int, float]) -> list[float]:
        return plain_softmax_law(utilities, 5, temperature=0.2, weight=0.0)


class TestDisjointLinUCB(LinUCBContract):
    pass


class TestHybridLinUCB(LinUCBContract):
    form = "hybrid"


class TestHybridLinUCBWithFewItemFeatures(LinUCBContract):
    form = "hybrid"
    columns = (1, 3)


class TestDisjointEpsilonGreedy(EpsilonGreedyContract):
    pass


class TestHybridEpsilonGreedy(EpsilonGreedyContract):
    form = "hybrid"


class TestDisjointSquareCB(SquareCBContract):
    pass


class TestHybridSquareCB(SquareCBContract):
    form = "hybrid"
    columns = (0, 2)


class TestDisjointLinearSoftmax(LinearSoftmaxContract):
    pass


class TestHybridLinearSoftmax(LinearSoftmaxContract):
    form = "hybrid"


@pytest.mark.parametrize(("form", "columns"), FORMS)
@pytest.mark.parametrize(("dimension", "slates"), [(3, 0), (3, 1), (3, 80), (6, 200)])
def test_mean_and_width_are_those_of_one_ridge_regression(
    form: str, columns: tuple[int, ...], dimension: int, slates: int
) -> None:
    parts = [
        outcomes(seed, slates=slates, dimension=dimension, first=first)
        for seed in (1, 2)
        for first in (True, False)
    ]
    contexts = example_contexts(3, decisions=3, candidates=30, dimension=dimension)
    mean, width = oracle(parts, contexts, form=form, columns=columns, l2=0.7)
    for alpha in (0.0, 2.0):
        policy = policy_of(form, columns, dimension=dimension, alpha=alpha, l2=0.7)
        for part in parts:
            policy.learn(part)
        np.testing.assert_allclose(policy.values(contexts), mean + alpha * width, atol=1e-10)


def test_hybrid_is_algorithm_2_of_li_et_al() -> None:
    """Its lines one by one, with the inverses taken afresh: an impression after another."""
    d, columns = 4, [0, 2, 3]
    part = outcomes(5, slates=60, dimension=d)
    assert part.items is not None
    A0, b0 = np.eye(d), np.zeros(d)
    A = np.array([np.eye(3)] * ITEMS)
    B, b = np.zeros((ITEMS, 3, d)), np.zeros((ITEMS, 3))
    for row, slot in zip(*part.shown.nonzero(), strict=True):
        a, z = part.items[row, slot], part.features[row, slot].astype(float)
        x, r = z[columns], part.rewards[row, slot]
        A0 += B[a].T @ np.linalg.inv(A[a]) @ B[a]
        b0 += B[a].T @ np.linalg.inv(A[a]) @ b[a]
        A[a] += np.outer(x, x)
        B[a] += np.outer(x, z)
        b[a] += r * x
        A0 += np.outer(z, z) - B[a].T @ np.linalg.inv(A[a]) @ B[a]
        b0 += r * z - B[a].T @ np.linalg.inv(A[a]) @ b[a]
    beta, V0 = np.linalg.solve(A0, b0), np.linalg.inv(A0)
    contexts = example_contexts(3, decisions=2, candidates=20, dimension=d)
    expected = np.zeros((2, 20))
    for row, k in itertools.product(range(2), range(20)):
        a, z = contexts.candidates[row, k], contexts.features[row, k].astype(float)
        x, V = z[columns], np.linalg.inv(A[a])
        theta = V @ (b[a] - B[a] @ beta)
        s = z @ V0 @ z - 2.0 * z @ V0 @ B[a].T @ V @ x + x @ V @ x
        s += x @ V @ B[a] @ V0 @ B[a].T @ V @ x
        expected[row, k] = z @ beta + x @ theta + 1.5 * np.sqrt(s)
    policy = policy_of("hybrid", tuple(columns), dimension=d, alpha=1.5)
    policy.learn(part)
    np.testing.assert_allclose(policy.values(contexts), expected, atol=1e-10)
    np.testing.assert_allclose(policy.theta, beta, atol=1e-10)
    own = policy.item_theta(np.array([3, 39], dtype=np.int32))
    expected_own = np.linalg.solve(A[3], b[3] - B[3] @ beta)
    np.testing.assert_allclose(own, [expected_own, np.zeros(3)], atol=1e-10)


@pytest.mark.parametrize(("form", "columns"), FORMS)
def test_bits_do_not_depend_on_the_order_of_components_and_batches(
    form: str, columns: tuple[int, ...]
) -> None:
    """Also where an item's later component is the first that is heard of it."""
    first = outcomes(4, slates=40, dimension=4)
    later = outcomes(4, slates=40, dimension=4, first=False)
    orders = (
        [first, later],
        [later, first],
        [part.rows(np.arange(n, n + 1)) for part in (later, first) for n in range(40)],
    )
    hashes = set()
    for order in orders:
        policy = policy_of(form, columns, dimension=4)
        for part in order:
            policy.learn(part)
        hashes.add(policy.snapshot().content_hash)
        contexts = example_contexts(1, decisions=5, candidates=20, dimension=4)
        hashes.add(policy.values(contexts).tobytes().hex())
    assert len(hashes) == 2


@pytest.mark.parametrize(("form", "columns"), FORMS)
def test_a_restored_state_has_the_same_values_to_the_last_bit(
    form: str, columns: tuple[int, ...], tmp_path: Path
) -> None:
    policy = policy_of(form, columns, dimension=5)
    for seed in range(3):
        policy.learn(outcomes(seed, slates=10 * seed, dimension=5))
    policy.snapshot().save(tmp_path / "state.npz")
    again = LinUCB.from_snapshot(Snapshot.load(tmp_path / "state.npz"))
    contexts = example_contexts(1, decisions=5, candidates=30, dimension=5)
    np.testing.assert_array_equal(again.values(contexts), policy.values(contexts))
    assert again.rows == policy.rows > 0


@pytest.mark.parametrize(("form", "columns"), FORMS)
def test_bad_outcomes_are_refused_with_the_state_unchanged(
    form: str, columns: tuple[int, ...]
) -> None:
    policy = policy_of(form, columns, dimension=4)
    policy.learn(outcomes(1, slates=20, dimension=4))
    before = policy.snapshot().content_hash
    values = policy.values(example_contexts(1, decisions=5, candidates=20, dimension=4))
    good = outcomes(2, slates=9, dimension=4)
    with pytest.raises(ContextError, match="items must be given to learn a model per item"):
        policy.learn(replace(good, items=None))
    with pytest.raises(ContextError, match="features must have dimension 4, got 5"):
        policy.learn(outcomes(2, slates=9, dimension=5))
    for first, value, got in ((True, np.nan, "nan"), (False, np.inf, "inf")):
        bad = outcomes(2, slates=9, dimension=4, first=first)
        bad.features[(*np.argwhere(bad.shown)[3], 2)] = value
        with pytest.raises(
            ContextError, match=f"features of shown slots must be finite, got {got}"
        ):
            policy.learn(bad)
    huge = outcomes(2, slates=9, dimension=4)
    huge.features[:] = 1e12
    with pytest.raises(ContextError, match="features must be of moderate size, got sums up to"):
        policy.learn(huge)
    assert policy.snapshot().content_hash == before
    contexts = example_contexts(1, decisions=5, candidates=20, dimension=4)
    np.testing.assert_array_equal(policy.values(contexts), values)


@pytest.mark.parametrize("form", ["disjoint", "hybrid"])
def test_contexts_of_another_dimension_are_refused(form: str) -> None:
    contexts = example_contexts(1, decisions=1, candidates=4, dimension=3)
    with pytest.raises(ContextError, match="features must have dimension 4, got 3"):
        policy_of(form, dimension=4).values(contexts)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"form": "joint"}, "form must be one of shared, disjoint, hybrid, got 'joint'"),
        ({"item_features": [1]}, "item_features are of form hybrid, got form 'shared'"),
        ({"form": "hybrid", "item_features": 3}, "item_features must be a list, got 3"),
        ({"form": "hybrid", "item_features": [1, 1]}, "item_features must be distinct"),
        ({"form": "hybrid", "item_features": [-1]}, "item_features must be >= 0, got -1"),
        ({"form": "hybrid", "item_features": [4]}, "item_features must be below the dimension 4"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LinUCB(LinUCBConfig.from_json(setting), dimension=4)


def test_only_coefficients_of_their_own_tell_items_with_the_same_features_apart() -> None:
    """Twenty items whose worth shows in nothing but their rewards."""
    rng = np.random.default_rng(0)
    worth = rng.uniform(0.0, 1.0, size=20)
    items = rng.integers(0, 20, size=(1000, 3)).astype(np.int32)
    part = OutcomeBatch(
        component="engagement",
        first=True,
        features=np.ones((1000, 3, 1), dtype=np.float32),
        rewards=(rng.random((1000, 3)) < worth[items]).astype(float),
        shown=np.ones((1000, 3), dtype=np.bool_),
        propensities=np.ones((1000, 3)),
        shards=rng.integers(0, 64, size=1000).astype(np.uint8),
        items=items,
    )
    contexts = ContextBatch(
        candidates=np.arange(20, dtype=np.int32)[None],
        features=np.ones((1, 20, 1), dtype=np.float32),
        scores=np.full((1, 20), 0.5, dtype=np.float32),
        embeddings=np.zeros((20, 1), dtype=np.float32),
    )
    error = {}
    for form in ("shared", "disjoint", "hybrid"):
        policy = policy_of(form, dimension=1, alpha=0.0)
        policy.learn(part)
        error[form] = np.abs(policy.values(contexts)[0] - worth).max()
    # About 150 shows of each: a standard error of at most 0.5 / sqrt(150) = 0.041.
    assert error["disjoint"] < 4 * 0.041 + 0.01
    assert error["hybrid"] < 4 * 0.041 + 0.01
    assert error["shared"] > 0.3
