from collections.abc import Sequence

import numpy as np

from matinee_policies import ContextBatch, Policy, Uniform
from matinee_policies.testing import PolicyContract, all_slates
from matinee_policies.testing_data import example_contexts, rows_of


class TestUniform(PolicyContract):
    def make_policy(self) -> Policy:
        return Uniform()

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        remaining = 5 - len(prefix)
        return [0.0 if position in prefix else 1.0 / remaining for position in range(5)]


def test_every_slate_is_equally_likely() -> None:
    contexts = example_contexts(0, decisions=1, candidates=5, dimension=2)
    slates = all_slates(5, 3)
    many = rows_of(contexts, np.zeros(60, dtype=np.int64))
    products = Uniform().propensities(many, slates).prod(axis=1)
    np.testing.assert_allclose(products, 1 / 60, rtol=1e-14)
