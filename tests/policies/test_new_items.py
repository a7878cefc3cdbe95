from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from matinee_policies import ContextBatch, ContextError, Policy, SnapshotError
from matinee_policies.errors import ConfigError
from matinee_policies.new_items import NewItems, NewItemsConfig
from matinee_policies.registry import build_policy, restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes


def impressions() -> dict[int, int]:
    """What the contract's outcomes show of each item, counted one by one."""
    outcomes = example_outcomes(1, slates=150, dimension=4)
    assert outcomes.items is not None
    found: dict[int, int] = {}
    for item, shown in zip(outcomes.items.ravel().tolist(), outcomes.shown.ravel(), strict=True):
        found[item] = found.get(item, 0) + int(shown)
    return found


class TestNewItems(PolicyContract):
    # The 100,000 keys of the contract fall unusually at the third slot of nearly even laws (uniform
    # has p = .001 there); so half of them, and a power that makes the law less even.
    draws = 50_000

    def make_policy(self) -> Policy:
        return NewItems(NewItemsConfig(power=2.0, floor=0.1))

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        counts = impressions()
        left = [k for k in range(contexts.candidates.shape[1]) if k not in prefix]
        weights = {k: (counts.get(int(contexts.candidates[0, k]), 0) + 1) ** -2.0 for k in left}
        total = sum(weights.values())
        return [
            0.9 * weights[k] / total + 0.1 / len(left) if k in left else 0.0
            for k in range(contexts.candidates.shape[1])
        ]


def test_counts_are_those_of_the_first_components() -> None:
    policy = NewItems()
    for first in (True, False):
        policy.learn(example_outcomes(1, slates=150, dimension=4, first=first))
    counts = impressions()
    assert policy.impressions(np.arange(40, dtype=np.int32)).tolist() == [
        counts.get(item, 0) for item in range(40)
    ]
    assert policy.rows == sum(counts.values())


def test_a_mixture_spends_its_budget_on_items_that_have_just_come() -> None:
    """Share of exploring slots that show one of four new items among twelve, by the law."""
    known = example_outcomes(1, slates=400, dimension=4)
    assert known.items is not None
    known = replace(known, items=np.where(known.items % 5 == 0, 1, known.items).astype(np.int32))
    contexts = example_contexts(3, decisions=600, candidates=12, dimension=4)
    new = contexts.candidates % 5 == 0
    shares = []
    for explorer in ("uniform", "new_items"):
        bases = [
            {"kind": "lin_ucb", "policy": {"floor": 0.0}, "weight": 0.9},
            {"kind": explorer, "weight": 0.1},
        ]
        policy = build_policy("mixture", {"bases": bases}, dimension=4)
        policy.learn(known)
        slates = policy.decide(contexts, slots=3, keys=example_keys(600))
        assert slates.base is not None
        np.testing.assert_array_equal(
            policy.propensities(contexts, slates.positions), slates.propensities
        )
        explored = slates.base == 1
        shown = np.take_along_axis(new, slates.positions.astype(np.int64), axis=1)
        shares.append(float(shown[explored].mean()))
        restored = restore_policy(policy.snapshot(), config={"bases": bases})
        again = restored.decide(contexts, slots=3, keys=example_keys(600))
        np.testing.assert_array_equal(again.positions, slates.positions)
    assert shares[0] == pytest.approx(new.mean(), abs=0.15)
    assert shares[1] > 0.45


def test_states_that_are_no_counts_are_refused() -> None:
    policy = NewItems()
    policy.learn(example_outcomes(1, slates=20, dimension=4))
    good = policy.snapshot()
    for change in (
        {"items": good.arrays["items"][::-1]},
        {"counts": good.arrays["counts"].astype(np.float64)},
        {"counts": good.arrays["counts"] + 1},
        {"counts": good.arrays["counts"][1:]},
    ):
        wrong = Snapshot(good.kind, good.version, {**good.arrays, **change}, good.manifest)
        with pytest.raises(SnapshotError, match="ascending int32 items"):
            NewItems.from_snapshot(wrong)


def test_items_and_a_power_in_range_are_needed() -> None:
    with pytest.raises(ContextError, match="items must be given"):
        NewItems().learn(replace(example_outcomes(1, slates=5, dimension=4), items=None))
    with pytest.raises(ConfigError, match="power must be <= 4"):
        NewItemsConfig(power=5.0)
