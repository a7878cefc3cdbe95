"""Each term of the tabular world's equations moves its probability the right way."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee_policies.errors import ConfigError
from matinee_simulator.tabular.equations import (
    DISAPPOINTED,
    NOTHING,
    SATISFIED,
    Laws,
    goodwill_values,
    laws,
    random_rounding,
    return_law,
)
from matinee_simulator.tabular.parameters import TabularParameters

DEFAULT = TabularParameters()
SUBSTANCE, CLICKBAIT = np.arange(0, 6, 2), np.arange(1, 6, 2)

steady = settings(deadline=None, max_examples=40, derandomize=True)
more = st.floats(0.05, 1.0)


def changed(name: str, by: float) -> Laws:
    return laws(dataclasses.replace(DEFAULT, **{name: getattr(DEFAULT, name) + by}))


@steady
@given(by=more)
def test_each_term_of_clicks(by: float) -> None:
    now = laws(DEFAULT).click
    assert (changed("click_base", by).click > now).all()
    assert (changed("click_relevance", by).click[:2] > now[:2]).all()
    assert (changed("click_relevance", by).click[4:] < now[4:]).all()
    assert (changed("click_appeal", by).click[CLICKBAIT] > now[CLICKBAIT]).all()
    assert (changed("click_appeal", by).click[SUBSTANCE] < now[SUBSTANCE]).all()
    assert (changed("click_satiation", by).click[:, 1:] < now[:, 1:]).all()
    np.testing.assert_array_equal(changed("click_satiation", by).click[:, 0], now[:, 0])
    assert (np.diff(now, axis=1) < 0).all()


@steady
@given(by=more)
def test_each_term_of_satisfaction(by: float) -> None:
    now = laws(DEFAULT).satisfied
    assert (changed("satisfaction_base", by).satisfied > now).all()
    assert (changed("satisfaction_relevance", by).satisfied[:2] > now[:2]).all()
    assert (changed("satisfaction_appeal", by).satisfied[CLICKBAIT] < now[CLICKBAIT]).all()
    assert (changed("satisfaction_appeal", by).satisfied[SUBSTANCE] > now[SUBSTANCE]).all()
    assert (changed("satisfaction_satiation", by).satisfied[:, 1:] < now[:, 1:]).all()
    assert (np.diff(now, axis=1) < 0).all()


def test_clickbait_is_clicked_more_and_satisfies_less() -> None:
    law = laws(DEFAULT)
    assert (law.click[CLICKBAIT] > law.click[SUBSTANCE]).all()
    assert (law.satisfied[CLICKBAIT] < law.satisfied[SUBSTANCE]).all()


def test_odds_in_closed_form() -> None:
    # Topic 0 (x = .2), clickbait, satiation 2: .5 + .9 * .2 + 1.1 - 1.1 * 2.
    assert laws(DEFAULT).click[1, 2] == pytest.approx(1 / (1 + np.exp(0.42)), rel=1e-12)
    # Topic 2 (x = -.2), substance, satiation 1: .5 - .8 * .2 + 2.1 - 1.2.
    assert laws(DEFAULT).satisfied[4, 1] == pytest.approx(1 / (1 + np.exp(-1.24)), rel=1e-12)


@steady
@given(by=more)
def test_each_term_of_leaving_returning_and_churning(by: float) -> None:
    now, back = laws(DEFAULT), return_law(DEFAULT)
    above, below = goodwill_values() > 0.1, goodwill_values() < -0.1
    assert now.leave[SATISFIED] < now.leave[NOTHING] < now.leave[DISAPPOINTED]
    assert changed("leave_satisfaction", by).leave[SATISFIED] < now.leave[SATISFIED]
    assert changed("leave_no_click", by).leave[NOTHING] > now.leave[NOTHING]
    assert (changed("leave_base", by).leave > now.leave).all()
    assert (np.diff(now.churn) < 0).all()
    assert (changed("churn_base", by).churn > now.churn).all()
    assert (changed("churn_goodwill", by).churn[above] < now.churn[above]).all()
    assert (changed("churn_goodwill", by).churn[below] > now.churn[below]).all()
    assert (np.diff(back, axis=0) > 0).all()
    assert (np.diff(back, axis=1) < 0).all()
    longer = return_law(dataclasses.replace(DEFAULT, return_absence=DEFAULT.return_absence + by))
    assert (longer[:, 1:] < back[:, 1:]).all()
    np.testing.assert_array_equal(longer[:, 0], back[:, 0])


def test_days_away_follow_the_daily_hazard() -> None:
    law, back = laws(DEFAULT).away, return_law(DEFAULT)
    for level in range(7):
        absent = 1.0
        for day in range(1, law.shape[1]):
            assert law[level, day] == pytest.approx(absent * back[level, day - 1], rel=1e-12)
            absent *= 1.0 - back[level, day - 1]
        assert law[level].sum() == pytest.approx(1.0 - absent, abs=1e-12)
    assert (law[:, 0] == 0).all()


def test_expected_levels_follow_the_linear_dynamics() -> None:
    law, S = laws(DEFAULT), goodwill_values()
    for outcome, utility in ((NOTHING, -0.3), (DISAPPOINTED, -1.0), (SATISFIED, 1.0)):
        np.testing.assert_allclose(law.goodwill[outcome] @ S, S + 0.25 * (utility - S), atol=1e-12)
    levels = np.arange(4)
    for clicked in (0, 1):
        np.testing.assert_allclose(
            law.satiation[clicked] @ levels, np.minimum(3.0, levels + clicked + 0.03), atol=1e-12
        )
    for days in (1, 3, 60):
        np.testing.assert_allclose(
            law.recovery[days] @ levels, 2.0 ** (-days / 3.0) * levels, atol=1e-12
        )


@steady
@given(target=st.floats(-2.0, 9.0))
def test_rounding_takes_a_neighbour_and_keeps_the_mean(target: float) -> None:
    law = random_rounding(np.array(target), levels=7)
    clipped = min(max(target, 0.0), 6.0)
    assert law.sum() == pytest.approx(1.0, abs=1e-12)
    assert law @ np.arange(7) == pytest.approx(clipped, abs=1e-12)
    assert (np.abs(np.flatnonzero(law) - clipped) < 1.0).all()


def test_all_laws_are_probabilities() -> None:
    law = laws(DEFAULT)
    for table in law:
        assert ((table >= 0) & (table <= 1)).all()
    for table in (law.satiation, law.goodwill, law.recovery):
        np.testing.assert_allclose(table.sum(axis=-1), 1.0, atol=1e-12)


def test_without_sensitivity_goodwill_changes_nothing() -> None:
    law = laws(TabularParameters(retention_sensitivity=0.0))
    assert (law.churn == law.churn[0]).all()
    assert (law.away == law.away[0]).all()


def test_parameters_round_trip_through_json() -> None:
    parameters = TabularParameters(discount=0.9, away_days_most=20)
    assert TabularParameters.from_json(json.loads(json.dumps(parameters.to_json()))) == parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("click_appeal", -0.1),
        ("click_base", float("nan")),
        ("satiation_half_life", 0.0),
        ("satiation_impression", 1.1),
        ("goodwill_step", -0.2),
        ("utility_no_click", -1.5),
        ("discount", 0.0),
        ("discount", 1.01),
        ("away_days_most", 0),
        ("away_days_most", 2.5),
        ("retention_sensitivity", -1.0),
        ("relevance_spread", True),
    ],
)
def test_impossible_parameter_is_named(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        TabularParameters.from_json({name: value})
    assert repr(value) in str(caught.value)


def test_every_parameter_is_checked() -> None:
    for field in dataclasses.fields(TabularParameters):
        with pytest.raises(ConfigError, match=field.name):
            TabularParameters.from_json({field.name: "many"})
