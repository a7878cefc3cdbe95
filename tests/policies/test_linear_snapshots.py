"""Snapshots of linear policies: what they keep, and which of them are refused."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from matinee_policies import (
    LinUCB,
    LinUCBConfig,
    Snapshot,
    SnapshotError,
    build_policy,
    restore_policy,
)
from matinee_policies.testing_data import example_outcomes


@pytest.mark.parametrize(
    "items", [None, np.array([3, 3], np.int32), np.array([-1, 3], np.int32), np.array([1.0, 2.0])]
)
def test_snapshots_with_other_items_are_refused(items: np.ndarray | None) -> None:
    good = LinUCB(LinUCBConfig(form="disjoint"), dimension=4).snapshot()
    arrays = {name: array for name, array in good.arrays.items() if name != "items"}
    if items is not None:
        arrays["items"] = items
    bad = Snapshot(kind=good.kind, version=good.version, arrays=arrays, manifest=good.manifest)
    with pytest.raises(SnapshotError, match="'items' must be ascending int32 rows of items"):
        LinUCB.from_snapshot(bad)


def test_snapshots_from_before_there_were_forms_are_restored() -> None:
    policy = LinUCB(LinUCBConfig(diversity=0.3), dimension=4)
    policy.learn(example_outcomes(1, slates=20, dimension=4))
    now = policy.snapshot()
    config = {"alpha": 0.5, "floor": 0.03, "l2": 1.0, "diversity": 0.3}
    old = replace(now, manifest={"config": config, "dimension": 4, "rows": policy.rows})
    restored = LinUCB.from_snapshot(old)
    assert restored.snapshot().content_hash == now.content_hash


@pytest.mark.parametrize("kind", ["uniform", "score_order", "softmax", "lin_ucb", "thompson"])
def test_caps_and_kinds_of_diversity_survive_in_snapshots(kind: str) -> None:
    settings = {"caps": {"aspect": 1, "creator": 2}, "diversity": {"kind": "dpp", "price": 0.1}}
    if kind == "uniform":
        del settings["diversity"]
    policy = build_policy(kind, settings, dimension=4)
    again = restore_policy(policy.snapshot())
    assert again.config == policy.config
    assert again.config.to_json()["caps"] == {"aspect": 1, "creator": 2}


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        *itertools.product(("lin_ucb", "square_cb"), ("shared", "disjoint", "hybrid")),
        *itertools.product(("thompson",), ("shared", "disjoint")),
    ],
)
@pytest.mark.parametrize("factor", [-100.0, -0.5])
def test_snapshots_whose_sums_no_rows_give_are_refused(kind: str, form: str, factor: float) -> None:
    policy = build_policy(kind, {"form": form}, dimension=4)
    policy.learn(example_outcomes(1, slates=20, dimension=4))
    good = policy.snapshot()
    for name in ("gram", "item_cross"):
        if name in good.arrays:
            bad = replace(good, arrays={**good.arrays, name: good.arrays[name] * factor})
            with pytest.raises(SnapshotError, match="features must be of moderate size, got sums"):
                restore_policy(bad)


@pytest.mark.parametrize(
    ("name", "change"), [("inverse", 1.0 + 1e-6), ("theta", 1.0 + 1e-6), ("moments", 2.0)]
)
def test_shared_solutions_that_do_not_follow_from_their_sums_are_refused(
    name: str, change: float
) -> None:
    policy = LinUCB(LinUCBConfig(form="shared"), dimension=4)
    policy.learn(example_outcomes(1, slates=20, dimension=4))
    good = policy.snapshot()
    # Another machine may round the last bits in another way.
    close = replace(good, arrays={**good.arrays, "theta": good.arrays["theta"] * (1.0 + 1e-12)})
    assert restore_policy(close).snapshot().content_hash == close.content_hash
    bad = replace(good, arrays={**good.arrays, name: good.arrays[name] * change})
    with pytest.raises(SnapshotError, match="must follow from its sums"):
        restore_policy(bad)
