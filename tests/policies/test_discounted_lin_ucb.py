from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from matinee_policies import (
    ConfigError,
    ContextBatch,
    ContextError,
    Policy,
    Snapshot,
    SnapshotError,
)
from matinee_policies.arrays import AnyArray
from matinee_policies.discounted_lin_ucb import DiscountedLinUCB, DiscountedLinUCBConfig
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_outcomes
from matinee_policies.testing_laws import plain_greedy_law, plain_utilities

_Change = tuple[dict[str, AnyArray], dict[str, int], str]

CONFIG = DiscountedLinUCBConfig(alpha=2.0, floor=0.2, l2=0.5, diversity=0.3, half_life_days=2.0)


def upper_bounds(contexts: ContextBatch) -> np.ndarray:
    """From what the contract's outcomes teach, a row at a time, `[B, K]`."""
    d = contexts.features.shape[2]
    first = example_outcomes(1, slates=150, dimension=d)
    later = example_outcomes(1, slates=150, dimension=d, first=False)
    assert first.days is not None
    V, squared, b = 0.5 * np.eye(d), 0.5 * np.eye(d), np.zeros(d)
    for n, slot in np.argwhere(first.shown):
        x = first.features[n, slot].astype(float)
        weight = 0.5 ** ((7 - first.days[n]) / 2.0)
        V += weight * np.outer(x, x)
        squared += weight**2 * np.outer(x, x)
        b += weight * x * (first.rewards[n, slot] + later.rewards[n, slot])
    F = contexts.features.astype(float)
    spread = np.linalg.inv(V) @ squared @ np.linalg.inv(V)
    variance = np.array([[x @ spread @ x for x in row] for row in F])
    return np.asarray(F @ np.linalg.solve(V, b) + 2.0 * np.sqrt(variance))


class TestDiscountedLinUCB(PolicyContract):
    def make_policy(self) -> Policy:
        return DiscountedLinUCB(CONFIG, dimension=self.dimension)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        utilities = plain_utilities(
            upper_bounds(contexts)[0].tolist(),
            contexts.embeddings[contexts.candidates[0]].tolist(),
            prefix,
            diversity=0.3,
        )
        return plain_greedy_law(utilities, 5, weight=0.2)


def test_values_are_discounted_upper_bounds() -> None:
    contexts = example_contexts(2, decisions=20, candidates=7, dimension=4)
    policy = DiscountedLinUCB(CONFIG, dimension=4)
    lengths = np.linalg.norm(contexts.features.astype(float), axis=2)
    np.testing.assert_allclose(policy.values(contexts), 2.0 * lengths / np.sqrt(0.5), rtol=1e-14)
    for is_first in (True, False):
        policy.learn(example_outcomes(1, slates=150, dimension=4, first=is_first))
    np.testing.assert_allclose(policy.values(contexts), upper_bounds(contexts), rtol=1e-12)


def test_half_a_life_ago_counts_half() -> None:
    assert DiscountedLinUCBConfig(half_life_days=14.0).gamma ** 14 == pytest.approx(0.5, rel=1e-14)


def test_outcomes_without_days_are_refused_with_the_state_unchanged() -> None:
    policy = DiscountedLinUCB(CONFIG, dimension=4)
    policy.learn(example_outcomes(1, slates=20, dimension=4))
    before = policy.snapshot().content_hash
    outcomes = example_outcomes(2, slates=20, dimension=4)
    huge = replace(outcomes, features=np.full_like(outcomes.features, 1e30))
    for bad, message in ((replace(outcomes, days=None), "days of outcomes"), (huge, "moderate")):
        with pytest.raises(ContextError, match=message):
            policy.learn(bad)
    assert policy.snapshot().content_hash == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"half_life_days": 0.0}, "half_life_days must be >= 0.001, got 0.0"),
        ({"alpha": -1.0}, "alpha must be >= 0, got -1.0"),
        ({"floor": 1.5}, "floor must be <= 1, got 1.5"),
        ({"l2": 0.0}, "l2 must be > 0, got 0.0"),
        ({"diversity": -0.1}, "diversity must be >= 0, got -0.1"),
        ({"gamma": 0.9}, "DiscountedLinUCBConfig has no setting 'gamma'"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DiscountedLinUCBConfig.from_json(setting)


def test_inconsistent_snapshots_are_refused() -> None:
    good = DiscountedLinUCB(CONFIG, dimension=4).snapshot()
    days = good.arrays["days"]
    changes: tuple[_Change, ...] = (
        ({"days": days.astype(np.float64)}, {}, r"'days' must be int64 \(2, 64\), got float64"),
        ({"days": days - 5}, {}, "'days' must hold days, got -6"),
        ({"gram": good.arrays["gram"][:1]}, {}, r"'gram' must be float64 \(2, 64, 4, 4\)"),
        ({}, {"newest_day": -2}, "newest_day must be >= -1, got -2"),
    )
    for arrays, manifest, message in changes:
        bad = Snapshot(
            kind=good.kind,
            version=good.version,
            arrays={**good.arrays, **arrays},
            manifest={**good.manifest, **manifest},
        )
        with pytest.raises(SnapshotError, match=message):
            DiscountedLinUCB.from_snapshot(bad)
