"""Which policies value candidates by upper bounds, whose exploration is no draw of the law."""

from typing import Any

import pytest

from matinee_policies.registry import POLICY_KINDS, build_policy

BOUNDS: list[tuple[str, dict[str, Any]]] = [
    ("lin_ucb", {}),
    ("lin_ucb", {"form": "disjoint"}),
    ("linear_softmax", {"alpha": 0.5}),
    ("discounted_lin_ucb", {}),
    ("sliding_window_lin_ucb", {}),
    ("logistic", {"exploration": "upper_bound"}),
]


@pytest.mark.parametrize(("kind", "settings"), BOUNDS)
def test_widths_make_bounds(kind: str, settings: dict[str, Any]) -> None:
    policy: Any = build_policy(kind, settings, dimension=3)
    assert policy.values_are_bounds
    policy = build_policy(kind, {**settings, "alpha": 0.0}, dimension=3)
    assert not policy.values_are_bounds


@pytest.mark.parametrize("kind", sorted(set(POLICY_KINDS) - {kind for kind, _ in BOUNDS}))
def test_the_defaults_of_others_are_no_bounds(kind: str) -> None:
    policy: Any = build_policy(kind, {}, dimension=3)
    assert not getattr(policy, "values_are_bounds", False)


@pytest.mark.parametrize("exploration", ["epsilon", "thompson", "softmax", "inverse_gap"])
def test_other_explorations_of_logistic_are_no_bounds(exploration: str) -> None:
    policy: Any = build_policy("logistic", {"exploration": exploration}, dimension=3)
    assert not policy.values_are_bounds


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("lin_ucb", {}, False),
        ("lin_ucb", {"caps": {"creator": 1}}, True),
        ("score_order", {"caps": {"aspect": 2}}, True),
    ],
)
def test_caps_leave_gaps(kind: str, settings: dict[str, Any], expected: bool) -> None:
    policy: Any = build_policy(kind, settings, dimension=3)
    assert policy.leaves_gaps is expected
