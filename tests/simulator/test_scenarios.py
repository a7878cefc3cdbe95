"""Scenarios as data: every file is sound, mistakes are named, verdicts follow from figures."""

import math
from typing import Any

import pytest

from matinee_policies.errors import ConfigError
from matinee_simulator.parameters import Parameters
from matinee_simulator.scenarios import (
    METRICS,
    Expectation,
    Figure,
    Scenario,
    load_scenario,
    parse_scenario,
    scenario_names,
    scenario_parameters,
    score,
)

ALL = ("boredom", "cold_start", "control", "movielens", "stress", "tabular")

MINE: dict[str, Any] = {
    "name": "mine",
    "title": "One of my own",
    "purpose": "To try things.",
    "regime": "T1",
    "known": ["the best page"],
    "world": {"click_base": -3.0},
    "users": 10,
    "days": 5,
    "expectations": [
        {"claim": "It helps", "metric": "d7", "relation": "above", "arms": ["mmr"]},
    ],
}


def test_the_scenarios_are_there() -> None:
    assert scenario_names() == ALL


@pytest.mark.parametrize("name", ALL)
def test_each_says_what_it_is_and_expects_something(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert len(scenario.purpose) > 100
    assert scenario.known
    assert scenario.expectations
    assert Scenario.from_json({**scenario.to_json(), "expectations": []}).world == scenario.world


@pytest.mark.parametrize("name", [name for name in ALL if name != "tabular"])
def test_worlds_are_parameters_that_differ_from_the_defaults(name: str) -> None:
    world = load_scenario(name).world
    assert all(getattr(Parameters(), key) != value for key, value in world.items())
    parameters = scenario_parameters(name, {})
    assert all(getattr(parameters, key) == value for key, value in world.items())


def test_boredom_and_control_are_those_of_the_specification() -> None:
    boredom = scenario_parameters("boredom", {})
    assert (boredom.click_appeal, boredom.satisfaction_appeal) == (0.0, 0.0)
    assert (boredom.click_satiation, boredom.satisfaction_satiation) == (1.2, 1.0)
    assert boredom.satiation_half_life == 7.0
    assert scenario_parameters("control", {}).retention_sensitivity == 0.0
    assert scenario_parameters("movielens", {}) == Parameters()
    stress = scenario_parameters("stress", {})
    assert stress.catalogue_moves
    assert min(stress.taste_drift, stress.shock_rate, stress.season_amplitude) > 0
    assert scenario_parameters("cold_start", {}).new_user_share == 1.0


def test_changes_come_before_the_scenario() -> None:
    changed = scenario_parameters("boredom", {"click_appeal": 0.2, "max_pages": 4})
    assert (changed.click_appeal, changed.max_pages) == (0.2, 4)
    assert changed.click_satiation == 1.2
    assert scenario_parameters(None, {"max_pages": 4}) == Parameters(max_pages=4)


def test_unknown_scenarios_are_refused_with_what_is_near() -> None:
    with pytest.raises(ConfigError, match=r"got 'movielense'; did you mean movielens\?$"):
        load_scenario("movielense")
    with pytest.raises(ConfigError, match=r"got 'zzz'$"):
        load_scenario("zzz")
    with pytest.raises(ConfigError, match="matinee scenarios run tabular"):
        scenario_parameters("tabular", {})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "no setting 'colour'"),
        ({"name": "My Own"}, "name must be lower-case letters, digits and _, got 'My Own'"),
        ({"title": ""}, "title must be a text, got ''"),
        ({"regime": "T9"}, "regime must be one of T0, T1, T2, got 'T9'"),
        ({"known": "all"}, "known must be a list of texts, got 'all'"),
        ({"world": ["a"]}, r"world must hold parameters by name, got \['a'\]"),
        ({"world": {"click_bas": 1.0}}, "no setting 'click_bas'"),
        ({"world": {"watch_noise": -1.0}}, "watch_noise must be >= 0, got -1.0"),
        ({"users": 0}, "users must be >= 1, got 0"),
        ({"days": 2.5}, "days must be a whole number, got 2.5"),
        ({"fresh_candidates": -1}, "fresh_candidates must be >= 0, got -1"),
        ({"expectations": {}}, r"expectations must be a list, got \{\}"),
        ({"expectations": [7]}, "expectations.0 must be a mapping of settings, got 7"),
        ({"regime": "T0", "world": {"max_pages": 3}}, "TabularParameters has no setting"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_scenario({**MINE, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metric": "joy"}, f"metric must be one of {', '.join(METRICS)}, got 'joy'"),
        ({"relation": "near"}, "relation must be one of equal, above, below, within, got 'near'"),
        ({"claim": " "}, "claim must be a text, got ' '"),
        ({"arms": "mmr"}, "arms must be a list of texts, got 'mmr'"),
        ({"low": 0.1}, "low and high must be given for the relation within and for no other"),
        ({"relation": "within"}, "low and high must be given for the relation within"),
        ({"relation": "within", "low": 2.0, "high": 1.0}, "low must be <= high = 1, got 2.0"),
        ({"relation": "within", "low": math.inf}, "low and high must be a finite number, got inf"),
        ({"when": "now"}, "no setting 'when'"),
    ],
)
def test_mistakes_of_expectations_are_named(changes: dict[str, Any], words: str) -> None:
    expectation = {**MINE["expectations"][0], **changes}
    with pytest.raises(ConfigError, match=r"^mine: expectations\.0: .*" + words):
        parse_scenario({**MINE, "expectations": [expectation]}, origin="mine")


def _outcome(relation: str, figure: Figure, **bounds: float) -> str:
    expectation = Expectation(claim="So", metric="d7", relation=relation, arms=("mmr",), **bounds)
    scenario = Scenario.from_json({**MINE, "expectations": (expectation,)})
    (verdict,) = score(scenario, {"mf": {}, "mmr": {"d7": figure}}, control="mf")
    assert verdict.figure == figure
    return verdict.outcome


@pytest.mark.parametrize(
    ("difference", "error", "expected"),
    [
        (0.04, 0.01, ("fails", "holds", "fails")),
        (-0.04, 0.01, ("fails", "fails", "holds")),
        (0.02, 0.01, ("undecided", "undecided", "undecided")),
        (0.0, 0.0, ("holds", "undecided", "undecided")),
        (math.nan, math.nan, ("undecided", "undecided", "undecided")),
    ],
)
def test_differences_are_judged_by_their_errors(
    difference: float, error: float, expected: tuple[str, str, str]
) -> None:
    figure = Figure(0.2, 0.01, difference, error)
    found = tuple(_outcome(relation, figure) for relation in ("equal", "above", "below"))
    assert found == expected


def test_values_are_judged_by_their_bounds() -> None:
    assert _outcome("within", Figure(0.2), low=0.1, high=0.3) == "holds"
    assert _outcome("within", Figure(0.2), low=0.3) == "fails"
    assert _outcome("within", Figure(0.2, 0.05), low=0.3) == "undecided"
    assert _outcome("within", Figure(0.2, 0.05), low=0.1) == "undecided"
    assert _outcome("within", Figure(0.2, 0.03), low=0.1) == "holds"
    assert _outcome("within", Figure(0.2, 0.03), low=0.3) == "fails"
    assert _outcome("within", Figure(0.2, 0.03), high=0.1) == "fails"
    assert _outcome("within", Figure(math.nan, math.nan), high=0.1) == "undecided"


def test_without_arms_an_expectation_speaks_of_all_but_the_control() -> None:
    expectation = Expectation(claim="So", metric="d7", relation="equal")
    scenario = Scenario.from_json({**MINE, "expectations": (expectation,)})
    exact = {"d7": Figure(0.2, 0.01, 0.0, 0.0)}
    verdicts = score(scenario, {"mf": exact, "a": exact, "b": {}}, control="mf")
    assert [(verdict.arm, verdict.outcome) for verdict in verdicts] == [
        ("a", "holds"),
        ("b", "not run"),
    ]
