"""Scenarios: worlds with a name, as data: settings, what is known exactly, what to expect.

    >>> scenario_names()
    ('boredom', 'cold_start', 'control', 'movielens', 'stress', 'tabular')
    >>> load_scenario("control").world["retention_sensitivity"]
    0.0

A scenario is one file in the folder `settings`; `score` says of a finished run which of its
expectations hold.
"""

from matinee_simulator.scenarios.expectation import METRICS, RELATIONS, Expectation
from matinee_simulator.scenarios.load import (
    load_scenario,
    parse_scenario,
    scenario_names,
    scenario_parameters,
)
from matinee_simulator.scenarios.scenario import REGIMES, Scenario
from matinee_simulator.scenarios.score import Figure, Verdict, score

__all__ = [
    "METRICS",
    "REGIMES",
    "RELATIONS",
    "Expectation",
    "Figure",
    "Scenario",
    "Verdict",
    "load_scenario",
    "parse_scenario",
    "scenario_names",
    "scenario_parameters",
    "score",
]
