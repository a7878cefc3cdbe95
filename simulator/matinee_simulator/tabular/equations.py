"""The equations of the tabular world, as tables of probabilities.

The large model in miniature: one item is a page, and every stock is a small number of levels.

    h_g in {0, 1, 2, 3}           satiation with topic g = 0, 1, 2, in clicks
    l in {0..6}, S = (l - 3) / 3  goodwill, in [-1, 1]
    x_g = d, 0, -d                relevance of topic g
    c_a = -1, +1                  appeal: substance, clickbait

One step shows the item a of topic g(a) and has an outcome o: nothing, a disappointing click or a
satisfying one (y = -1, +1). Its reward is the click.

    P(click)           = sigmoid(a0 + a1 x_g + a2 c_a - a3 h_g)
    P(y = +1 | click)  = sigmoid(s0 + s1 x_g - s2 c_a - s3 h_g)
    h_g   <- round min(3, h_g + 1[click] + e)
    S     <- round (S + eta (Z - S)),   Z = y after a click, zn after none
    P(session ends)    = sigmoid(l0 - l1 y 1[click] + l2 1[no click])

If the session goes on, the next item follows at once. If it ends:

    P(gone for good)            = sigmoid(k0 - k1 S)
    P(visit | w days without)   = sigmoid(r0 + r1 S - r2 log(1 + w)),   w = 0, 1, ...
    h_g   <- round (2^(-1/H) h_g)       for each topic and each day away

and the next item is shown at the next visit, W >= 1 days later, worth gamma^W of one shown now. A
user who stays away longer than `away_days_most` days is gone.

`round` is random: it takes one of the two neighbouring levels, with the probabilities that keep the
mean. So the expected levels follow the linear dynamics of the large model to the letter, while the
state stays finite. What is left out, each because it would need more states: noise of y, depth of
the session, tenure, frailties of users, redundancy and fatigue (one item has no neighbours).

Why clicks and the long run disagree: clickbait has the higher P(click) and the lower P(y = +1), so
it feeds the click of today from the goodwill that brings the user back. Satiation makes any single
action poor.
"""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_simulator.tabular.parameters import TabularParameters
from matinee_simulator.tabular.states import (
    ACTIONS,
    GOODWILL_LEVELS,
    SATIATION_LEVELS,
    TOPICS,
)

NOTHING, DISAPPOINTED, SATISFIED = range(3)
"""Outcomes of a step."""
OUTCOMES = 3


class Laws(NamedTuple):
    """Probabilities of everything that can happen in a step, `float64`.

    Attributes:
        click: of a click, by action and satiation with its topic, `[A, 4]`.
        satisfied: of y = +1 given a click, `[A, 4]`.
        satiation: of the next level by 1[click] and level, `[2, 4, 4]`.
        goodwill: of the next level by outcome and level, `[3, 7, 7]`.
        leave: of the end of the session, by outcome, `[3]`.
        churn: of being gone after a session, by goodwill level, `[7]`.
        away: of a next visit after W days, by goodwill level and W, `[7, D + 1]`; W = 0 has none.
            Rows sum to less than 1: the rest never returns.
        recovery: of the satiation level after W days, by W and level, `[D + 1, 4, 4]`.
    """

    click: FloatArray
    satisfied: FloatArray
    satiation: FloatArray
    goodwill: FloatArray
    leave: FloatArray
    churn: FloatArray
    away: FloatArray
    recovery: FloatArray


def laws(parameters: TabularParameters) -> Laws:
    """All probabilities of a step under `parameters`."""
    return Laws(
        click=click_law(parameters),
        satisfied=satisfaction_law(parameters),
        satiation=satiation_law(parameters),
        goodwill=goodwill_law(parameters),
        leave=leave_law(parameters),
        churn=churn_law(parameters),
        away=away_law(parameters),
        recovery=recovery_law(parameters),
    )


def click_law(parameters: TabularParameters) -> FloatArray:
    """P(click) by action and satiation with its topic, `float64 [A, 4]`."""
    relevance, appeal, satiation = _item_terms(parameters)
    return _sigmoid(
        parameters.click_base
        + parameters.click_relevance * relevance
        + parameters.click_appeal * appeal
        - parameters.click_satiation * satiation
    )


def satisfaction_law(parameters: TabularParameters) -> FloatArray:
    """P(y = +1 | click) by action and satiation with its topic, `float64 [A, 4]`."""
    relevance, appeal, satiation = _item_terms(parameters)
    return _sigmoid(
        parameters.satisfaction_base
        + parameters.satisfaction_relevance * relevance
        - parameters.satisfaction_appeal * appeal
        - parameters.satisfaction_satiation * satiation
    )


def satiation_law(parameters: TabularParameters) -> FloatArray:
    """P(next level of the shown topic) by 1[click] and level, `float64 [2, 4, 4]`."""
    levels, clicked = np.arange(SATIATION_LEVELS), np.arange(2)[:, None]
    return random_rounding(
        levels + clicked + parameters.satiation_impression, levels=SATIATION_LEVELS
    )


def goodwill_law(parameters: TabularParameters) -> FloatArray:
    """P(next goodwill level) by outcome and level, `float64 [3, 7, 7]`."""
    goodwill = goodwill_values()
    utility = np.array([parameters.utility_no_click, -1.0, 1.0])[:, None]
    moved = goodwill + parameters.goodwill_step * (utility - goodwill)
    middle = GOODWILL_LEVELS // 2
    return random_rounding(middle + middle * moved, levels=GOODWILL_LEVELS)


def leave_law(parameters: TabularParameters) -> FloatArray:
    """P(the session ends) by outcome, `float64 [3]`."""
    l0, l1 = parameters.leave_base, parameters.leave_satisfaction
    return _sigmoid(np.array([l0 + parameters.leave_no_click, l0 + l1, l0 - l1]))


def churn_law(parameters: TabularParameters) -> FloatArray:
    """P(gone for good after a session) by goodwill level, `float64 [7]`."""
    k1 = parameters.retention_sensitivity * parameters.churn_goodwill
    return _sigmoid(parameters.churn_base - k1 * goodwill_values())


def return_law(parameters: TabularParameters) -> FloatArray:
    """P(visit | w days without one) by goodwill level and w, `float64 [7, D]`."""
    r1 = parameters.retention_sensitivity * parameters.return_goodwill
    away = np.arange(parameters.away_days_most)
    return _sigmoid(
        parameters.return_base
        + r1 * goodwill_values()[:, None]
        - parameters.return_absence * np.log1p(away)
    )


def away_law(parameters: TabularParameters) -> FloatArray:
    """P(the next visit is W days after the last) by goodwill level and W, `float64 [7, D + 1]`."""
    visit = return_law(parameters)
    absent = np.cumprod(1.0 - visit, axis=1)
    law = np.zeros((GOODWILL_LEVELS, parameters.away_days_most + 1))
    law[:, 1] = visit[:, 0]
    law[:, 2:] = visit[:, 1:] * absent[:, :-1]
    return law


def recovery_law(parameters: TabularParameters) -> FloatArray:
    """P(satiation level after W days) by W and the level before, `float64 [D + 1, 4, 4]`."""
    share = 2.0 ** (-1.0 / parameters.satiation_half_life)
    day = random_rounding(share * np.arange(SATIATION_LEVELS), levels=SATIATION_LEVELS)
    law = np.empty((parameters.away_days_most + 1, SATIATION_LEVELS, SATIATION_LEVELS))
    law[0] = np.eye(SATIATION_LEVELS)
    for days in range(1, len(law)):
        law[days] = law[days - 1] @ day
    return law


def goodwill_values() -> FloatArray:
    """S of each goodwill level, evenly spaced in [-1, 1], `float64 [7]`."""
    return np.linspace(-1.0, 1.0, GOODWILL_LEVELS)


def random_rounding(targets: AnyArray, *, levels: int) -> FloatArray:
    """Law over the levels 0 .. `levels` - 1 that has each target as its mean.

    Args:
        targets: any shape; values outside the levels are clipped to them first.
        levels: at least 2.

    Returns:
        Probabilities of the two neighbouring levels, `float64 [..., levels]`.

    Example:
        >>> random_rounding(np.array([1.25, 9.0]), levels=4)
        array([[0.  , 0.75, 0.25, 0.  ],
               [0.  , 0.  , 0.  , 1.  ]])
    """
    clipped = np.clip(targets, 0.0, levels - 1.0)
    return np.maximum(0.0, 1.0 - np.abs(clipped[..., None] - np.arange(levels)))


def _item_terms(parameters: TabularParameters) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Relevance and appeal of each action `[A, 1]`, and the satiation levels `[4]`."""
    actions = np.arange(ACTIONS)[:, None]
    relevance = parameters.relevance_spread * np.linspace(1.0, -1.0, TOPICS)[actions // 2]
    appeal = 2.0 * (actions % 2) - 1.0
    return np.asarray(relevance), appeal, np.arange(SATIATION_LEVELS, dtype=np.float64)


def _sigmoid(logit: AnyArray) -> FloatArray:
    # Through tanh: no overflow at any finite logit.
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * logit))
