import functools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from matinee_policies import (
    ConfigError,
    ContextBatch,
    ContextError,
    OutcomeBatch,
    Policy,
    Snapshot,
    SnapshotError,
)
from matinee_policies.logistic_bandit import LogisticBandit, LogisticConfig
from matinee_policies.philox import normal, stream_key
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes
from matinee_policies.testing_laws import (
    per_slot_epsilon,
    plain_greedy_law,
    plain_inverse_gap_law,
    plain_softmax_law,
    plain_utilities,
)

L2 = 0.5
ROWS = int(example_outcomes(1, slates=150, dimension=4).shown.sum())


def s(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))


@functools.cache
def learned_law(curvature: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """theta and A after what the contract's outcomes teach, row by row."""
    outcomes = example_outcomes(1, slates=150, dimension=4)
    theta, A = np.zeros(4), L2 * np.eye(4)
    for n, slot in np.argwhere(outcomes.shown):
        x, r = outcomes.features[n, slot].astype(float), float(outcomes.rewards[n, slot])
        q = np.linalg.inv(A) @ x
        m, v = float(x @ theta), float(x @ q)
        if curvature is None:
            z = brentq(lambda z, m=m, v=v, r=r: z - m - v * (r - s(z)), m - v, m + v, xtol=1e-15)
            theta = theta + (r - s(z)) * q
            A = A + s(z) * (1.0 - s(z)) * np.outer(x, x)
        else:
            A = A + curvature * np.outer(x, x)
            theta = theta - np.linalg.solve(A, (s(m) - r) * x)
    return theta, A


class LogisticContract(PolicyContract):
    """Shared by the forms; each gives its settings and its law."""

    config = LogisticConfig()

    def make_policy(self) -> Policy:
        return LogisticBandit(self.config, dimension=self.dimension)

    def utilities(
        self, scores: Sequence[float], contexts: ContextBatch, prefix: Sequence[int]
    ) -> dict[int, float]:
        return plain_utilities(
            [s(score) for score in scores],
            contexts.embeddings[contexts.candidates[0]].tolist(),
            prefix,
            diversity=0.05,
        )


class TestEpsilon(LogisticContract):
    config = LogisticConfig(epsilon=0.3, l2=L2, diversity=0.05)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        scores = contexts.features[0].astype(float) @ learned_law()[0]
        utilities = self.utilities(scores, contexts, prefix)
        return plain_greedy_law(utilities, 5, weight=per_slot_epsilon(0.3, slots=3))


class TestUpperBound(LogisticContract):
    config = LogisticConfig(exploration="upper_bound", alpha=2.0, floor=0.2, l2=L2, diversity=0.05)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        theta, A = learned_law()
        scores = [
            float(x @ theta + 2.0 * math.sqrt(x @ np.linalg.solve(A, x)))
            for x in contexts.features[0].astype(float)
        ]
        utilities = self.utilities(scores, contexts, prefix)
        return plain_greedy_law(utilities, 5, weight=0.2)


class TestNewtonSoftmax(LogisticContract):
    config = LogisticConfig(
        method="newton",
        curvature=0.07,
        exploration="softmax",
        temperature=0.2,
        floor=0.1,
        l2=L2,
        diversity=0.05,
    )

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        scores = contexts.features[0].astype(float) @ learned_law(0.07)[0]
        utilities = self.utilities(scores, contexts, prefix)
        return plain_softmax_law(utilities, 5, temperature=0.2, weight=0.1)


class TestInverseGap(LogisticContract):
    config = LogisticConfig(
        exploration="inverse_gap",
        gamma_scale=3.0,
        gamma_exponent=0.4,
        floor=0.1,
        l2=L2,
        diversity=0.05,
    )

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        scores = contexts.features[0].astype(float) @ learned_law()[0]
        utilities = self.utilities(scores, contexts, prefix)
        return plain_inverse_gap_law(utilities, 5, gamma=3.0 * ROWS**0.4, weight=0.1)


class TestThompson(LogisticContract):
    config = LogisticConfig(
        exploration="thompson",
        ensemble=16,
        seed=5,
        alpha=3.0,
        floor=0.1,
        l2=L2,
        diversity=0.05,
    )

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        theta, A = learned_law()
        upper = np.linalg.cholesky(A).T
        # As many rewards of the later component were ignored.
        key = stream_key(5, "logistic", ROWS, ROWS)
        votes = [0.0] * 5
        for member in range(16):
            g = [normal(key, np.uint64(member), np.uint64(i)) for i in range(4)]
            drawn = theta + 3.0 * np.linalg.solve(upper, g)
            scores = contexts.features[0].astype(float) @ drawn
            utilities = self.utilities(scores, contexts, prefix)
            votes[max(utilities, key=lambda place: (utilities[place], -place))] += 1 / 16
        remaining = [place for place in range(5) if place not in prefix]
        return [
            0.9 * votes[place] + 0.1 / len(remaining) if place in remaining else 0.0
            for place in range(5)
        ]


def test_later_components_are_counted_and_ignored() -> None:
    policy = LogisticBandit(dimension=4)
    policy.learn(example_outcomes(1, slates=30, dimension=4))
    theta, rows = policy.theta, policy.rows
    later = example_outcomes(1, slates=30, dimension=4, first=False)
    policy.learn(replace(later, rewards=later.rewards * 9.0))
    np.testing.assert_array_equal(policy.theta, theta)
    assert (policy.rows, policy.ignored) == (rows, int(later.shown.sum()))
    assert LogisticBandit.from_snapshot(policy.snapshot()).ignored == policy.ignored


def test_values_are_probabilities() -> None:
    contexts = example_contexts(2, decisions=30, candidates=8, dimension=4)
    for exploration in ("epsilon", "upper_bound"):
        config = LogisticConfig(exploration=exploration)
        values = LogisticBandit(config, dimension=4).values(contexts)
        assert ((values >= 0.5) & (values < 1.0)).all()
        # Before any row the mean is 0, and the width the length of the features.
        widths = np.linalg.norm(contexts.features.astype(float), axis=2)
        expected = 1.0 / (1.0 + np.exp(-widths * (exploration == "upper_bound")))
        np.testing.assert_allclose(values, expected, rtol=1e-14)


def test_members_follow_the_seed_and_the_rows() -> None:
    contexts = example_contexts(2, decisions=3, candidates=8, dimension=4)

    def members(seed: int, *, slates: int) -> np.ndarray:
        config = LogisticConfig(exploration="thompson", ensemble=5, seed=seed)
        policy = LogisticBandit(config, dimension=4)
        policy.learn(example_outcomes(1, slates=slates, dimension=4))
        got = policy.members(contexts)
        assert got is not None
        assert got.shape == (3, 5, 8)
        return got

    np.testing.assert_array_equal(members(1, slates=10), members(1, slates=10))
    assert (members(1, slates=10) != members(2, slates=10)).all()
    assert (members(1, slates=10) != members(1, slates=11)).all()
    assert LogisticBandit(dimension=4).members(contexts) is None


@pytest.mark.parametrize("method", ["laplace", "newton"])
@pytest.mark.parametrize("exploration", ["upper_bound", "thompson", "inverse_gap"])
def test_it_finds_the_best_items_of_a_logistic_world(method: str, exploration: str) -> None:
    """Late slates lose less than a sixth of what random ones do, in clicks."""
    rng = np.random.default_rng(8)
    theta = np.array([1.5, -1.0, 0.5, 1.0])
    config = LogisticConfig(method=method, exploration=exploration, gamma_scale=20.0)
    policy = LogisticBandit(config, dimension=4)
    lost, random_lost = [], []
    for round_ in range(40):
        contexts = example_contexts(100 + round_, decisions=20, candidates=10, dimension=4)
        slates = policy.decide(contexts, slots=2, keys=example_keys(20))
        places = slates.positions.astype(np.int64)
        truth = 1.0 / (1.0 + np.exp(-contexts.features.astype(float) @ theta))
        chosen = np.take_along_axis(truth, places, axis=1)
        best = np.sort(truth, axis=1)[:, -2:].mean()
        lost.append(best - chosen.mean())
        random_lost.append(best - truth.mean())
        policy.learn(
            OutcomeBatch(
                component="engagement",
                first=True,
                features=np.take_along_axis(contexts.features, places[:, :, None], axis=1),
                rewards=(rng.random(chosen.shape) < chosen).astype(np.float64),
                shown=np.ones_like(chosen, dtype=np.bool_),
                propensities=slates.propensities,
                shards=np.zeros(20, dtype=np.uint8),
            )
        )
    assert np.mean(lost[-10:]) < np.mean(random_lost[-10:]) / 6.0


def rows_of(X: np.ndarray) -> OutcomeBatch:
    """One shown item per row, half liked."""
    n = len(X)
    return OutcomeBatch(
        component="engagement",
        first=True,
        features=X[:, None, :].astype(np.float32),
        rewards=np.full((n, 1), 0.5),
        shown=np.ones((n, 1), dtype=np.bool_),
        propensities=np.ones((n, 1)),
        shards=np.zeros(n, dtype=np.uint8),
    )


@pytest.mark.parametrize("method", ["laplace", "newton"])
@pytest.mark.parametrize("exploration", ["upper_bound", "thompson"])
def test_a_row_that_spoils_precision_is_refused_before_it_does(
    method: str, exploration: str
) -> None:
    """What is accepted stays usable after the inverse is computed anew, every 4096 rows."""
    config = LogisticConfig(method=method, exploration=exploration)
    contexts = example_contexts(2, decisions=3, candidates=8, dimension=8)
    for exponent in (3.0, 5.0, 6.0, 7.0, 8.0, 9.0, 12.0, 15.0):
        rng = np.random.default_rng(1)
        policy = LogisticBandit(config, dimension=8)
        before = policy.snapshot().content_hash
        row = rows_of(rng.normal(size=(1, 8)) * 10.0**exponent)
        if exponent > 5.0:
            with pytest.raises(ContextError, match="of moderate size"):
                policy.learn(row)
            assert policy.snapshot().content_hash == before
            continue
        policy.learn(row)
        policy.learn(rows_of(rng.normal(size=(4095, 8))))
        policy.learn(rows_of(rng.normal(size=(3, 8))))
        policy.decide(contexts, slots=3, keys=example_keys(3))
        again = LogisticBandit.from_snapshot(policy.snapshot())
        np.testing.assert_array_equal(again.values(contexts), policy.values(contexts))
        precision = policy.snapshot().arrays["precision"]
        inverse = policy.snapshot().arrays["inverse"]
        X = contexts.features.reshape(-1, 8).astype(float)
        exact = (X * np.linalg.solve(precision, X.T).T).sum(axis=1)
        np.testing.assert_allclose((X @ inverse * X).sum(axis=1), exact, rtol=1e-4)


@pytest.mark.parametrize("size", [60.0, 1e4, 1e12])
def test_large_upper_bounds_keep_their_order(size: float) -> None:
    """Each of them is 1 to the last bit of a float."""
    contexts = example_contexts(2, decisions=200, candidates=8, dimension=4)
    contexts.features[:] *= np.float32(size)
    config = LogisticConfig(exploration="upper_bound", alpha=1.0, floor=0.0)
    policy = LogisticBandit(config, dimension=4)
    values = policy.values(contexts)
    assert ((values > 0.0) & (values < 1.0)).all()
    widths = np.linalg.norm(contexts.features.astype(float), axis=2)
    slates = policy.decide(contexts, slots=1, keys=example_keys(200))
    np.testing.assert_array_equal(slates.positions[:, 0], widths.argmax(axis=1))


def test_bad_outcomes_are_refused_with_the_state_unchanged() -> None:
    policy = LogisticBandit(dimension=4)
    policy.learn(example_outcomes(1, slates=20, dimension=4))
    before = policy.snapshot().content_hash
    outcomes = example_outcomes(2, slates=20, dimension=4)
    outcomes.shown[:] = True
    high = replace(outcomes, rewards=outcomes.rewards + 1.0)
    huge = replace(outcomes, features=outcomes.features * np.float32(1e30))
    for bad, message in ((high, r"must be in \[0, 1\], got 1"), (huge, "of moderate size")):
        with pytest.raises(ContextError, match=message):
            policy.learn(bad)
    assert policy.snapshot().content_hash == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"method": "sgd"}, "method must be one of laplace, newton, got 'sgd'"),
        ({"exploration": "cover"}, "exploration must be one of epsilon, .*, got 'cover'"),
        ({"epsilon": 1.5}, "epsilon must be <= 1, got 1.5"),
        ({"alpha": -1.0}, "alpha must be >= 0, got -1.0"),
        ({"temperature": 0.0}, "temperature must be > 0, got 0.0"),
        ({"curvature": 0.3}, "curvature must be <= 0.25, got 0.3"),
        ({"ensemble": 0}, "ensemble must be >= 1, got 0"),
        ({"l2": 0.0}, "l2 must be > 0, got 0.0"),
        ({"diversity": -0.1}, "diversity must be >= 0, got -0.1"),
        ({"gamma_scale": 1e308}, "gamma_scale must be <= 1e.12, got 1e.308"),
        ({"seed": 2**63}, "seed must be <= 9.22337e.18, got 9223372036854775808"),
        ({"gamma": 1.0}, "LogisticConfig has no setting 'gamma'"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LogisticConfig.from_json(setting)


def test_inconsistent_snapshots_are_refused() -> None:
    config = LogisticConfig(exploration="thompson")
    good = LogisticBandit(config, dimension=4).snapshot()
    for name, array, message in (
        ("theta", np.zeros(3), r"'theta' must be float64 \(4,\), got float64 \(3,\)"),
        ("precision", -np.eye(4), "'precision' of 'logistic' must be positive definite"),
        ("inverse", 2.0 * np.eye(4), "'inverse' of 'logistic' must be that of 'precision'"),
    ):
        bad = Snapshot(
            kind=good.kind,
            version=good.version,
            arrays={**good.arrays, name: array},
            manifest=good.manifest,
        )
        with pytest.raises(SnapshotError, match=message):
            LogisticBandit.from_snapshot(bad)
