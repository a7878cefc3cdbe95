"""Which expectations of a scenario a run holds: by figures with standard errors alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from matinee_simulator.scenarios.expectation import Expectation
from matinee_simulator.scenarios.scenario import Scenario

BEYOND = 3.0
"""Standard errors of a difference beyond which it has a sign (two-sided p = .0027)."""

OUTCOMES = ("holds", "fails", "undecided", "not run")
"""What may be found: `undecided` where the error of a difference leaves its sign open."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric of one arm.

    Attributes:
        value: of the arm; NaN where there is none.
        standard_error: of the value; 0 where it is exact.
        difference: to the control, NaN for the control itself.
        difference_error: standard error of the difference, by user.
    """

    value: float
    standard_error: float = 0.0
    difference: float = math.nan
    difference_error: float = math.nan


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run says of one expectation, for one arm.

    Attributes:
        expectation: which.
        arm: of which arm.
        outcome: one of `OUTCOMES`.
        figure: it was read from; None if the arm did not run.
    """

    expectation: Expectation
    arm: str
    outcome: str
    figure: Figure | None


def score(
    scenario: Scenario, figures: Mapping[str, Mapping[str, Figure]], *, control: str
) -> tuple[Verdict, ...]:
    """Hold a run against the expectations of its scenario.

    Args:
        scenario: that was run.
        figures: by arm and metric.
        control: arm that the differences are to.

    Returns:
        A verdict per expectation and arm.

    Example:
        >>> from matinee_simulator.scenarios.load import load_scenario
        >>> mmr = {"d28": Figure(0.12, 0.01, 0.0, 0.0), "d7": Figure(0.2, 0.01, 0.01, 0.001)}
        >>> arms = {"mf_order": {}, "mmr": mmr}
        >>> found = score(load_scenario("control"), arms, control="mf_order")
        >>> [(verdict.expectation.metric, verdict.outcome) for verdict in found][:2]
        [('d28', 'holds'), ('d7', 'fails')]
    """
    verdicts = []
    for expectation in scenario.expectations:
        arms = expectation.arms or tuple(arm for arm in figures if arm != control)
        for arm in arms:
            figure = figures.get(arm, {}).get(expectation.metric)
            outcome = "not run" if figure is None else _outcome(expectation, figure)
            verdicts.append(Verdict(expectation, arm, outcome, figure))
    return tuple(verdicts)


def _outcome(expectation: Expectation, figure: Figure) -> str:
    if expectation.relation == "within":
        return _within(expectation, figure)
    difference, error = figure.difference, figure.difference_error
    if expectation.relation == "equal" and difference == 0.0:
        # Pairs that all agree leave no error to tell, and need none.
        return "holds"
    if not (math.isfinite(difference) and math.isfinite(error)):
        return "undecided"
    sign = 0.0 if abs(difference) <= BEYOND * error else math.copysign(1.0, difference)
    if expectation.relation == "equal":
        return "fails" if sign else "undecided"
    wanted = 1.0 if expectation.relation == "above" else -1.0
    return "holds" if sign == wanted else "undecided" if sign == 0.0 else "fails"


def _within(expectation: Expectation, figure: Figure) -> str:
    """Whether the interval of the value, `BEYOND` errors to each side, is inside or outside."""
    if not (math.isfinite(figure.value) and math.isfinite(figure.standard_error)):
        return "undecided"
    low = -math.inf if expectation.low is None else expectation.low
    high = math.inf if expectation.high is None else expectation.high
    margin = BEYOND * figure.standard_error
    if low <= figure.value - margin and figure.value + margin <= high:
        return "holds"
    return "fails" if figure.value + margin < low or figure.value - margin > high else "undecided"
