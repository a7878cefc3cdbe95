"""Every combination of rule, redundancy and constraint, against plain Python that shares no code.

Five candidates in three slots: all slates, empty slots included, are listed and added up.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest

from matinee_policies.diversity import DPP, MMR, Calibrated, Caps, Diversity, XQuAD
from matinee_policies.errors import ContextError
from matinee_policies.records import PAD, ContextBatch, ItemTraits
from matinee_policies.rules import (
    Rule,
    epsilon_rule,
    inverse_gap_rule,
    softmax_rule,
    upper_bound_rule,
    votes_rule,
)
from matinee_policies.slate import (
    SlateProblem,
    exploration_cost,
    next_law,
    sample_slates,
    score_slates,
)
from matinee_policies.testing import conditional_p_value
from matinee_policies.testing_data import example_contexts, example_keys
from matinee_policies.testing_slates import PlainSlate

K, L, MEMBERS = 5, 3, 7

RULES = {
    "upper bound": upper_bound_rule(),
    "floored upper bound": upper_bound_rule(floor=0.1),
    "epsilon": epsilon_rule(0.4, floor=0.02),
    "softmax": softmax_rule(0.3, floor=0.05),
    "softmax on a budget": softmax_rule(0.3, floor=0.05, budget=0.6),
    "inverse gap": inverse_gap_rule(12.0, floor=0.05),
    "inverse gap on a budget": inverse_gap_rule(12.0, budget=0.5),
    "votes": votes_rule(),
    "votes on a budget": votes_rule(floor=0.05, budget=0.7),
}
KINDS: dict[str, Diversity] = {
    "none": MMR(price=0),
    "mmr": MMR(price=0.5),
    "dpp": DPP(price=0.2),
    "calibrated": Calibrated(price=0.3, smoothing=0.05),
    "xquad": XQuAD(price=0.6),
}
CONSTRAINTS = ("none", "eligible", "pins", "pin of the last slot", "caps", "all")


def contexts_under(constraint: str) -> ContextBatch:
    """One decision over items of three aspects and two creators; one item has no vector."""
    plain = example_contexts(21, decisions=1, candidates=K, dimension=1)
    rng = np.random.default_rng(4)
    aspects = rng.random((40, 3)) * (rng.random((40, 3)) < 0.6)
    aspects /= np.maximum(aspects.sum(axis=1, keepdims=True), 1e-9)
    pins = {
        "pins": [PAD, 3, PAD, 0],
        "pin of the last slot": [PAD, PAD, 2],
        "all": [PAD, PAD, 1],
    }.get(constraint)
    barred = {"eligible": (1, 4), "all": (3,)}.get(constraint)
    return ContextBatch(
        candidates=plain.candidates,
        features=plain.features,
        scores=plain.scores,
        embeddings=plain.embeddings,
        traits=ItemTraits(
            aspects.astype(np.float32), rng.integers(-1, 2, size=40).astype(np.int32)
        ),
        interests=np.array([[0.6, 0.0, 0.4]], dtype=np.float32),
        eligible=None if barred is None else ~np.isin(np.arange(K), barred)[None],
        pinned=None if pins is None else np.array([pins], dtype=np.int32),
    )


def problem_of(rule: Rule, kind: Diversity, constraint: str, *, copies: int = 1) -> SlateProblem:
    # Of one decimal, so that members have ties to break.
    members = np.random.default_rng(8).random((1, MEMBERS, K)).round(1)
    caps = Caps(aspect=2, creator=1) if constraint in ("caps", "all") else Caps()
    return SlateProblem(
        contexts_under(constraint).rows(np.zeros(copies, dtype=np.int64)),
        members.mean(axis=1).repeat(copies, axis=0),
        rule,
        kind,
        caps=caps,
        members=members.repeat(copies, axis=0),
    )


def plain_of(problem: SlateProblem) -> PlainSlate:
    """The same decision, as lists."""
    contexts = problem.contexts
    assert contexts.traits is not None
    assert contexts.interests is not None
    assert problem.members is not None
    assert isinstance(problem.diversity, Diversity)
    items = contexts.candidates[0]
    return PlainSlate(
        values=problem.values[0].tolist(),
        members=problem.members[0].tolist(),
        vectors=contexts.embeddings[items].tolist(),
        aspects=contexts.traits.aspects[items].tolist(),
        creators=contexts.traits.creators[items].tolist(),
        interests=contexts.interests[0].tolist(),
        eligible=[True] * K if contexts.eligible is None else contexts.eligible[0].tolist(),
        pinned=[] if contexts.pinned is None else contexts.pinned[0].tolist(),
        caps=(problem.caps.aspect, problem.caps.creator),
        rule=problem.rule,
        diversity=problem.diversity,
        slots=L,
    )


def slates_with_gaps() -> Iterator[tuple[int, ...]]:
    """All slates of distinct positions, with padding anywhere."""
    for slate in itertools.product(range(PAD, K), repeat=L):
        shown = [position for position in slate if position != PAD]
        if len(set(shown)) == len(shown):
            yield slate


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", RULES)
def test_every_law_equals_brute_force(rule: str, kind: str, constraint: str) -> None:
    one = problem_of(RULES[rule], KINDS[kind], constraint)
    plain = plain_of(one)
    # Hundreds of slates share some tens of prefixes.
    law_after, cost_after = cache(plain.law), cache(plain.cost)
    gaps = one.is_constrained()
    slates = [slate for slate in slates_with_gaps() if gaps or PAD not in slate]
    many = problem_of(RULES[rule], KINDS[kind], constraint, copies=len(slates))
    rows = np.array(slates, dtype=np.int32)
    scored = score_slates(many, rows)
    costs = exploration_cost(many, rows)
    expected, expected_costs = np.empty((len(slates), L)), np.empty(len(slates))
    for row, slate in enumerate(slates):
        prefixes = [slate[:slot] for slot in range(L)]
        laws = [law_after(prefix) for prefix in prefixes]
        expected[row] = [
            law[position] if position != PAD else float(not any(law))
            for law, position in zip(laws, slate, strict=True)
        ]
        expected_costs[row] = math.fsum(cost_after(prefix) for prefix in prefixes)
    np.testing.assert_allclose(scored, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(costs, expected_costs, rtol=0, atol=1e-11)
    assert (costs >= 0.0).all()
    assert math.fsum(scored.prod(axis=1)) == pytest.approx(1.0, rel=0, abs=1e-12)
    mean_cost = math.fsum(expected.prod(axis=1) * costs)
    enumerated = enumerated_cost(law_after, cost_after, ())
    assert mean_cost == pytest.approx(enumerated, rel=0, abs=1e-11)
    # The conditional laws as such, too: the product of all slots says little of the last one.
    for slot in range(L):
        prefixes = sorted({slate[:slot] for slate in slates})
        copies = problem_of(RULES[rule], KINDS[kind], constraint, copies=len(prefixes))
        given = np.array(prefixes, dtype=np.int32).reshape(len(prefixes), slot)
        found = next_law(copies, given, slots=L)
        wanted = [law_after(prefix) for prefix in prefixes]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


Prefix = tuple[int, ...]


def enumerated_cost(
    law_after: Callable[[Prefix], list[float]],
    cost_after: Callable[[Prefix], float],
    prefix: Prefix,
) -> float:
    """Expected cost of the slots after a prefix, by going through all that can follow."""
    if len(prefix) == L:
        return 0.0
    law = law_after(prefix)
    if not any(law):
        return enumerated_cost(law_after, cost_after, (*prefix, PAD))
    return cost_after(prefix) + math.fsum(
        p * enumerated_cost(law_after, cost_after, (*prefix, i)) for i, p in enumerate(law) if p > 0
    )


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("rule", RULES)
def test_drawn_slates_keep_the_constraints_and_score_to_their_propensities(
    rule: str, constraint: str
) -> None:
    for kind in KINDS.values():
        problem = problem_of(RULES[rule], kind, constraint, copies=300)
        slates = sample_slates(problem, slots=L, keys=example_keys(300))
        np.testing.assert_array_equal(score_slates(problem, slates.positions), slates.propensities)
        assert (slates.propensities > 0).all()
        plain = plain_of(problem)
        for slate in {tuple(row) for row in slates.positions.tolist()}:
            shown = [position for position in slate if position != PAD]
            assert len(set(shown)) == len(shown)
            for slot, pin in enumerate(plain.pinned[:L]):
                assert pin in (PAD, slate[slot])
            assert all(plain.eligible[position] for position in shown)
            most_aspect, most_creator = plain.caps
            for g in range(3):
                count = sum(plain.aspects[position][g] > 0 for position in shown)
                assert count <= most_aspect or most_aspect == 0
            for creator in (0, 1):
                count = sum(plain.creators[position] == creator for position in shown)
                assert count <= most_creator or most_creator == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", ["epsilon", "softmax on a budget", "votes on a budget"])
def test_draws_follow_the_law(rule: str, kind: str) -> None:
    problem = problem_of(RULES[rule], KINDS[kind], "pin of the last slot", copies=20_000)
    drawn = sample_slates(problem, slots=L, keys=example_keys(20_000)).positions
    slates = np.array(list(itertools.permutations(range(K), L)), dtype=np.int32)
    # Where no candidate is capped all slots fill, so slates without gaps are all there is.
    assert (drawn != PAD).all()
    laws = score_slates(
        problem_of(RULES[rule], KINDS[kind], "pin of the last slot", copies=60), slates
    )
    for slot in range(L):
        assert conditional_p_value(drawn, slates, laws, slot=slot) > 1e-4


def test_the_cost_of_exploration_is_the_value_that_the_greedy_slate_would_add() -> None:
    """Slates of one slot, no diversity, no floor: best value minus expected value drawn."""
    problem = problem_of(softmax_rule(0.2), MMR(price=0), "none", copies=K)
    singles = np.arange(K, dtype=np.int32)[:, None]
    law = score_slates(problem, singles)[:, 0]
    values = problem.values[0]
    np.testing.assert_allclose(
        exploration_cost(problem, singles), values.max() - law @ values, rtol=0, atol=1e-14
    )


def test_laws_without_exploration_cost_exactly_nothing() -> None:
    rows = np.array(list(itertools.permutations(range(K), L)), dtype=np.int32)
    for kind in KINDS.values():
        for rule in (upper_bound_rule(), softmax_rule(0.1, budget=0.0), votes_rule(budget=0.0)):
            problem = problem_of(rule, kind, "none", copies=len(rows))
            assert (exploration_cost(problem, rows) == 0.0).all()
            assert set(np.unique(score_slates(problem, rows)).tolist()) <= {0.0, 1.0}


def test_pins_that_break_a_cap_by_themselves_are_refused() -> None:
    contexts = contexts_under("pins")
    assert contexts.traits is not None
    contexts.traits.creators[:] = 1
    problem = SlateProblem(contexts, np.zeros((1, K)), upper_bound_rule(), caps=Caps(creator=1))
    # The second pin stands beyond a slate of three slots, and reserves nothing there.
    positions = sample_slates(problem, slots=L, keys=example_keys(1)).positions
    assert positions.tolist() == [[PAD, 3, PAD]]
    with pytest.raises(ContextError, match="pinned items of decision 0 must keep within the caps"):
        sample_slates(problem, slots=4, keys=example_keys(1))


def test_caps_need_traits_and_votes_need_members() -> None:
    contexts = example_contexts(21, decisions=2, candidates=K, dimension=1)
    values = np.zeros((2, K))
    with pytest.raises(ContextError, match="contexts must hold traits where there are caps"):
        SlateProblem(contexts, values, upper_bound_rule(), caps=Caps(aspect=1))
    with pytest.raises(ContextError, match="members must be given to the rule of votes, got None"):
        SlateProblem(contexts, values, votes_rule())
    with pytest.raises(ContextError, match=r"members must be float64 of shape \(2, 1, 5\)"):
        SlateProblem(contexts, values, votes_rule(), members=np.zeros((2, 0, K)))
    members = np.zeros((2, 3, K))
    members[1, 1, 2] = np.nan
    with pytest.raises(ContextError, match="to member 1 must be finite, got nan"):
        SlateProblem(contexts, values, votes_rule(), members=members)


@pytest.mark.parametrize("budget", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("name", ["epsilon", "softmax", "inverse gap", "votes"])
def test_a_slate_keeps_to_its_budget(name: str, constraint: str, budget: float) -> None:
    """The slates that hold any draw but the greedy pick's, at the largest floor and without."""
    for floor in (0.0, 1.0 - (1.0 - budget) ** (1.0 / L)):
        rule = {
            "epsilon": epsilon_rule(budget, floor=floor),
            "softmax": softmax_rule(0.3, floor=floor, budget=budget),
            "inverse gap": inverse_gap_rule(2.0, floor=floor, budget=budget),
            "votes": votes_rule(floor=floor, budget=budget),
        }[name]
        best = problem_of(upper_bound_rule(), MMR(price=0.5), constraint)
        greedy = sample_slates(best, slots=L, keys=example_keys(1)).positions
        slates = [
            slate for slate in slates_with_gaps() if best.is_constrained() or PAD not in slate
        ]
        rows = np.array(slates, dtype=np.int32)
        many = problem_of(rule, MMR(price=0.5), constraint, copies=len(rows))
        chances = score_slates(many, rows).prod(axis=1)
        assert chances.sum() == pytest.approx(1.0, rel=0, abs=1e-12)
        other = chances[(rows != greedy).any(axis=1)].sum()
        assert other <= budget + 1e-12
        if floor > 0.0 and constraint == "none":
            assert other > 0.25 * budget
