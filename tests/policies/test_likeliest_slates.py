"""Slates without exploration: the likeliest item slot by slot, whatever the rule."""

from typing import Any

import numpy as np
import pytest

from matinee_policies.errors import ConfigError
from matinee_policies.likeliest_slates import has_likeliest, likeliest_slates
from matinee_policies.records import PAD
from matinee_policies.registry import build_policy
from matinee_policies.testing_data import example_contexts
from matinee_policies.value_policy import ValuePolicy

SLOTS = 4


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("score_order", {"epsilon": 0.3}),
        ("score_order", {"diversity": 0.4}),
        ("softmax", {"temperature": 0.2, "diversity": 0.2}),
        ("square_cb", {}),
        ("lin_ucb", {"alpha": 0.5}),
        ("thompson", {}),
    ],
)
def test_every_slot_shows_the_likeliest_item(kind: str, config: dict[str, Any]) -> None:
    policy = build_policy(kind, config, dimension=3)
    assert isinstance(policy, ValuePolicy)
    contexts = example_contexts(5, decisions=30, candidates=12, dimension=3)
    slates = likeliest_slates(policy, contexts, slots=SLOTS)
    positions = (contexts.candidates[:, None, :] == slates[:, :, None]).argmax(axis=2)
    for slot in range(SLOTS):
        prefix = positions[:, :slot].astype(np.int32)
        law = policy.next_law(contexts, prefix, slots=SLOTS)
        chosen = np.take_along_axis(law, positions[:, [slot]], axis=1)[:, 0]
        # Where nothing is learned all are alike, but for rounding.
        assert (chosen >= law.max(axis=1) * (1 - 1e-12)).all()
    assert (slates != PAD).all()


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("uniform", {}),
        ("mixture", {"bases": [{"kind": "score_order", "weight": 0.5}] * 2}),
    ],
)
def test_a_policy_that_likes_nothing_best_is_refused(kind: str, config: dict[str, Any]) -> None:
    policy = build_policy(kind, config, dimension=3)
    assert not has_likeliest(policy)
    with pytest.raises(ConfigError, match="no slate that it likes best"):
        likeliest_slates(
            policy, example_contexts(1, decisions=1, candidates=5, dimension=3), slots=2
        )
