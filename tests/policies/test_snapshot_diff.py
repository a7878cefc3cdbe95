import json
from dataclasses import asdict

import numpy as np
import pytest

from matinee_policies import Policy, build_policy
from matinee_policies.features import FEATURE_NAMES
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_coefficients import coefficients
from matinee_policies.snapshot_diff import ArrayChange, FieldChange, diff_snapshots
from matinee_policies.testing_data import example_outcomes
from matinee_policies.vowpal_wabbit import VowpalWabbit

D = len(FEATURE_NAMES)


def snapshot(manifest: dict[str, object], **arrays: np.ndarray) -> Snapshot:
    return Snapshot(kind="a", version=1, arrays=arrays, manifest=manifest)


def taught(kind: str, seed: int, **config: object) -> Policy:
    policy = build_policy(kind, config, dimension=D)
    policy.learn(example_outcomes(seed, slates=40, dimension=D))
    return policy


def test_the_same_content_differs_in_nothing() -> None:
    one = taught("lin_ucb", 1).snapshot()
    found = diff_snapshots(one, taught("lin_ucb", 1).snapshot())
    assert found.equal
    assert asdict(found) == {
        "fields": (),
        "arrays": (),
        "coefficients": (),
        "more_coefficients": 0,
    }


def test_fields_are_told_by_their_path_with_type_and_absence() -> None:
    before = snapshot({"config": {"a": 1, "b": [1, {"c": 2}], "gone": None}, "n": 1, "yes": True})
    after = snapshot({"config": {"a": 1.0, "b": [1, {"c": 3}], "new": []}, "n": 1, "yes": 1})
    found = diff_snapshots(before, after)
    assert {change.name: (change.before, change.after) for change in found.fields} == {
        "config.a": (1, 1.0),
        "config.b[1].c": (2, 3),
        "config.gone": (None, None),
        "config.new": (None, []),
        "yes": (True, 1),
    }
    other = Snapshot(kind="b", version=2, arrays={}, manifest={})
    assert diff_snapshots(snapshot({}), other).fields == (
        FieldChange("kind", "a", "b"),
        FieldChange("version", 1, 2),
    )


def test_differences_of_arrays_are_those_of_plain_python() -> None:
    random = np.random.default_rng(2)
    one = random.normal(size=(5, 4))
    two = np.where(random.random((5, 4)) < 0.5, one, random.normal(size=(5, 4)))
    (change,) = diff_snapshots(snapshot({}, x=one), snapshot({}, x=two)).arrays
    pairs = [(a, b) for a, b in zip(one.flat, two.flat, strict=True) if a != b]
    assert change.entries == len(pairs)
    assert change.absolute == pytest.approx(max(abs(a - b) for a, b in pairs), rel=1e-15)
    relative = max(abs(a - b) / max(abs(a), abs(b)) for a, b in pairs)
    assert change.relative == pytest.approx(relative, rel=1e-15)
    assert change.before == change.after == "float64 [5, 4]"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([0.0, 1.0], [-0.0, 1.0], (1, 0.0, 0.0)),
        ([np.nan, 1.0], [np.nan, 1.0], None),
        ([np.inf, 1.0], [0.0, 1.0], (1, None, None)),
        ([np.inf, 1.0], [0.0, 4.0], (2, 3.0, 0.75)),
        ([1.7e308, 1.0], [-1.7e308, 1.0], (1, None, 2.0)),
    ],
)
def test_numbers_at_the_edge(
    before: list[float], after: list[float], expected: tuple[object, ...] | None
) -> None:
    found = diff_snapshots(snapshot({}, x=np.array(before)), snapshot({}, x=np.array(after))).arrays
    if expected is None:
        assert found == ()
        return
    (change,) = found
    assert (change.entries, change.absolute, change.relative) == expected
    json.dumps(asdict(change), allow_nan=False)


def test_arrays_of_other_shapes_and_bytes_are_told_apart_without_sizes() -> None:
    before = snapshot({}, a=np.zeros(2), b=np.zeros(2), m=np.array([1, 255], dtype=np.uint8))
    after = snapshot({}, a=np.zeros(3), c=np.zeros(2), m=np.array([1, 7], dtype=np.uint8))
    assert diff_snapshots(before, after).arrays == (
        ArrayChange("a", "float64 [2]", "float64 [3]"),
        ArrayChange("b", "float64 [2]", None),
        ArrayChange("c", None, "float64 [2]"),
        ArrayChange("m", "uint8 [2]", "uint8 [2]", 1, None, None),
    )


def test_coefficients_are_named_and_the_largest_changes_come_first() -> None:
    before, after = taught("lin_ucb", 1), taught("lin_ucb", 2)
    found = diff_snapshots(before.snapshot(), after.snapshot(), top=3)
    change = after.theta - before.theta  # type: ignore[attr-defined]
    order = np.argsort(-np.abs(change))
    assert [one.feature for one in found.coefficients] == [FEATURE_NAMES[i] for i in order[:3]]
    assert [one.after - one.before for one in found.coefficients] == change[order[:3]].tolist()
    assert {one.owner for one in found.coefficients} == {"theta"}
    assert found.more_coefficients == D - 3


def test_items_have_coefficients_of_their_own() -> None:
    policy = taught("lin_ucb", 1, form="hybrid", item_features=[1, 4])
    found = coefficients(policy.snapshot())
    items = policy.snapshot().arrays["items"]
    own = policy.item_theta(items)  # type: ignore[attr-defined]
    for item, values in zip(items.tolist(), own.tolist(), strict=True):
        assert found[f"item {item}", "score"].value == values[0]
        assert found[f"item {item}", FEATURE_NAMES[4]].value == values[1]
    assert len(found) == D + 2 * items.size
    # An item that was not there has 0.
    fresh = build_policy("lin_ucb", policy.config.to_json(), dimension=D).snapshot()
    changes = diff_snapshots(fresh, policy.snapshot(), top=10_000).coefficients
    assert {(one.owner, one.feature): one.after for one in changes} == {
        name: one.value for name, one in found.items() if one.value != 0.0
    }


def test_vowpal_wabbits_weights_and_those_of_bases_are_found() -> None:
    policy = taught("vowpal_wabbit", 1)
    assert isinstance(policy, VowpalWabbit)
    found = coefficients(policy.snapshot())
    weights = [found["weights", name].value for name in FEATURE_NAMES]
    assert weights == policy.weights.tolist()
    bases = [{"kind": "lin_ucb"}, {"kind": "lin_ucb", "policy": {"form": "disjoint"}}]
    mixed = coefficients(taught("mixture", 1, bases=bases).snapshot())
    alone = coefficients(taught("lin_ucb", 1).snapshot())
    for name in FEATURE_NAMES:
        assert mixed["base0/theta", name].value == alone["theta", name].value
    assert any(owner.startswith("base1/item ") for owner, _ in mixed)


def test_policies_without_coefficients_or_of_others_have_none() -> None:
    assert coefficients(build_policy("score_order", {}, dimension=D).snapshot()) == {}
    assert coefficients(snapshot({}, theta=np.ones(D))) == {}
    small = build_policy("lin_ucb", {}, dimension=2)
    assert list(coefficients(small.snapshot())) == [("theta", "feature 0"), ("theta", "feature 1")]
