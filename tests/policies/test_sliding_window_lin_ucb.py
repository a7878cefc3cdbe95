from collections.abc import Sequence

import numpy as np
import pytest

from matinee_policies import ConfigError, ContextBatch, Policy, Snapshot, SnapshotError
from matinee_policies.arrays import AnyArray
from matinee_policies.sliding_window_lin_ucb import SlidingWindowLinUCB, SlidingWindowLinUCBConfig
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_outcomes
from matinee_policies.testing_laws import plain_greedy_law, plain_utilities

_Change = tuple[dict[str, AnyArray], dict[str, int], str]

CONFIG = SlidingWindowLinUCBConfig(alpha=2.0, floor=0.2, l2=0.5, diversity=0.3, window_days=3)


def upper_bounds(contexts: ContextBatch) -> np.ndarray:
    """From the last 3 of the 8 days of the contract's outcomes, `[B, K]`."""
    d = contexts.features.shape[2]
    first = example_outcomes(1, slates=150, dimension=d)
    later = example_outcomes(1, slates=150, dimension=d, first=False)
    assert first.days is not None
    V, b = 0.5 * np.eye(d), np.zeros(d)
    for n, slot in np.argwhere(first.shown):
        if first.days[n] in (5, 6, 7):
            x = first.features[n, slot].astype(float)
            V += np.outer(x, x)
            b += x * (first.rewards[n, slot] + later.rewards[n, slot])
    F = contexts.features.astype(float)
    variance = np.array([[x @ np.linalg.solve(V, x) for x in row] for row in F])
    return np.asarray(F @ np.linalg.solve(V, b) + 2.0 * np.sqrt(variance))


class TestSlidingWindowLinUCB(PolicyContract):
    def make_policy(self) -> Policy:
        return SlidingWindowLinUCB(CONFIG, dimension=self.dimension)

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


def test_values_are_upper_bounds_of_the_window() -> None:
    contexts = example_contexts(2, decisions=20, candidates=7, dimension=4)
    policy = SlidingWindowLinUCB(CONFIG, dimension=4)
    lengths = np.linalg.norm(contexts.features.astype(float), axis=2)
    np.testing.assert_allclose(policy.values(contexts), 2.0 * lengths / np.sqrt(0.5), rtol=1e-14)
    for is_first in (True, False):
        policy.learn(example_outcomes(1, slates=150, dimension=4, first=is_first))
    np.testing.assert_allclose(policy.values(contexts), upper_bounds(contexts), rtol=1e-12)


def test_what_came_too_late_is_counted_also_after_a_restart() -> None:
    policy = SlidingWindowLinUCB(CONFIG, dimension=4)
    policy.learn(example_outcomes(1, slates=150, dimension=4))
    later = example_outcomes(1, slates=150, dimension=4, first=False)
    policy.learn(later)
    assert later.days is not None
    assert policy.expired == int(later.shown[later.days < 5].sum()) > 0
    assert SlidingWindowLinUCB.from_snapshot(policy.snapshot()).expired == policy.expired


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"window_days": 0}, "window_days must be >= 1, got 0"),
        ({"window_days": 2.5}, "window_days must be a whole number, got 2.5"),
        ({"window_days": 20_000}, "window_days must be <= 10000, got 20000"),
        ({"l2": 0.0}, "l2 must be > 0, got 0.0"),
        ({"window": 3}, "SlidingWindowLinUCBConfig has no setting 'window'"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SlidingWindowLinUCBConfig.from_json(setting)


def test_inconsistent_snapshots_are_refused() -> None:
    good = SlidingWindowLinUCB(CONFIG, dimension=4).snapshot()
    changes: tuple[_Change, ...] = (
        ({"days": np.zeros(4, dtype=np.int64)}, {}, r"'days' must be int64 \(3,\), got int64 \(4,"),
        ({"gram": good.arrays["gram"][:2]}, {}, r"'gram' must be float64 \(3, 4, 4\)"),
        ({}, {"expired": -1}, "expired must be >= 0, got -1"),
    )
    for arrays, manifest, message in changes:
        bad = Snapshot(
            kind=good.kind,
            version=good.version,
            arrays={**good.arrays, **arrays},
            manifest={**good.manifest, **manifest},
        )
        with pytest.raises(SnapshotError, match=message):
            SlidingWindowLinUCB.from_snapshot(bad)
