"""The optimum of the tabular world against linear programming, policy iteration and identities."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from matinee_policies.errors import ConfigError, ContextError
from matinee_simulator.tabular import (
    ACTIONS,
    START,
    STATES,
    Solution,
    TabularModel,
    TabularParameters,
    fixed_action,
    greedy,
    myopic_clicks,
    myopic_satisfaction,
    occupancy,
    policy_evaluation,
    shares_of_optimum,
    state_number,
    undiscounted_evaluation,
    uniform_law,
    value_iteration,
)
from matinee_simulator.tabular.solve import action_values
from matinee_simulator.tabular.states import goodwill_of, satiation_of


@pytest.fixture(scope="module")
def model() -> TabularModel:
    return TabularModel.from_parameters()


@pytest.fixture(scope="module")
def solution(model: TabularModel) -> Solution:
    return value_iteration(model)


def test_states_are_numbered_without_gaps() -> None:
    states = np.arange(STATES, dtype=np.int32)
    levels, goodwill = satiation_of(states), goodwill_of(states)
    for h in itertools.product(range(4), repeat=3):
        for level in range(7):
            number = state_number((h[0], h[1], h[2]), level)
            assert tuple(levels[number]) == h
            assert goodwill[number] == level
    assert len({(*h, s) for h, s in zip(levels.tolist(), goodwill.tolist(), strict=True)}) == STATES


@pytest.mark.parametrize(
    ("satiation", "goodwill", "action"),
    [((0, 0, 0), 3, 0), ((2, 1, 3), 5, 3), ((3, 3, 1), 0, 4), ((1, 2, 0), 6, 1)],
)
@pytest.mark.parametrize("discount", [0.99, 1.0])
def test_transitions_equal_enumeration(
    satiation: tuple[int, int, int], goodwill: int, action: int, discount: float
) -> None:
    """Every sequence of events of a step, walked through day by day."""
    model = TabularModel.from_parameters(TabularParameters(away_days_most=3, discount=discount))
    law, topic = model.laws, action // 2
    level = satiation[topic]
    click, satisfied = law.click[action, level], law.satisfied[action, level]
    expected = np.zeros(STATES)

    def add_from(h: tuple[int, ...], s: int, weight: float, away: int) -> None:
        """Continue after `away` days without a visit."""
        if away == 3:
            return
        # Chance that a visit has not come before, and comes today.
        chance = law.away[s, away + 1] / (1.0 - law.away[s, : away + 1].sum())
        for rested in itertools.product(range(4), repeat=3):
            share = np.prod([law.recovery[1, a, b] for a, b in zip(h, rested, strict=True)])
            if share > 0.0:
                now = weight * discount * float(share)
                expected[state_number((rested[0], rested[1], rested[2]), s)] += now * chance
                add_from(rested, s, now * (1.0 - chance), away + 1)

    outcomes = (1.0 - click, click * (1.0 - satisfied), click * satisfied)
    for outcome, chance in enumerate(outcomes):
        for h, s in itertools.product(range(4), range(7)):
            weight = chance * law.satiation[int(outcome > 0), level, h]
            weight *= law.goodwill[outcome, goodwill, s]
            if weight > 0.0:
                after = list(satiation)
                after[topic] = h
                stay = weight * (1.0 - law.leave[outcome])
                expected[state_number((after[0], after[1], after[2]), s)] += stay
                left = weight * law.leave[outcome] * (1.0 - law.churn[s])
                add_from(tuple(after), s, left, 0)
    row = model.discounted[state_number(satiation, goodwill), action]
    np.testing.assert_allclose(row, expected, atol=1e-14)


def test_the_model_is_a_frozen_process(model: TabularModel) -> None:
    assert (model.transitions >= 0).all()
    np.testing.assert_allclose(model.transitions.sum(axis=2) + model.gone, 1.0, atol=1e-12)
    assert (model.discounted <= model.transitions).all()
    assert model.rewards[START, 1] == model.laws.click[1, 0]
    with pytest.raises(ValueError, match="read-only"):
        model.rewards[0, 0] = 1.0


def test_value_iteration_equals_the_linear_program(model: TabularModel, solution: Solution) -> None:
    """min sum V subject to V >= r + P V for all actions (Puterman 1994, section 6.9)."""
    flat = model.discounted.reshape(STATES * ACTIONS, STATES)
    found = linprog(
        np.ones(STATES),
        A_ub=flat - np.repeat(np.eye(STATES), ACTIONS, axis=0),
        b_ub=-model.rewards.ravel(),
        bounds=(None, None),
        method="highs",
    )
    assert found.success
    assert found.x is not None
    np.testing.assert_allclose(found.x, solution.values, atol=1e-5)


def test_value_iteration_equals_policy_iteration(model: TabularModel, solution: Solution) -> None:
    law = myopic_clicks(model)
    for _ in range(50):
        values = policy_evaluation(model, law)
        better = greedy(action_values(model, values))
        if (better == law).all():
            break
        law = better
    assert np.abs(values - solution.values).max() <= solution.error + 1e-10
    np.testing.assert_allclose(action_values(model, values), solution.q, atol=1e-6)


@pytest.mark.parametrize("tolerance", [1.0, 1e-2, 1e-5])
def test_the_contraction_bounds_the_error(
    model: TabularModel, solution: Solution, tolerance: float
) -> None:
    rough = value_iteration(model, tolerance=tolerance)
    assert rough.residual <= tolerance
    assert rough.contraction == pytest.approx(float(model.discounted.sum(axis=2).max()))
    assert np.abs(rough.values - solution.values).max() <= rough.error + solution.error
    assert rough.sweeps < solution.sweeps


def test_performance_difference(model: TabularModel, solution: Solution) -> None:
    for law in (uniform_law(), myopic_clicks(model), myopic_satisfaction(model), fixed_action(3)):
        values = policy_evaluation(model, law)
        for start in (START, 0):
            lost = solution.values[start] - values[start]
            visits = occupancy(model, law, start=start)
            given_up = np.sum(visits[:, None] * law * solution.regrets)
            assert given_up == pytest.approx(lost, abs=1e-7)
            assert given_up > 0


def test_regret_is_zero_for_the_best_action_only(solution: Solution) -> None:
    assert (solution.regrets >= 0).all()
    np.testing.assert_array_equal(solution.regrets.min(axis=1), 0.0)


def test_clicks_and_the_long_run_disagree(model: TabularModel, solution: Solution) -> None:
    shares = shares_of_optimum(model, solution)
    assert shares["optimum"] == pytest.approx(1.0, abs=1e-8)
    assert shares["myopic clicks"] < 0.4
    assert 0.92 < shares["myopic satisfaction"] < 0.97
    assert shares["best fixed action"] < 0.5
    assert shares["uniform"] < 0.5


def test_without_sensitivity_nobody_can_change_the_visits() -> None:
    model = TabularModel.from_parameters(TabularParameters(retention_sensitivity=0.0))
    laws = (uniform_law(), myopic_clicks(model), myopic_satisfaction(model))
    visits = [undiscounted_evaluation(model, law, rewards=model.ends) for law in laws]
    np.testing.assert_allclose(visits[1], visits[0], rtol=1e-9)
    np.testing.assert_allclose(visits[2], visits[0], rtol=1e-9)
    clicks = [policy_evaluation(model, law)[START] for law in laws]
    assert clicks[1] > 1.2 * clicks[0]


def test_impossible_requests_are_refused(model: TabularModel) -> None:
    with pytest.raises(ContextError, match=r"law must have shape \(448, 6\), got \(2, 2\)"):
        policy_evaluation(model, np.eye(2))
    with pytest.raises(ContextError, match="law must sum to 1 in each state, got 0 in 0"):
        policy_evaluation(model, np.zeros((STATES, ACTIONS)))
    negative = uniform_law()
    negative[5, :2] = [-1.0, 8.0 / 6.0]
    with pytest.raises(ContextError, match=r"at least 0, got -1\.0"):
        occupancy(model, negative)
    with pytest.raises(ContextError, match="states must be within 0 and 447, got 448"):
        occupancy(model, uniform_law(), start=448)
    with pytest.raises(ConfigError, match="tolerance must be > 0"):
        value_iteration(model, tolerance=0.0)
    with pytest.raises(ConfigError, match="after 3 sweeps"):
        value_iteration(model, most_sweeps=3)


def test_a_world_that_nobody_leaves_has_no_value() -> None:
    forever = TabularParameters(churn_base=-60.0, discount=1.0, return_base=60.0)
    with pytest.raises(ConfigError, match="must be < 1"):
        value_iteration(TabularModel.from_parameters(forever))
