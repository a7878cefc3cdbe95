import numpy as np
import pytest

from matinee_policies import (
    POLICY_KINDS,
    ConfigError,
    LinUCB,
    Snapshot,
    SnapshotError,
    build_policy,
    restore_policy,
)
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_every_kind_is_built_from_defaults_and_restored(kind: str) -> None:
    policy = build_policy(kind, {}, dimension=4)
    assert policy.name == kind
    policy.learn(example_outcomes(0, slates=30, dimension=4))
    restored = restore_policy(policy.snapshot())
    assert type(restored) is type(policy)
    assert restored.config == policy.config
    contexts = example_contexts(0, decisions=5, candidates=8, dimension=4)
    slates = [some.decide(contexts, slots=3, keys=example_keys(5)) for some in (policy, restored)]
    np.testing.assert_array_equal(slates[0].positions, slates[1].positions)


def test_the_kinds_are_those_of_the_configuration_files() -> None:
    kinds = (
        "uniform score_order softmax new_items epsilon_greedy lin_ucb thompson square_cb "
        "linear_softmax logistic discounted_lin_ucb sliding_window_lin_ucb vowpal_wabbit "
        "vowpal_wabbit_per_slot mixture corral"
    )
    assert tuple(kinds.split()) == POLICY_KINDS


def test_unknown_kinds_and_settings_are_refused() -> None:
    kinds = ", ".join(POLICY_KINDS)
    with pytest.raises(ConfigError, match=f"policy must be one of {kinds}, got 'lin_usb'"):
        build_policy("lin_usb", {}, dimension=4)
    with pytest.raises(ConfigError, match=r"LinUCBConfig has no setting 'alfa'; it has .*alpha"):
        build_policy("lin_ucb", {"alfa": 1.0}, dimension=4)
    with pytest.raises(SnapshotError, match=f"snapshot must be of kind {kinds}, got 'vw'"):
        restore_policy(Snapshot(kind="vw", version=1, arrays={}, manifest={}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": None}, "must hold a config, got None"),
        ({"config": {"alpha": -1}}, "alpha must be >= 0, got -1"),
        ({"config": {"gamma": 1}}, "has no setting 'gamma'"),
        ({"dimension": 4.5}, "dimension must be a whole number, got 4.5"),
        ({"dimension": 3}, r"'gram' must be float64 \(64, 3, 3\), got float64 \(64, 4, 4\)"),
        ({"rows": None}, "rows must be a whole number, got None"),
    ],
)
def test_inconsistent_snapshots_are_refused(change: dict[str, object], message: str) -> None:
    good = LinUCB(dimension=4).snapshot()
    bad = Snapshot(
        kind=good.kind,
        version=good.version,
        arrays=good.arrays,
        manifest={**good.manifest, **change},
    )
    with pytest.raises(SnapshotError, match=message):
        restore_policy(bad)
