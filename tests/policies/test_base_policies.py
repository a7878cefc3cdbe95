"""Settings and states of the policies inside a mixture: kept, or refused by name."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_policies import (
    ConfigError,
    ContextError,
    Corral,
    CorralConfig,
    EpsilonGreedy,
    LinUCB,
    LinUCBConfig,
    Mixture,
    MixtureConfig,
    Snapshot,
    SnapshotError,
    Softmax,
    SoftmaxConfig,
    Uniform,
    build_policy,
    restore_policy,
)
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes

D = 4
SOFTMAX: dict[str, Any] = {"kind": "softmax", "policy": {"temperature": 0.2, "floor": 0.1}}
LIN_UCB: dict[str, Any] = {"kind": "lin_ucb", "policy": {"alpha": 0.5}}
UNIFORM: dict[str, Any] = {"kind": "uniform"}


def mixture_of(*bases: Mapping[str, Any]) -> Mixture:
    return Mixture(MixtureConfig.from_json({"bases": list(bases)}), dimension=D)


def corral_of(*bases: Mapping[str, Any]) -> Corral:
    return Corral(CorralConfig.from_json({"bases": list(bases)}), dimension=D)


REFUSES = """
from matinee_policies import ContextError, Uniform, UniformConfig


class Refuses(Uniform):
    config_type = UniformConfig
    learns = True

    def learn(self, outcomes):
        raise ContextError("too many, got them")


class Fresh(Uniform):
    config_type = UniformConfig
"""


@pytest.fixture
def own_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_bases.py").write_text(REFUSES, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_bases", raising=False)


@pytest.mark.parametrize("make", [mixture_of, corral_of])
def test_a_base_that_refuses_outcomes_leaves_all_as_they_were(own_classes: None, make: Any) -> None:
    bases: list[dict[str, Any]] = [LIN_UCB, {"kind": "own_bases:Refuses"}, LIN_UCB]
    if make is mixture_of:
        bases = [
            {**base, "weight": weight}
            for base, weight in zip(bases, (0.25, 0.5, 0.25), strict=True)
        ]
    policy = make(*bases)
    before = policy.snapshot().content_hash
    with pytest.raises(
        ContextError, match=r"^base 1 \(own_bases:Refuses\): own_bases:Refuses: learn: too many"
    ):
        policy.learn(example_outcomes(1, slates=20, dimension=D))
    assert policy.snapshot().content_hash == before
    assert policy.weights.sum() == pytest.approx(1.0)


def test_a_class_of_the_users_own_is_restored_if_the_config_names_it(own_classes: None) -> None:
    config: dict[str, Any] = {
        "bases": [
            {"kind": "own_bases:Fresh", "weight": 0.5},
            {**SOFTMAX, "weight": 0.5},
        ]
    }
    policy = build_policy("mixture", config, dimension=D)
    snapshot = policy.snapshot()
    del sys.modules["own_bases"]
    with pytest.raises(
        SnapshotError, match=r"class own_bases:Fresh, which the config in use must name; .* none"
    ):
        restore_policy(snapshot, kind="mixture")
    with pytest.raises(SnapshotError, match="class own_bases:Fresh"):
        Mixture.from_snapshot(snapshot)
    assert "own_bases" not in sys.modules
    restored = restore_policy(snapshot, kind="mixture", config=config)
    assert restored.snapshot().content_hash == snapshot.content_hash
    contexts = example_contexts(3, decisions=30, candidates=6, dimension=D)
    first, second = (
        some.decide(contexts, slots=3, keys=example_keys(30)) for some in (policy, restored)
    )
    np.testing.assert_array_equal(first.positions, second.positions)
    np.testing.assert_array_equal(first.propensities, second.propensities)


@pytest.mark.parametrize(
    ("bases", "message"),
    [
        ([{**UNIFORM, "weight": 1.0}], "must be a list of 2 to 16 policies, got 1 of them"),
        ([{**UNIFORM, "weight": 1 / 17}] * 17, "2 to 16 policies, got 17 of them"),
        ("uniform", "must be a list of 2 to 16 policies, got 'uniform'"),
        (["uniform", "softmax"], "base 0 must be a mapping with a kind, got 'uniform'"),
        ([{"weight": 0.5}] * 2, "base 0 must have a kind"),
        ([{**UNIFORM, "weight": 0.5}, {**UNIFORM, "weight": 0.4}], "sum to 1, got 0.9"),
        ([{**UNIFORM, "weight": 0.5}, {**UNIFORM, "weight": 0.5 + 2e-9}], "must sum to 1"),
        ([{**UNIFORM, "weight": 1.0}, {**UNIFORM, "weight": 0.0}], "base 0: weight must be < 1"),
        ([{**UNIFORM, "weight": 1.5}, {**UNIFORM, "weight": -0.5}], "weight must be < 1, got 1.5"),
        ([{**UNIFORM, "weight": "half"}] * 2, "weight must be a finite number, got 'half'"),
        ([{**UNIFORM, "share": 0.5}] * 2, "base 0: WeightedBase has no setting 'share'"),
        ([{"kind": "mixture", "weight": 0.5}] * 2, "that is no mixture, got 'mixture'"),
        ([{"kind": "corral", "weight": 0.5}] * 2, "that is no mixture, got 'corral'"),
        ([{"kind": "lin_usb", "weight": 0.5}] * 2, r"base 0 \(lin_usb\): policy must be one of"),
        (
            [
                {**UNIFORM, "weight": 0.5},
                {"kind": "lin_ucb", "weight": 0.5, "policy": {"alpha": -1}},
            ],
            r"base 1 \(lin_ucb\): alpha must be >= 0, got -1",
        ),
        ([{**UNIFORM, "weight": 0.5, "policy": [1]}] * 2, "policy of a base must be a mapping"),
        (
            [{**UNIFORM, "weight": 0.5, "policy": {"x": math.nan}}] * 2,
            "policy of a base must be JSON",
        ),
    ],
)
def test_bad_bases_are_refused(bases: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_policy("mixture", {"bases": bases}, dimension=D)


def test_caps_that_differ_are_refused() -> None:
    capped = {"kind": "lin_ucb", "weight": 0.5, "policy": {"caps": {"aspect": 2, "creator": 0}}}
    with pytest.raises(ConfigError, match="caps of all bases must be equal"):
        mixture_of(capped, {**UNIFORM, "weight": 0.5})
    mixture_of(capped, {**capped, "weight": 0.5})


def test_the_config_holds_what_was_asked() -> None:
    bases = [{**SOFTMAX, "weight": 0.25}, {**UNIFORM, "weight": 0.75}]
    config = MixtureConfig.from_json({"bases": bases})
    assert json.loads(json.dumps(config.to_json())) == {
        "bases": [{**SOFTMAX, "weight": 0.25}, {**UNIFORM, "weight": 0.75, "policy": {}}]
    }
    policy = Mixture(config, dimension=D)
    assert policy.get_params() == {"bases": config.bases}
    assert isinstance(policy.bases[0], Softmax)
    assert policy.bases[0].config == SoftmaxConfig(temperature=0.2, floor=0.1)
    assert isinstance(policy.bases[1], Uniform)
    assert not policy.learns


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bases": None}, "must hold 2 bases, got None"),
        ({"bases": [1, 2]}, r"base 0 \(lin_ucb\): it must have kind, version and manifest, got 1"),
        ({"dimension": None}, "dimension must be a whole number, got None"),
        ({"config": {"bases": []}}, "must be a list of 2 to 16 policies"),
        ({"steps": -1}, "steps must be >= 0, got -1"),
    ],
)
def test_inconsistent_states_are_refused(change: Mapping[str, Any], message: str) -> None:
    good = corral_of(LIN_UCB, UNIFORM).snapshot()
    bad = Snapshot(
        kind=good.kind,
        version=good.version,
        arrays=good.arrays,
        manifest={**good.manifest, **change},
    )
    with pytest.raises(SnapshotError, match=message):
        restore_policy(bad)


def test_states_of_many_bases_are_kept_apart() -> None:
    bases = [
        {"kind": "epsilon_greedy", "weight": 1 / 12, "policy": {"l2": 1.0 + number}}
        for number in range(12)
    ]
    policy = mixture_of(*bases)
    policy.learn(example_outcomes(1, slates=50, dimension=D))
    restored = restore_policy(policy.snapshot())
    assert isinstance(restored, Mixture)
    thetas = [
        [base.theta.tolist() for base in some.bases if isinstance(base, EpsilonGreedy)]
        for some in (policy, restored)
    ]
    assert thetas[0] == thetas[1]
    assert len({tuple(theta) for theta in thetas[0]}) == 12


def test_states_of_other_bases_are_refused() -> None:
    good = corral_of(LIN_UCB, UNIFORM).snapshot()
    bases = list(good.manifest["bases"])
    other = LinUCB(LinUCBConfig(alpha=0.7), dimension=D).snapshot()
    swapped = {"kind": other.kind, "version": other.version, "manifest": other.manifest}
    for documents, message in (
        (
            [bases[1], bases[1]],
            r"base 0 \(lin_ucb\): its state must be of kind 'lin_ucb', got 'uni",
        ),
        ([swapped, bases[1]], r"base 0 \(lin_ucb\): its state must have the settings"),
    ):
        bad = Snapshot(
            kind=good.kind,
            version=good.version,
            arrays=good.arrays,
            manifest={**good.manifest, "bases": documents},
        )
        with pytest.raises(SnapshotError, match=message):
            restore_policy(bad)


def test_our_own_policies_learn_without_snapshots_and_all_or_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds: tuple[dict[str, Any], ...] = (
        {"kind": "lin_ucb", "policy": {"form": "disjoint"}},
        {"kind": "lin_ucb", "policy": {"form": "hybrid"}},
        {"kind": "thompson"},
        {"kind": "logistic"},
        {"kind": "sliding_window_lin_ucb"},
        {"kind": "discounted_lin_ucb"},
    )
    policy = corral_of(*kinds)
    alone = [build_policy(base["kind"], base.get("policy", {}), dimension=D) for base in kinds]
    outcomes = example_outcomes(1, slates=30, dimension=D)
    with monkeypatch.context() as patch:
        for base in policy.bases:
            patch.setattr(type(base), "snapshot", lambda self: pytest.fail("a snapshot was taken"))
        policy.learn(outcomes)
    for base in alone:
        base.learn(outcomes)
    before = policy.snapshot().content_hash
    for got, expected in zip(policy.bases, alone, strict=True):
        assert got.snapshot().content_hash == expected.snapshot().content_hash
    # The last of them alone needs days.
    with pytest.raises(ContextError, match=r"^base 4 \(sliding_window_lin_ucb\): days"):
        policy.learn(replace(outcomes, days=None))
    high = replace(outcomes, rewards=outcomes.rewards + outcomes.shown)
    with pytest.raises(ContextError):
        policy.learn(high)
    assert policy.snapshot().content_hash == before
