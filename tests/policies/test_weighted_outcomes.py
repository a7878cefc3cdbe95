"""Weighted rows mean to least squares what weights should, whatever the form of the policy."""

from dataclasses import replace

import numpy as np
import pytest

from matinee_policies.errors import ContextError
from matinee_policies.registry import build_policy
from matinee_policies.testing_data import example_contexts, example_outcomes
from matinee_policies.weighted_outcomes import takes_weights, weighted

D = 4


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("lin_ucb", {"form": "shared"}),
        ("lin_ucb", {"form": "disjoint"}),
        ("epsilon_greedy", {"form": "hybrid"}),
        ("discounted_lin_ucb", {}),
        ("sliding_window_lin_ucb", {}),
    ],
)
def test_a_row_of_weight_four_counts_as_four_rows(kind: str, settings: dict[str, str]) -> None:
    outcomes = example_outcomes(3, slates=30, dimension=D)
    times = np.tile(np.array([1.0, 4.0, 0.0]), (30, 1))
    repeated = outcomes.rows(np.repeat(np.arange(30), 4))
    copy = np.tile(np.arange(4), 30)
    shown = repeated.shown & (copy[:, None] < np.tile([1, 4, 0], (120, 1)))
    by_weight, by_rows = (build_policy(kind, settings, dimension=D) for _ in range(2))
    by_weight.learn(weighted(outcomes, times))
    by_rows.learn(replace(repeated, shown=shown))
    contexts = example_contexts(4, decisions=20, candidates=30, dimension=D)
    found, wanted, new = (
        policy.values(contexts)  # type: ignore[attr-defined]
        for policy in (by_weight, by_rows, build_policy(kind, settings, dimension=D))
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
    assert not np.array_equal(found, new)


def test_which_policies_take_weights() -> None:
    kinds = ("lin_ucb", "thompson", "discounted_lin_ucb", "logistic", "uniform", "corral")
    found = {kind: takes_weights(build_policy(kind, {}, dimension=D)) for kind in kinds}
    assert found == {
        "lin_ucb": True,
        "thompson": True,
        "discounted_lin_ucb": True,
        "logistic": False,
        "uniform": True,
        "corral": False,
    }
    for kind, takes in (("lin_ucb", True), ("logistic", False)):
        bases = [{"kind": kind, "weight": 0.5}, {"kind": "uniform", "weight": 0.5}]
        mixture = build_policy("mixture", {"bases": bases}, dimension=D)
        assert takes_weights(mixture) is takes


def test_weights_that_are_none_are_refused() -> None:
    outcomes = example_outcomes(3, slates=5, dimension=D)
    with pytest.raises(ContextError, match=r"weights must have shape \(5, 3\)"):
        weighted(outcomes, np.ones((5, 2)))
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(ContextError, match="finite and at least 0, got"):
            weighted(outcomes, np.full((5, 3), bad))
