"""The budget of a slate, through the policies that take one."""

import numpy as np
import pytest

from matinee_policies import ValuePolicy, build_policy
from matinee_policies.testing_data import example_contexts, example_outcomes


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("softmax", {"temperature": 5.0}),
        ("linear_softmax", {"temperature": 5.0}),
        ("square_cb", {"gamma_scale": 0.0}),
        ("thompson", {"scale": 50.0}),
    ],
)
def test_a_budget_bounds_how_often_a_slate_is_not_the_greedy_one(
    kind: str, settings: dict[str, float]
) -> None:
    """Each of these laws is wide without one."""
    contexts = example_contexts(5, decisions=1, candidates=5, dimension=4)
    prefix = np.zeros((1, 0), dtype=np.int32)

    def law(budget: float) -> np.ndarray:
        policy = build_policy(kind, {**settings, "budget": budget}, dimension=4)
        policy.learn(example_outcomes(1, slates=50, dimension=4))
        assert isinstance(policy, ValuePolicy)
        return np.asarray(policy.next_law(contexts, prefix, slots=2)[0])

    assert law(1.0).max() < 0.6
    assert sorted(law(0.0)) == [0.0, 0.0, 0.0, 0.0, 1.0]
    # Two slots share the budget: (1 - b)^2 = 1 - 0.19.
    np.testing.assert_allclose(law(0.19), 0.9 * law(0.0) + 0.1 * law(1.0), rtol=1e-12)
