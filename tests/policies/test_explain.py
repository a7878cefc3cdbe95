"""Explanations against the kernels they explain: every kind, every constraint, every departure."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from matinee_policies import PAD, ContextBatch, ContextError, Policy, SlateBatch, build_policy
from matinee_policies.diversity import DPP, MMR, Calibrated, Diversity, XQuAD
from matinee_policies.explain import Explanation, LoggedSlate, explain
from matinee_policies.explain.laws import continuations, is_sampled
from matinee_policies.philox import uniform
from matinee_policies.plugin_guard import guard
from matinee_policies.records import ItemTraits
from matinee_policies.registry import POLICY_KINDS
from matinee_policies.rules import VOTES, fill_law
from matinee_policies.slate_reference import law_reference
from matinee_policies.softmax import Softmax
from matinee_policies.testing_data import example_contexts, example_outcomes
from matinee_policies.value_policy import ValuePolicy

D, L, K = 4, 4, 8
CAPS = {"caps": {"aspect": 3, "creator": 2}}
DIVERSITY: dict[str, Diversity] = {
    "mmr": MMR(price=0.3),
    "dpp": DPP(price=0.1),
    "calibrated": Calibrated(price=0.2, smoothing=0.05),
    "xquad": XQuAD(price=0.4),
}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("uniform", {}),
    ("score_order", {"epsilon": 0.3, "diversity": 0.2}),
    ("softmax", {"temperature": 0.4, "top": 6, "floor": 0.02, "budget": 0.8, "diversity": 0.3}),
    ("new_items", {"power": 1.0, "floor": 0.05}),
    ("epsilon_greedy", {"epsilon": 0.3, "decay_rows": 100, "floor": 0.02, "diversity": 0.1}),
    ("lin_ucb", {"floor": 0.05, "diversity": DIVERSITY["mmr"]}),
    ("lin_ucb", {"form": "hybrid", "floor": 0.05, "diversity": DIVERSITY["dpp"]}),
    ("lin_ucb", {"floor": 0.0, "diversity": DIVERSITY["dpp"]}),
    ("thompson", {"ensemble": 16, "floor": 0.05, "budget": 0.7, "diversity": 0.2}),
    ("thompson", {"ensemble": 16, "form": "disjoint"}),
    ("square_cb", {"floor": 0.05, "budget": 0.9, "diversity": DIVERSITY["calibrated"]}),
    ("linear_softmax", {"alpha": 0.5, "diversity": DIVERSITY["xquad"]}),
    ("logistic", {"exploration": "thompson", "ensemble": 16, "diversity": 0.1}),
    ("logistic", {"exploration": "upper_bound", "floor": 0.1}),
    ("discounted_lin_ucb", {"floor": 0.05, "diversity": 0.1}),
    ("sliding_window_lin_ucb", {"floor": 0.05, "diversity": DIVERSITY["dpp"]}),
    ("vowpal_wabbit", {"exploration": "squarecb", "diversity": 0.1}),
    ("vowpal_wabbit_per_slot", {"exploration": "bag", "members": 3, "floor": 0.1, "bits": 8}),
    (
        "mixture",
        {
            "bases": [
                {"kind": "lin_ucb", "weight": 0.6, "policy": {"floor": 0.1, "diversity": 0.2}},
                {"kind": "uniform", "weight": 0.1},
                {"kind": "softmax", "weight": 0.3, "policy": {"temperature": 0.3}},
            ]
        },
    ),
    ("corral", {"bases": [{"kind": "lin_ucb"}, {"kind": "new_items"}]}),
]
NAMES = [f"{number}-{kind}" for number, (kind, _) in enumerate(SETTINGS)]


def settings_of(kind: str, settings: dict[str, Any], *, capped: bool) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in settings.items():
        plain[name] = value.to_json() if isinstance(value, Diversity) else value
    if not capped:
        return plain
    if kind not in ("mixture", "corral"):
        return {**plain, **CAPS}
    bases = [{**base, "policy": {**base.get("policy", {}), **CAPS}} for base in plain["bases"]]
    return {**plain, "bases": bases}


def policy_of(kind: str, settings: dict[str, Any], *, capped: bool = False) -> Policy:
    policy = build_policy(kind, settings_of(kind, settings, capped=capped), dimension=D)
    policy.learn(example_outcomes(1, slates=60, dimension=D))
    return policy


def context_of(*, ruled: bool, candidates: int = K, padded: int = 0, seed: int = 3) -> ContextBatch:
    plain = example_contexts(seed, decisions=1, candidates=candidates, dimension=D)
    if padded:
        plain.candidates[0, -padded:] = PAD
    rng = np.random.default_rng(4)
    aspects = rng.random((40, 3)) * (rng.random((40, 3)) < 0.6)
    aspects /= np.maximum(aspects.sum(axis=1, keepdims=True), 1e-9)
    traits = ItemTraits(aspects.astype(np.float32), rng.integers(-1, 3, 40).astype(np.int32))
    interests = np.array([[0.6, 0.0, 0.4]], dtype=np.float32)
    context = replace(plain, traits=traits, interests=interests)
    if not ruled:
        return context
    return replace(
        context,
        eligible=~np.isin(np.arange(candidates), (1, 4))[None],
        pinned=np.array([[PAD, 3]], dtype=np.int32),
    )


def decided(policy: Policy, context: ContextBatch, key: int) -> SlateBatch:
    return policy.decide(context, slots=L, keys=np.array([key], dtype=np.uint64))


def logged_of(slates: SlateBatch) -> LoggedSlate:
    return LoggedSlate(
        slates.items[0],
        slates.propensities[0],
        None if slates.base is None else int(slates.base[0]),
        None if slates.base_propensity is None else float(slates.base_propensity[0]),
    )


def situations() -> Iterator[tuple[bool, ContextBatch]]:
    """Whether there are caps, and the decision."""
    yield False, context_of(ruled=False)
    yield False, context_of(ruled=True)
    yield True, context_of(ruled=False)
    yield True, context_of(ruled=True)
    yield False, context_of(ruled=False, padded=5)


def test_every_registered_kind_is_among_those_explained() -> None:
    assert {kind for kind, _ in SETTINGS} == set(POLICY_KINDS)


@pytest.mark.parametrize(("kind", "settings"), SETTINGS, ids=NAMES)
def test_explanations_are_what_the_policy_did(kind: str, settings: dict[str, Any]) -> None:
    for capped, context in situations():
        policy = policy_of(kind, settings, capped=capped)
        for key in (5, 6):
            slates = decided(policy, context, key)
            found = explain(policy, context, slots=L, key=key, logged=logged_of(slates))
            assert found.follows, found.faults
            assert len(found.slots) == L
            propensities = [slot.propensity for slot in found.slots]
            assert propensities == slates.propensities[0].tolist()
            assert [slot.position for slot in found.slots] == slates.positions[0].tolist()
            unkeyed = explain(policy, context, slots=L, logged=logged_of(slates))
            assert unkeyed.follows
            assert [slot.draw for slot in unkeyed.slots] == [None] * L
            json.dumps(found.to_json(), allow_nan=False)
        check_laws(policy, context, found)
        check_draws(policy, found, key)


def check_laws(policy: Policy, context: ContextBatch, found: Explanation) -> None:
    """Each slot sums to 1, is that of every continuation, and follows from the utilities."""
    prefix: list[int] = []
    for slot in found.slots:
        assert abs(slot.law.sum() + slot.empty - 1.0) < 1e-12
        if len(prefix) == prefix.count(PAD) + (context.candidates[0] != PAD).sum():
            assert not slot.law.any()
        else:
            asked = continuations(policy, context, prefix, slots=L)
            np.testing.assert_array_equal(slot.law, asked)
        bases = getattr(policy, "bases", (policy,))
        assert abs(sum(law.odds for law in slot.laws) - 1.0) < 1e-12
        for base, law in zip(bases, slot.laws, strict=True):
            if isinstance(base, ValuePolicy):
                check_utilities(base, context, prefix, law, is_pinned=slot.pin != PAD)
        assert slot.position is not None
        prefix.append(slot.position)


def check_utilities(
    policy: Any, context: ContextBatch, prefix: list[int], law: Any, *, is_pinned: bool
) -> None:
    problem = policy.slate_problem(context, slots=L)
    reference = law_reference(problem, 0, prefix, slots=L)
    np.testing.assert_allclose(law.law, reference, atol=1e-9)
    is_open = np.array([reason is None for reason in law.closed])
    # What the law may draw is what no reason closes, where exploration leaves none out.
    assert not law.law[~is_open].any()
    np.testing.assert_array_equal(np.isnan(law.utility), ~is_open)
    if is_pinned:
        return
    remaining = int(is_open.sum())
    again = np.zeros(len(is_open))
    rule = problem.rule
    weights = rule.uniform_weight(L), rule.exploring_weight(L)
    if remaining:
        if rule.code == VOTES:
            again[:] = law.votes / len(problem.members[0])
        utility = np.where(is_open, law.utility, -np.inf)
        fill_law(utility, remaining, rule.code, float(rule.parameter), *weights, again)
    np.testing.assert_array_equal(law.law, again)


def check_draws(policy: Policy, found: Explanation, key: int) -> None:
    """Uniform numbers are the kernel's, and fall into the interval of the item shown."""
    for slot in found.slots:
        if slot.draw is not None:
            assert slot.draw == uniform(np.uint64(key), np.uint64(slot.slot), np.uint64(0))
            assert slot.interval is not None
            assert found.base is not None
            low, high = slot.interval
            assert low <= slot.draw < high
            law = slot.laws[found.base].law
            assert high - low == pytest.approx(law[slot.position], abs=1e-12)
    if policy.name in ("mixture", "corral"):
        assert found.base_interval is not None
        assert found.base_draw is not None
        assert found.base_interval[0] <= found.base_draw < found.base_interval[1]


@pytest.mark.parametrize(("kind", "settings"), SETTINGS, ids=NAMES)
def test_one_changed_bit_is_named_by_its_slot(kind: str, settings: dict[str, Any]) -> None:
    policy, context = policy_of(kind, settings), context_of(ruled=True)
    slates = decided(policy, context, 9)
    good = logged_of(slates)
    for slot in range(L):
        propensities = good.propensities.copy()
        propensities[slot] = np.nextafter(propensities[slot], 0.0)
        for key in (None, 9):
            changed = replace_logged(good, propensities=propensities)
            found = explain(policy, context, slots=L, key=key, logged=changed)
            assert not found.follows
            assert [bool(one.faults) for one in found.slots] == [n == slot for n in range(L)]
            assert found.faults[0].startswith(f"slot {slot}: propensity is ")
    for slot in (0, 2, 3):
        items = good.items.copy()
        free = [i for i in context.candidates[0, [0, 2, 5, 6, 7]].tolist() if i not in items]
        items[slot] = free[0]
        changed = replace_logged(good, items=items)
        found = explain(policy, context, slots=L, key=9, logged=changed)
        assert not found.follows
        assert not any(one.faults for one in found.slots[:slot])
        assert found.faults[0].startswith(f"slot {slot}: ")


def replace_logged(logged: LoggedSlate, **changes: Any) -> LoggedSlate:
    return replace(logged, **changes)


def test_slates_that_cannot_be_are_told_up_to_where_they_break() -> None:
    policy, context = policy_of("lin_ucb", {"floor": 0.05}), context_of(ruled=False)
    good = logged_of(decided(policy, context, 9))
    for item, words in ((int(good.items[0]), "in the slate already"), (999, "is no candidate")):
        items = good.items.copy()
        items[1] = item
        found = explain(policy, context, slots=L, key=9, logged=replace(good, items=items))
        assert (len(found.slots), found.follows) == (2, False)
        assert words in found.faults[0]
        assert "no slate goes on like that" in found.faults[-1]
        json.dumps(found.to_json(), allow_nan=False)
    items = good.items.copy()
    items[1] = PAD
    found = explain(policy, context, slots=L, key=9, logged=replace(good, items=items))
    assert found.faults[0].startswith("slot 1: the draw gives item ")
    assert found.faults[0].endswith("the slate has nothing")


def test_a_changed_base_is_told() -> None:
    kind, settings = SETTINGS[-2]
    policy, context = policy_of(kind, settings), context_of(ruled=False)
    good = logged_of(decided(policy, context, 9))
    assert good.base is not None
    other = (good.base + 1) % 3
    found = explain(policy, context, slots=L, key=9, logged=replace(good, base=other))
    assert found.faults == (f"base: the draw gives base {good.base}, the log has {other}",)
    found = explain(policy, context, slots=L, logged=replace(good, base=7))
    assert found.faults == ("base: there is no base 7",)
    assert found.base is None
    wrong = replace(good, base_propensity=0.5)
    found = explain(policy, context, slots=L, key=9, logged=wrong)
    assert found.faults[0].endswith("the log has 0.5")


def test_another_key_or_state_does_not_lead_to_the_slate() -> None:
    kind, settings = "softmax", {"temperature": 0.5}
    policy, context = policy_of(kind, settings), context_of(ruled=False)
    good = logged_of(decided(policy, context, 9))
    assert explain(policy, context, slots=L, logged=good).follows
    assert not explain(policy, context, slots=L, key=10, logged=good).follows
    other = policy_of(kind, {"temperature": 0.6})
    assert not explain(other, context, slots=L, logged=good).follows


def test_every_reason_to_close_a_candidate_is_told() -> None:
    rules = set()
    for caps in ({"aspect": 1}, {"creator": 1}):
        policy = policy_of("softmax", {"top": 4, "caps": caps})
        context = context_of(ruled=True, candidates=20, padded=2)
        found = explain(policy, context, slots=L, key=3)
        for slot in found.slots:
            closed = slot.laws[0].closed
            rules |= {reason.rule for reason in closed if reason is not None}
            assert closed[3] is None or slot.slot != 1
    words = "padding shown pinned not_eligible left_out aspect_cap creator_cap slot_pinned"
    assert rules == set(words.split())


class Backwards(Softmax):
    """A user's class whose slates are no longer those of its values."""

    def propensities(self, contexts: ContextBatch, slates: Any) -> Any:
        return super().propensities(replace(contexts, scores=1 - contexts.scores), slates)

    def decide(self, contexts: ContextBatch, *, slots: int, keys: Any) -> SlateBatch:
        return super().decide(replace(contexts, scores=1 - contexts.scores), slots=slots, keys=keys)


def test_classes_of_the_users_own_are_explained_by_their_propensities() -> None:
    policy, context = guard(Backwards(), "shop:Backwards"), context_of(ruled=False)
    assert not is_sampled(policy)
    assert is_sampled(guard(Softmax(), "shop:Same"))
    slates = decided(policy, context, 4)
    found = explain(policy, context, slots=L, key=4, logged=logged_of(slates))
    assert found.follows, found.faults
    assert found.policies[0].values is None
    assert [slot.draw for slot in found.slots] == [None] * L
    assert [slot.drawn for slot in found.slots] == slates.positions[0].tolist()
    assert all(abs(slot.law.sum() - 1.0) < 1e-12 for slot in found.slots)


def test_values_means_and_widths_are_the_policys() -> None:
    policy: Any = policy_of("lin_ucb", {"alpha": 0.5})
    context = context_of(ruled=False)
    (told,) = explain(policy, context, slots=L, key=1).policies
    assert told.values is not None
    assert told.means is not None
    assert told.widths is not None
    np.testing.assert_array_equal(told.values, policy.values(context)[0])
    np.testing.assert_allclose(told.means + 0.5 * told.widths, told.values, rtol=1e-12)
    assert told.rule is not None
    assert told.rule["name"] == "greedy"
    voters = explain(policy_of("thompson", {"ensemble": 16}), context, slots=L, key=1)
    assert voters.policies[0].members is not None
    assert [
        int(slot.laws[0].votes.sum()) for slot in voters.slots if slot.laws[0].votes is not None
    ] == [16] * L


def test_what_cannot_be_explained_is_refused() -> None:
    policy, context = policy_of("lin_ucb", {}), context_of(ruled=False)
    with pytest.raises(ContextError, match="a key or a logged slate must be given"):
        explain(policy, context, slots=L)
    with pytest.raises(ContextError, match="context must be of one decision, got 2"):
        explain(policy, context.rows(np.zeros(2, dtype=np.int64)), slots=L, key=1)
    logged = logged_of(decided(policy, context, 1))
    with pytest.raises(ContextError, match="must have 2 slots"):
        explain(policy, context, slots=2, logged=logged)
