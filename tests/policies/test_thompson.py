import functools
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import norm

from matinee_policies import (
    ConfigError,
    ContextBatch,
    ContextError,
    Policy,
    Thompson,
    ThompsonConfig,
    build_policy,
    ensemble_values,
    value_policy,
)
from matinee_policies.ensemble_values import (
    ItemDraws,
    item_members_reference,
    linear_members,
    linear_members_reference,
)
from matinee_policies.philox import normal, stream_key
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes
from matinee_policies.value_policy import ValuePolicy

SETTINGS = {"ensemble": 20, "scale": 0.7, "l2": 0.5, "seed": 3}


def rows_of_item(item: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Features and rewards that the contract's outcomes bring, of one item or of all."""
    first = example_outcomes(1, slates=150, dimension=4)
    later = example_outcomes(1, slates=150, dimension=4, first=False)
    mine = first.shown if item is None else first.shown & (np.asarray(first.items) == item)
    theirs = later.shown if item is None else later.shown & (np.asarray(later.items) == item)
    # Made-up outcomes of one seed differ in their rewards only.
    np.testing.assert_array_equal(mine, theirs)
    return first.features[mine].astype(float), first.rewards[mine] + later.rewards[mine]


def g(row: int, member: int) -> float:
    """The normal number of a coefficient or item and a member, from the generator itself."""
    rows = int(example_outcomes(1, slates=150, dimension=4).shown.sum())
    # The later component brings as many rewards.
    key = stream_key(3, "thompson", rows, rows)
    return float(normal(key, np.uint64(row), np.uint64(member)))


@functools.cache
def shared_members() -> np.ndarray:
    """Values of the contract's candidates to 20 members, `[20, 5]`."""
    X, r = rows_of_item(None)
    A = 0.5 * np.eye(4) + X.T @ X
    root = np.linalg.inv(np.linalg.cholesky(A)).T
    draws = np.array([[g(member, i) for i in range(4)] for member in range(20)])
    thetas = np.linalg.solve(A, X.T @ r) + 0.7 * draws @ root.T
    contexts = example_contexts(5, decisions=1, candidates=5, dimension=4)
    return np.asarray(thetas @ contexts.features[0].astype(float).T)


@functools.cache
def disjoint_members() -> np.ndarray:
    contexts = example_contexts(5, decisions=1, candidates=5, dimension=4)
    values = np.zeros((20, 5))
    for k, item in enumerate(contexts.candidates[0].tolist()):
        X, r = rows_of_item(item)
        A = 0.5 * np.eye(4) + X.T @ X
        x = contexts.features[0, k].astype(float)
        width = np.sqrt(x @ np.linalg.solve(A, x))
        draws = np.array([g(item, member) for member in range(20)])
        values[:, k] = x @ np.linalg.solve(A, X.T @ r) + 0.7 * width * draws
    return values


def votes(members: np.ndarray, prefix: Sequence[int], *, weight: float = 0.0) -> list[float]:
    """Share of members that like each remaining candidate best, mixed with the uniform law."""
    law = [0.0] * members.shape[1]
    rest = [position for position in range(len(law)) if position not in prefix]
    for member in members.tolist():
        best = max(rest, key=lambda position: (member[position], -position))
        law[best] += (1.0 - weight) / len(members)
    return [p + weight * (k in rest) / len(rest) for k, p in enumerate(law)]


class TestSharedThompson(PolicyContract):
    def make_policy(self) -> Policy:
        config = ThompsonConfig.from_json({**SETTINGS, "floor": 0.1})
        return Thompson(config, dimension=self.dimension)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        return votes(shared_members(), prefix, weight=0.1)


class TestDisjointThompson(PolicyContract):
    def make_policy(self) -> Policy:
        config = ThompsonConfig.from_json({**SETTINGS, "form": "disjoint", "floor": 0.1})
        return Thompson(config, dimension=self.dimension)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        return votes(disjoint_members(), prefix, weight=0.1)


@pytest.mark.parametrize("form", ["shared", "disjoint"])
def test_votes_tend_to_the_posterior_probability_of_being_best(form: str) -> None:
    """Of two candidates: Phi of the difference of means over its standard deviation."""
    M, scale = 20_000, 0.6
    config = ThompsonConfig(form=form, ensemble=M, scale=scale, l2=2.0, seed=1)
    policy = Thompson(config, dimension=4)
    policy.learn(example_outcomes(1, slates=20, dimension=4))
    contexts = example_contexts(9, decisions=12, candidates=2, dimension=4)
    law = policy.next_law(contexts, np.zeros((12, 0), dtype=np.int32), slots=1)
    part = example_outcomes(1, slates=20, dimension=4)

    def posterior(item: int | None) -> tuple[np.ndarray, np.ndarray]:
        mine = part.shown if item is None else part.shown & (np.asarray(part.items) == item)
        X = part.features[mine].astype(float)
        A = 2.0 * np.eye(4) + X.T @ X
        return np.linalg.solve(A, X.T @ part.rewards[mine]), np.linalg.inv(A)

    between = 0
    for row in range(12):
        x, y = contexts.features[row].astype(float)
        if form == "shared":
            theta, V = posterior(None)
            mean, variance = (x - y) @ theta, (x - y) @ V @ (x - y)
        else:
            (s, V), (t, W) = (posterior(int(item)) for item in contexts.candidates[row])
            mean, variance = x @ s - y @ t, x @ V @ x + y @ W @ y
        p = norm.cdf(mean / (scale * np.sqrt(variance)))
        assert abs(law[row, 0] - p) < 4 * np.sqrt(p * (1 - p) / M) + 1e-12
        between += 0.05 < p < 0.95
    assert between > 3


def test_members_of_a_shared_posterior_have_its_covariance() -> None:
    M = 20_000
    policy = Thompson(ThompsonConfig(ensemble=M, scale=0.5, l2=2.0), dimension=3)
    policy.learn(example_outcomes(1, slates=10, dimension=3))
    contexts = example_contexts(9, decisions=1, candidates=6, dimension=3)
    values = policy.members(contexts)[0]
    part = example_outcomes(1, slates=10, dimension=3)
    X = part.features[part.shown].astype(float)
    F = contexts.features[0].astype(float)
    V = 0.25 * F @ np.linalg.solve(2.0 * np.eye(3) + X.T @ X, F.T)
    # The sample covariance of normals has variance (V_ij^2 + V_ii V_jj) / M.
    error = np.sqrt((V**2 + np.outer(V.diagonal(), V.diagonal())) / M)
    assert (np.abs(np.cov(values.T) - V) < 4 * error).all()
    assert (
        np.abs(values.mean(axis=0) - policy.values(contexts)[0]) < 4 * np.sqrt(V.diagonal() / M)
    ).all()


@pytest.mark.parametrize("form", ["shared", "disjoint"])
def test_every_state_has_its_own_members_and_a_restored_one_the_same(form: str) -> None:
    config = ThompsonConfig(form=form, scale=1.0)
    contexts = example_contexts(9, decisions=7, candidates=6, dimension=3, padded=True)
    policy = Thompson(config, dimension=3)
    seen = set()
    for seed in range(3):
        members = policy.members(contexts)
        assert members.shape == (7, 64, 6)
        again = Thompson.from_snapshot(policy.snapshot())
        # Whatever was asked before, in whatever order.
        again.members(contexts.rows(np.array([5, 2])))
        np.testing.assert_array_equal(again.members(contexts), members)
        seen.add(members.tobytes())
        policy.learn(example_outcomes(seed, slates=20, dimension=3))
    other = Thompson(ThompsonConfig(form=form, scale=1.0, seed=1), dimension=3)
    seen.add(other.members(contexts).tobytes())
    assert len(seen) == 4


@pytest.mark.parametrize("dimension", [1, 4, 7, 33])
def test_values_of_members_equal_their_twin(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    thetas = rng.normal(size=(9, dimension))
    contexts = example_contexts(1, decisions=3, candidates=11, dimension=dimension)
    got = linear_members(contexts.features, thetas)
    np.testing.assert_allclose(
        got, linear_members_reference(contexts.features, thetas), rtol=0, atol=1e-12
    )
    for row in range(3):
        one = linear_members(contexts.features[row : row + 1], thetas)
        np.testing.assert_array_equal(one[0], got[row])


@pytest.mark.parametrize("places", [1, 2, 2**16])
def test_values_of_members_per_item_equal_their_twin(
    places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where places are few and items drive each other out, and under another key."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(ensemble_values, "MOST_PLACES", places)
    draws = ItemDraws(4)
    for seed, shape in ((0, (1, 3)), (0, (2, 3)), (1, (1, 3)), (0, (0, 5))):
        key = stream_key(seed, "test")
        draws.use(key)
        for _ in range(2):
            mean, width = rng.normal(size=shape), rng.random(shape)
            items = rng.choice([3, 7, 3 + 2**16, -1, 2**31 - 1], size=shape).astype(np.int32)
            got = draws.values(mean, width, items)
            expected = item_members_reference(key, mean, width, items, members=4)
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)
            draws.values(mean, width, np.roll(items, 1))
            np.testing.assert_array_equal(draws.values(mean, width, items), got)


@pytest.mark.parametrize("form", ["shared", "disjoint"])
def test_every_state_that_learning_reaches_has_its_own_normal_numbers(form: str) -> None:
    """Those of values alone would differ because the predictions do."""
    config = ThompsonConfig(form=form, scale=0.5, ensemble=5)
    policy = Thompson(config, dimension=3)
    contexts = example_contexts(9, decisions=1, candidates=6, dimension=3)

    def numbers() -> np.ndarray:
        errors = policy.members(contexts) - policy.values(contexts)[:, None, :]
        if form == "disjoint":
            widths = np.sqrt(Taught().variances(contexts))
            return np.asarray(errors / (0.5 * widths))
        X = contexts.features[0].astype(float)
        thetas = np.linalg.lstsq(X, errors[0].T, rcond=None)[0]
        return np.asarray(np.linalg.cholesky(Taught().precision()).T @ thetas / 0.5)

    policy.learn(example_outcomes(1, slates=20, dimension=3))
    first = numbers()
    policy.learn(example_outcomes(1, slates=20, dimension=3, first=False))
    assert np.abs(numbers() - first).min() > 1e-6
    restored = Thompson.from_snapshot(policy.snapshot())
    np.testing.assert_array_equal(restored.members(contexts), policy.members(contexts))
    assert restored.later_rows == policy.later_rows > 0


class Taught:
    """Matrices of what the test above taught its policy."""

    def __init__(self) -> None:
        self.part = example_outcomes(1, slates=20, dimension=3)

    def precision(self, item: int | None = None) -> np.ndarray:
        mine = self.part.shown
        if item is not None:
            mine = mine & (np.asarray(self.part.items) == item)
        X = self.part.features[mine].astype(float)
        return np.asarray(np.eye(3) + X.T @ X)

    def variances(self, contexts: ContextBatch) -> np.ndarray:
        rows = zip(contexts.candidates[0].tolist(), contexts.features[0].astype(float), strict=True)
        return np.array([x @ np.linalg.solve(self.precision(item), x) for item, x in rows])


@pytest.mark.parametrize("kind", ["thompson", "logistic"])
def test_blocks_of_decisions_leave_no_trace(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"exploration": "thompson"} if kind == "logistic" else {"form": "disjoint"}
    policy = build_policy(kind, {**settings, "ensemble": 8}, dimension=4)
    assert isinstance(policy, ValuePolicy)
    policy.learn(example_outcomes(1, slates=40, dimension=4))
    contexts = example_contexts(5, decisions=23, candidates=6, dimension=4, padded=True)
    prefix = np.zeros((23, 0), dtype=np.int32)

    def answers() -> list[np.ndarray]:
        slates = policy.decide(contexts, slots=3, keys=example_keys(23))
        return [
            slates.positions,
            slates.items,
            slates.propensities,
            policy.propensities(contexts, slates.positions),
            policy.exploration_cost(contexts, slates.positions),
            policy.next_law(contexts, prefix, slots=3),
        ]

    whole = answers()
    most = 0
    inner = policy.members

    def counted(some: ContextBatch) -> np.ndarray | None:
        nonlocal most
        values = inner(some)
        most = max(most, 0 if values is None else values.nbytes)
        return values

    monkeypatch.setattr(policy, "members", counted)
    limit = 5 * 8 * 8 * 6
    monkeypatch.setattr(value_policy, "MEMBER_BYTES", limit)
    for got, expected in zip(answers(), whole, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert most == limit


def test_without_scale_the_best_prediction_always_wins() -> None:
    contexts = example_contexts(9, decisions=20, candidates=6, dimension=3)
    policy = Thompson(ThompsonConfig(scale=0.0), dimension=3)
    policy.learn(example_outcomes(1, slates=50, dimension=3))
    slates = policy.decide(contexts, slots=6, keys=example_keys(20))
    predicted = contexts.features.astype(float) @ policy.theta
    np.testing.assert_array_equal(slates.positions, np.argsort(-predicted, axis=1))


@pytest.mark.parametrize("form", ["shared", "disjoint"])
def test_features_of_another_dimension_are_refused(form: str) -> None:
    policy = Thompson(ThompsonConfig(form=form), dimension=3)
    contexts = example_contexts(2, decisions=1, candidates=5, dimension=4)
    with pytest.raises(ContextError, match="features must have dimension 3, got 4"):
        policy.members(contexts)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"form": "hybrid"}, "form of Thompson must be shared or disjoint, got 'hybrid'"),
        ({"ensemble": 0}, "ensemble must be >= 1, got 0"),
        ({"ensemble": 2.5}, "ensemble must be a whole number, got 2.5"),
        ({"scale": -0.1}, "scale must be >= 0, got -0.1"),
        ({"floor": 2.0}, "floor must be <= 1, got 2.0"),
        ({"budget": 2.0}, "budget must be <= 1, got 2.0"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
        ({"seed": 2**63}, "seed must be <= 9.22337e.18, got 9223372036854775808"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ThompsonConfig.from_json(setting)
