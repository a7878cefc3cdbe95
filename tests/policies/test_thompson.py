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
)
from matinee_policies.ensemble_values import (
    ItemDraws,
    item_members,
    item_members_reference,
    linear_members,
    linear_members_reference,
)
from matinee_policies.philox import normal, stream_key
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes

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
    return float(normal(stream_key(3, "thompson", rows), np.uint64(row), np.uint64(member)))


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


def test_values_of_members_per_item_equal_their_twin() -> None:
    rng = np.random.default_rng(0)
    mean, width = rng.normal(size=(3, 8)), rng.random((3, 8))
    slots = rng.integers(-1, 5, size=(3, 8)).astype(np.int32)
    draws = rng.normal(size=(5, 16))
    np.testing.assert_array_equal(
        item_members(mean, width, slots, draws), item_members_reference(mean, width, slots, draws)
    )


def test_draws_of_items_do_not_depend_on_what_was_asked_before() -> None:
    key = stream_key(0, "test")
    asked = np.array([[7, 3, -1], [900, 3, 12]], dtype=np.int32)
    fresh, used = ItemDraws(key, members=4), ItemDraws(key, members=4)
    used.of(np.arange(0, 40, 5, dtype=np.int32))
    used.of(np.array([3], dtype=np.int32))
    for draws in (fresh, used):
        slots, table = draws.of(asked)
        assert slots[0, 2] == -1
        for place, item in np.ndenumerate(asked):
            if item >= 0:
                expected = [normal(key, np.uint64(item), np.uint64(m)) for m in range(4)]
                np.testing.assert_array_equal(table[slots[place]], expected)


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
    ],
)
def test_bad_settings_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ThompsonConfig.from_json(setting)
