"""Laws along slates, against those that `explain` tells of one decision, for every kind."""

from typing import Any

import numpy as np
import pytest

from matinee_policies.errors import ContextError
from matinee_policies.explain import LoggedSlate, explain
from matinee_policies.policy import Policy
from matinee_policies.records import PAD
from matinee_policies.registry import build_policy
from matinee_policies.slot_laws import rows_at_once, slot_laws
from matinee_policies.testing_data import example_contexts

D, K, L = 3, 6, 3
KINDS: dict[str, dict[str, Any]] = {
    "softmax": {"temperature": 0.5},
    "score_order": {"epsilon": 0.2},
    "epsilon_greedy": {"epsilon": 0.3, "diversity": 0.4},
    "thompson": {},
    "vowpal_wabbit_per_slot": {},
    "mixture": {
        "bases": [
            {"kind": "softmax", "weight": 0.5, "policy": {"top": 4}},
            {"kind": "score_order", "weight": 0.5, "policy": {"epsilon": 0.5}},
        ]
    },
}


class Foreign:
    """Of no class of ours: it is known by its verbs alone."""

    def __init__(self, own: Policy) -> None:
        self.own, self.name, self.config, self.learns = own, "foreign", own.config, False

    def propensities(self, contexts: object, slates: object) -> object:
        return self.own.propensities(contexts, slates)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_laws_are_those_that_are_explained(kind: str) -> None:
    policy = build_policy(kind, KINDS[kind], dimension=D)
    contexts = example_contexts(5, decisions=4, candidates=K, dimension=D)
    rng = np.random.default_rng(2)
    slates = np.stack([rng.permutation(K)[:L] for _ in range(4)]).astype(np.int32)
    found = slot_laws(policy, contexts, slates)
    assert (found.propensities == policy.propensities(contexts, slates)).all()
    for row in range(4):
        one = contexts.rows(np.array([row]))
        logged = LoggedSlate(one.candidates[0, slates[row]], found.propensities[row])
        told = explain(policy, one, slots=L, logged=logged)
        for slot in told.slots:
            np.testing.assert_allclose(found.law(slot.slot)[row], slot.law, rtol=1e-12, atol=1e-15)


def test_a_policy_of_ones_own_is_asked_for_each_candidate() -> None:
    own = build_policy("softmax", {"temperature": 0.5}, dimension=D)
    foreign: Policy = Foreign(own)  # type: ignore[assignment]
    # With fewer candidates than slots, slates end in padding.
    for candidates in (K, 2):
        contexts = example_contexts(5, decisions=3, candidates=candidates, dimension=D)
        slates = np.full((3, L), PAD, dtype=np.int32)
        slates[:, : min(L, candidates)] = np.arange(min(L, candidates))
        ours, asked = slot_laws(own, contexts, slates), slot_laws(foreign, contexts, slates)
        for slot in range(L):
            np.testing.assert_allclose(asked.law(slot), ours.law(slot), rtol=1e-12)


def test_a_mixture_has_no_law_where_no_base_could_be() -> None:
    bases = [
        {"kind": "softmax", "weight": 0.5, "policy": {"top": 2}},
        {"kind": "softmax", "weight": 0.5, "policy": {"top": 3}},
    ]
    policy = build_policy("mixture", {"bases": bases}, dimension=D)
    contexts = example_contexts(5, decisions=1, candidates=K, dimension=D)
    worst = np.argsort(contexts.scores[0])[:2].astype(np.int32)
    found = slot_laws(policy, contexts, worst[None, :])
    assert found.law(0).sum() == pytest.approx(1.0)
    assert not found.law(1).any()


def test_slates_that_are_none_are_refused() -> None:
    contexts = example_contexts(5, decisions=1, candidates=K, dimension=D)
    with pytest.raises(ContextError, match="slates"):
        slot_laws(build_policy("softmax", {}, dimension=D), contexts, np.zeros((1, 2), np.int32))


def test_ensembles_take_fewer_rows_at_once() -> None:
    thompson = build_policy("thompson", {}, dimension=D)
    assert (
        1
        <= rows_at_once(thompson, candidates=100)
        <= rows_at_once(build_policy("softmax", {}, dimension=D), candidates=100)
    )
