"""Slots that caps, eligibility and pins leave empty are no fault of a policy; others are.

What a class of the user's own says its exploration costs is checked as well.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.plugin_guard import check_slates
from matinee_policies.records import PAD, ItemTraits, SlateBatch
from matinee_policies.registry import build_policy
from matinee_policies.testing_data import example_contexts, example_keys

OWN = """
import numpy as np

from matinee_policies import Caps, Config
from matinee_policies.errors import ContextError
from matinee_policies.rules import softmax_rule
from matinee_policies.value_policy import ValuePolicy, config_of


class Own(ValuePolicy[Config]):
    name = "own"
    config_type = Config
    more = {}

    def __init__(self, config):
        super().__init__(config, rule=softmax_rule(0.1), **self.more)

    def values(self, contexts):
        return contexts.scores.astype(np.float64)

    @classmethod
    def from_snapshot(cls, snapshot):
        return cls(config_of(snapshot, Config, kind=cls.name))


class Choosy(Own):
    def eligible(self, contexts, *, slots):
        return contexts.scores >= 0.8


class Capped(Own):
    more = {"caps": Caps(creator=1)}


class Costly(Own):
    cost = staticmethod(lambda contexts: np.zeros(len(contexts)))

    def exploration_cost(self, contexts, slates):
        return self.cost(contexts)


class CostFails(Own):
    def exploration_cost(self, contexts, slates):
        return {}["cost"]


class CostRefuses(Own):
    def exploration_cost(self, contexts, slates):
        raise ContextError("cannot tell")


class CannotTell(Own):
    exploration_cost = None
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_values.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_values", raising=False)
    return "own_values"


def _check(
    positions: list[int],
    *,
    gaps: bool = False,
    eligible: list[bool] | None = None,
    pinned: list[int] | None = None,
) -> None:
    contexts = replace(
        example_contexts(5, decisions=1, candidates=4, dimension=2),
        eligible=None if eligible is None else np.array([eligible]),
        pinned=None if pinned is None else np.array([pinned], dtype=np.int32),
    )
    places = np.array([positions], dtype=np.int32)
    items = np.where(places < 0, -1, contexts.candidates[0][places]).astype(np.int32)
    slates = SlateBatch(places, items, np.ones(places.shape))
    check_slates(slates, contexts, slots=len(positions), gaps=gaps)


@pytest.mark.parametrize("positions", [[2, -1, 0], [-1, -1, -1], [1, 2, 3], [-1, 3, -1]])
def test_caps_may_leave_any_slot_empty(positions: list[int]) -> None:
    _check(positions, gaps=True)


@pytest.mark.parametrize("positions", [[2, -1, 0], [1, 2, -1], [-1, -1, -1]])
def test_without_caps_a_slot_is_empty_only_when_candidates_have_run_out(
    positions: list[int],
) -> None:
    with pytest.raises(ConfigError, match="positions must be those of candidates, then -1"):
        _check(positions)


def test_only_eligible_candidates_count() -> None:
    eligible = [True, False, True, False]
    _check([2, 0, -1], eligible=eligible)
    for wrong in ([2, 1, -1], [2, 0, 3], [2, -1, -1], [2, -1, 0]):
        with pytest.raises(ConfigError, match="positions must be those"):
            _check(wrong, eligible=eligible)


def test_a_pin_may_stand_below_empty_slots() -> None:
    eligible = [True, False, True, False]
    _check([2, -1, 0], eligible=eligible, pinned=[-1, -1, 0])
    with pytest.raises(ConfigError, match="positions must be those"):
        _check([-1, -1, 0], eligible=eligible, pinned=[-1, -1, 0])


def test_a_policy_may_leave_slots_empty_by_an_eligibility_of_its_own(own: str) -> None:
    policy = build_policy(f"{own}:Choosy", {}, dimension=2)
    contexts = example_contexts(5, decisions=30, candidates=6, dimension=2)
    slates = policy.decide(contexts, slots=4, keys=example_keys(30))
    wanted = np.minimum((contexts.scores >= 0.8).sum(axis=1), 4)
    assert ((slates.positions != PAD).sum(axis=1) == wanted).all()
    assert 0 < wanted.sum() < 4 * 30


def test_a_policy_may_leave_slots_empty_by_caps_that_its_config_does_not_name(own: str) -> None:
    policy = build_policy(f"{own}:Capped", {}, dimension=2)
    contexts = example_contexts(5, decisions=30, candidates=6, dimension=2)
    items = contexts.embeddings.shape[0]
    creators = (np.arange(items) % 2).astype(np.int32)
    contexts = replace(
        contexts, traits=ItemTraits(np.zeros((items, 1), dtype=np.float32), creators)
    )
    slates = policy.decide(contexts, slots=4, keys=example_keys(30))
    shown = [np.unique(creators[row[row != PAD]]).size for row in slates.items]
    assert ((slates.positions != PAD).sum(axis=1) == shown).all()


def test_other_value_policies_must_fill_the_slate(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy: Any = build_policy(f"{own}:Own", {}, dimension=2)
    contexts = example_contexts(5, decisions=3, candidates=6, dimension=2)
    empty = SlateBatch(*(np.full((3, 4), PAD, dtype=np.int32),) * 2, np.ones((3, 4)))
    found = sys.modules[own].Own
    monkeypatch.setattr(found, "decide", lambda *_, **__: empty, raising=False)
    with pytest.raises(ConfigError, match=r"own_values:Own: decide: positions must be those"):
        policy.decide(contexts, slots=4, keys=example_keys(3))


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (lambda _: None, "costs must be an array, got NoneType"),
        (lambda _: np.zeros(2), r"costs must be float64 \(3,\), got float64 \(2,\)"),
        (lambda _: np.zeros(3, dtype=np.float32), "got float32"),
        (lambda _: np.array([0.0, np.nan, 1.0]), "finite, >= 0, got nan for decision 1"),
        (lambda _: np.array([0.0, 0.0, -0.5]), "finite, >= 0, got -0.5 for decision 2"),
    ],
)
def test_a_cost_that_is_none_is_refused(
    own: str, monkeypatch: pytest.MonkeyPatch, cost: Any, message: str
) -> None:
    policy: Any = build_policy(f"{own}:Costly", {}, dimension=2)
    contexts = example_contexts(5, decisions=3, candidates=6, dimension=2)
    slates = policy.decide(contexts, slots=2, keys=example_keys(3)).positions
    assert policy.exploration_cost(contexts, slates).tolist() == [0.0] * 3
    monkeypatch.setattr(sys.modules[own].Costly, "cost", staticmethod(cost))
    with pytest.raises(ConfigError, match=f"^own_values:Costly: exploration_cost: .*{message}"):
        policy.exploration_cost(contexts, slates)


def test_a_failure_to_tell_the_cost_names_class_and_method(own: str) -> None:
    contexts = example_contexts(5, decisions=3, candidates=6, dimension=2)
    slates = np.tile(np.arange(2, dtype=np.int32), (3, 1))
    policy: Any = build_policy(f"{own}:CostFails", {}, dimension=2)
    told = r"^own_values:CostFails: exploration_cost failed: KeyError: 'cost' \(own_values.py"
    with pytest.raises(ConfigError, match=told):
        policy.exploration_cost(contexts, slates)
    policy = build_policy(f"{own}:CostRefuses", {}, dimension=2)
    with pytest.raises(ContextError, match=r"^own_values:CostRefuses: exploration_cost: cannot"):
        policy.exploration_cost(contexts, slates)


def test_a_class_that_cannot_tell_the_cost_stays_so(own: str) -> None:
    policy: Any = build_policy(f"{own}:CannotTell", {}, dimension=2)
    assert policy.exploration_cost is None
