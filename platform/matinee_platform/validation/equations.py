"""T1: every term of the model's equations moves its probability the right way.

States are drawn at random over wide ranges; in each, one quantity is raised and the compiled
equation is asked before and after. A term whose weight is 0 may leave the probability where it is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from matinee_platform.validation.claims import ACCEPTANCE
from matinee_policies.arrays import BoolArray, FloatArray
from matinee_policies.philox import stream_key
from matinee_simulator.draws import uniforms
from matinee_simulator.parameters import Parameters
from matinee_simulator.response import click_probability, response_weights
from matinee_simulator.retention import (
    churn_probability,
    next_goodwill,
    retention_weights,
    return_probability,
    session_utility,
)
from matinee_simulator.satiation import remaining_share, satiation_weights
from matinee_simulator.satisfaction import (
    expected_satisfaction,
    satisfaction_weights,
    watched_fraction,
)
from matinee_simulator.session_end import leave_probability, leave_weights
from matinee_simulator.stylised_facts import Figure, Finding, Line, Plot

STATES = 400
"""Random states in which each term is tried."""


@dataclass(frozen=True, slots=True)
class Term:
    """One term of one equation.

    Attributes:
        name: what it says.
        weight: of the term; 0 switches it off.
        sign: 1 if a rise of the quantity is to raise the value, -1 if it is to lower it.
        value: of a state `float64 [k]` with the quantity at its place 0.
        lows: of the quantities of a state.
        highs: of the quantities.
        step: by which the first quantity is raised.
    """

    name: str
    weight: float
    sign: int
    value: Callable[[FloatArray], float]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    step: float = 0.5


def terms(parameters: Parameters) -> list[Term]:
    """The terms of all equations, as the parameters set them."""
    return _click_terms(parameters) + _satisfaction_terms(parameters) + _visit_terms(parameters)


def _click_terms(parameters: Parameters) -> list[Term]:
    weights = response_weights(parameters)
    lows, highs = (-3.0, -3.0, 0.0, 0.0, 0.0), (3.0, 3.0, 4.0, 1.0, 4.0)

    def click(order: tuple[int, ...]) -> Callable[[FloatArray], float]:
        def value(state: FloatArray) -> float:
            x, c, h, red, n = state[list(order)]
            return float(click_probability(weights, x, c, h, red, int(n)))

        return value

    named = (
        ("relevance raises clicks", weights.relevance, 1),
        ("appeal raises clicks", weights.appeal, 1),
        ("satiation lowers clicks", weights.satiation, -1),
        ("redundancy lowers clicks", weights.redundancy, -1),
        ("earlier impressions lower clicks", weights.fatigue * weights.fatigue_cap, -1),
    )
    found = []
    for place, (name, weight, sign) in enumerate(named):
        # The quantity that is raised comes first in a state; the others follow in order.
        rest = [other for other in range(5) if other != place]
        order = tuple(0 if at == place else 1 + rest.index(at) for at in range(5))
        found.append(
            Term(
                name,
                weight,
                sign,
                click(order),
                (lows[place], *(lows[other] for other in rest)),
                (highs[place], *(highs[other] for other in rest)),
                1.0 if place == 4 else 0.5,
            )
        )
    return found


def _satisfaction_terms(parameters: Parameters) -> list[Term]:
    weights = satisfaction_weights(parameters)
    satiation = satiation_weights(parameters)
    wide, narrow = (-3.0, -3.0, 0.0), (3.0, 3.0, 4.0)

    def satisfied(x: float, c: float, h: float) -> float:
        return float(expected_satisfaction(weights, x, c, h))

    return [
        Term(
            "relevance raises satisfaction",
            weights.relevance,
            1,
            lambda s: satisfied(s[0], s[1], s[2]),
            wide,
            narrow,
        ),
        Term(
            "appeal lowers satisfaction",
            weights.appeal,
            -1,
            lambda s: satisfied(s[1], s[0], s[2]),
            wide,
            narrow,
        ),
        Term(
            "satiation lowers satisfaction",
            weights.satiation,
            -1,
            lambda s: satisfied(s[1], s[2], s[0]),
            (0.0, -3.0, -3.0),
            (4.0, 3.0, 3.0),
        ),
        Term(
            "satisfaction raises the watched fraction",
            1.0,
            1,
            lambda s: float(watched_fraction(weights, s[0], s[1], s[2])),
            (-3.0, -1.0, -2.0),
            (3.0, 1.0, 2.0),
        ),
        Term(
            "days lower satiation",
            1.0,
            -1,
            lambda s: float(remaining_share(satiation, int(s[0]))),
            (0.0,),
            (60.0,),
            1.0,
        ),
    ]


def _visit_terms(parameters: Parameters) -> list[Term]:
    leave, visit = leave_weights(parameters), retention_weights(parameters)

    def leaves(frailty: float, satisfaction: float, clicks: float, pages: float) -> float:
        return float(
            leave_probability(leave, frailty, satisfaction, int(clicks), max(int(pages), 1))
        )

    def returns(frailty: float, goodwill: float, away: float) -> float:
        return float(return_probability(visit, frailty, goodwill, int(away)))

    return [
        Term(
            "satisfaction keeps a session going",
            leave.satisfaction,
            -1,
            lambda s: leaves(s[1], s[0], 1, s[2]),
            (leave.clip_low, -2.0, 1.0),
            (leave.clip_high - 0.5, 2.0, 9.0),
        ),
        Term(
            "no click ends a session",
            leave.no_click,
            1,
            lambda s: leaves(s[1], 0.0, 0 if s[0] >= 0.5 else 1, s[2]),
            (0.0, -2.0, 1.0),
            (0.0, 2.0, 9.0),
            1.0,
        ),
        Term(
            "depth keeps a session going",
            leave.depth,
            -1,
            lambda s: leaves(s[1], s[2], 1, s[0]),
            (1.0, -2.0, -2.0),
            (9.0, 2.0, 2.0),
            1.0,
        ),
        Term(
            "satisfaction raises the utility of a session",
            visit.clicked,
            1,
            lambda s: float(session_utility(visit, int(s[1]), s[0])),
            (-5.0, 1.0),
            (5.0, 6.0),
        ),
        Term(
            "utility raises goodwill",
            visit.step,
            1,
            lambda s: float(next_goodwill(visit, s[1], s[0])),
            (-1.0, -1.0),
            (1.5, 1.5),
        ),
        Term(
            "goodwill brings users back",
            visit.return_goodwill,
            1,
            lambda s: returns(s[1], s[0], s[2]),
            (-1.0, -2.0, 0.0),
            (1.5, 2.0, 40.0),
        ),
        Term(
            "absence keeps users away",
            visit.return_absence,
            -1,
            lambda s: returns(s[1], s[2], s[0]),
            (0.0, -2.0, -1.0),
            (40.0, 2.0, 1.5),
            1.0,
        ),
        Term(
            "goodwill keeps users from churning",
            visit.churn_goodwill,
            -1,
            lambda s: float(churn_probability(visit, s[0], max(int(s[1]), 1))),
            (-1.0, 1.0),
            (1.5, 40.0),
        ),
        Term(
            "tenure keeps users from churning",
            visit.churn_tenure,
            -1,
            lambda s: float(churn_probability(visit, s[1], max(int(s[0]), 1))),
            (1.0, -1.0),
            (40.0, 1.5),
            1.0,
        ),
    ]


def moves(term: Term, *, seed: int) -> FloatArray:
    """Change of the value, in the wanted direction, in each random state, `float64 [n]`."""
    key = stream_key(seed, "validation", f"equation {term.name}")
    draws = uniforms(key, np.arange(STATES, dtype=np.uint64), len(term.lows))
    lows, highs = np.array(term.lows), np.array(term.highs)
    states = lows + (highs - lows) * draws
    raised = states.copy()
    raised[:, 0] += term.step
    before = np.array([term.value(state) for state in states])
    after = np.array([term.value(state) for state in raised])
    return np.asarray(term.sign * (after - before))


def wrong_ways(term: Term, moved: FloatArray) -> BoolArray:
    """States in which the term moved the wrong way, or not at all although it has a weight."""
    return np.asarray(moved <= 0.0 if term.weight > 0 else moved != 0.0)


def equations_point_right(parameters: Parameters, *, seed: int) -> Finding:
    """The finding of T1."""
    figures, middles = [], []
    for term in terms(parameters):
        moved = moves(term, seed=seed)
        middles.append(float(np.median(np.abs(moved))))
        figures.append(
            Figure(
                name=f"{term.name}: states against it",
                value=float(wrong_ways(term, moved).sum()),
                low=0.0,
                high=0.0,
                digits=0,
            )
        )
    places = np.arange(1.0, len(figures) + 1)
    return ACCEPTANCE["T1"].finding(
        figures,
        plot=Plot(
            x_title="term",
            categories=tuple(term.name for term in terms(parameters)),
            y_title="median change of its value",
            lines=(
                Line(
                    name="simulated",
                    role="simulated",
                    x=places,
                    y=np.array(middles),
                    dots=True,
                ),
                Line(
                    name="no effect",
                    role="literature",
                    x=places[[0, -1]],
                    y=np.zeros(2),
                ),
            ),
        ),
    )
