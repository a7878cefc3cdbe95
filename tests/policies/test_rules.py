import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee_policies.errors import ConfigError
from matinee_policies.rules import (
    Rule,
    epsilon_rule,
    fill_law,
    inverse_gap_rule,
    rule_law_reference,
    softmax_rule,
    upper_bound_rule,
    votes_rule,
)
from matinee_policies.testing_laws import (
    plain_greedy_law,
    plain_inverse_gap_law,
    plain_softmax_law,
)

RULES = st.one_of(
    # The share of a slate of up to 20 slots is at least epsilon / 20.
    st.builds(
        lambda epsilon, share: epsilon_rule(epsilon, floor=share * epsilon / 20),
        st.floats(0, 1),
        st.floats(0, 1),
    ),
    st.builds(lambda floor: upper_bound_rule(floor=floor), st.floats(0, 1)),
    st.builds(softmax_rule, st.floats(1e-3, 1e3), floor=st.floats(0, 1)),
    st.builds(inverse_gap_rule, st.floats(0, 1e6), floor=st.floats(0, 1)),
)
UTILITIES = st.lists(
    st.one_of(st.just(-math.inf), st.floats(-100, 100), st.sampled_from([0.0, 1.0])),
    min_size=1,
    max_size=40,
).filter(lambda row: max(row) > -math.inf)


def compiled_law(utility: np.ndarray, rule: Rule, *, slots: int) -> np.ndarray:
    law = np.full(len(utility), np.nan)
    remaining = int((utility > -np.inf).sum())
    weights = rule.uniform_weight(slots), rule.exploring_weight(slots)
    fill_law(utility, remaining, rule.code, float(rule.parameter), *weights, law)
    return law


@settings(max_examples=400, deadline=None, derandomize=True)
@given(row=UTILITIES, rule=RULES, slots=st.integers(1, 20))
def test_laws_sum_to_one_keep_the_floor_and_equal_their_twin(
    row: list[float], rule: Rule, slots: int
) -> None:
    utility = np.array(row)
    is_open = utility > -np.inf
    law = compiled_law(utility, rule, slots=slots)
    assert abs(law.sum() - 1.0) <= 1e-12
    assert (law <= 1.0).all()
    assert (law[~is_open] == 0.0).all()
    assert (law[is_open] >= rule.floor / is_open.sum() * (1 - 1e-15)).all()
    expected = rule_law_reference(utility, rule, slots=slots)
    np.testing.assert_allclose(law, expected, rtol=1e-12, atol=1e-15)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(row=UTILITIES, rule=RULES)
def test_laws_equal_plain_python(row: list[float], rule: Rule) -> None:
    utilities = {place: value for place, value in enumerate(row) if value > -math.inf}
    weight = rule.uniform_weight(4)
    if rule.code == softmax_rule(1.0).code:
        expected = plain_softmax_law(utilities, len(row), temperature=rule.parameter, weight=weight)
    elif rule.code == inverse_gap_rule(1.0).code:
        expected = plain_inverse_gap_law(utilities, len(row), gamma=rule.parameter, weight=weight)
    else:
        expected = plain_greedy_law(utilities, len(row), weight=weight)
    np.testing.assert_allclose(
        compiled_law(np.array(row), rule, slots=4), expected, rtol=0, atol=1e-12
    )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(row=UTILITIES, rule=RULES)
def test_a_better_candidate_is_never_less_likely(row: list[float], rule: Rule) -> None:
    utility = np.array(row)
    law = compiled_law(utility, rule, slots=3)
    order = np.argsort(utility, kind="stable")
    ranked, values = law[order], utility[order]
    # Equal utilities share, or the first takes all; so compare across strict steps only.
    for place in range(1, len(ranked)):
        if values[place] > values[place - 1]:
            assert ranked[place] >= ranked[place - 1] - 1e-15


def test_greedy_ties_go_to_the_lowest_index() -> None:
    law = compiled_law(np.array([-np.inf, 1.0, 2.0, 2.0]), epsilon_rule(0.0), slots=1)
    assert law.tolist() == [0.0, 0.0, 1.0, 0.0]


def test_inverse_gap_by_hand() -> None:
    """Gaps 1 and 3, gamma 2, three candidates: 1/5, 1/9 and the rest."""
    law = compiled_law(np.array([2.0, 3.0, 0.0]), inverse_gap_rule(2.0), slots=1)
    np.testing.assert_allclose(law, [1 / 5, 1 - 1 / 5 - 1 / 9, 1 / 9], rtol=1e-15)


@pytest.mark.parametrize("slots", [1, 3, 10, 100])
@pytest.mark.parametrize("epsilon", [0.0, 1e-12, 0.1, 0.999, 1.0])
def test_the_budget_of_a_slate_is_spread_over_its_slots(epsilon: float, slots: int) -> None:
    weight = epsilon_rule(epsilon).uniform_weight(slots)
    assert (1.0 - weight) ** slots == pytest.approx(1.0 - epsilon, abs=1e-12)
    assert weight == pytest.approx(epsilon / slots, rel=1e-9) if epsilon == 1e-12 else True


@pytest.mark.parametrize("slots", [1, 3, 10])
@pytest.mark.parametrize(
    "build",
    [
        lambda floor: epsilon_rule(0.1, floor=floor),
        lambda floor: softmax_rule(0.3, budget=0.1, floor=floor),
        lambda floor: inverse_gap_rule(9.0, budget=0.1, floor=floor),
        lambda floor: votes_rule(budget=0.1, floor=floor),
    ],
)
def test_a_floor_that_breaks_the_budget_is_refused(
    build: Callable[[float], Rule], slots: int
) -> None:
    share = 1.0 - 0.9 ** (1.0 / slots)
    assert build(share).uniform_weight(slots) == pytest.approx(share)
    assert build(share).exploring_weight(slots) == pytest.approx(share)
    message = (
        rf"floor must be <= 1 - \(1 - \w+\)\^\(1/L\) = {share:.6g} for .* L = {slots} slots, got"
    )
    for weight in (Rule.uniform_weight, Rule.exploring_weight):
        with pytest.raises(ConfigError, match=message):
            weight(build(share * 1.001), slots)


def test_without_a_budget_any_floor_holds() -> None:
    assert softmax_rule(1.0, floor=0.7).uniform_weight(10) == 0.7
    assert upper_bound_rule(floor=0.7).exploring_weight(10) == 0.7


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: epsilon_rule(1.1), "epsilon must be <= 1, got 1.1"),
        (lambda: epsilon_rule(0.1, floor=-1.0), "floor must be >= 0, got -1.0"),
        (lambda: epsilon_rule(0.2, most=0.1), "most must be >= 0.2, got 0.1"),
        (lambda: softmax_rule(0.0), "temperature must be > 0, got 0.0"),
        (lambda: inverse_gap_rule(-2.0), "gamma must be >= 0, got -2.0"),
        (lambda: upper_bound_rule(floor=math.nan), "floor must be a finite number, got nan"),
    ],
)
def test_bad_parameters_are_refused(build: object, message: str) -> None:
    assert callable(build)
    with pytest.raises(ConfigError, match=message):
        build()
