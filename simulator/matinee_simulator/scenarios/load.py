"""Find and read the scenarios that come with the package."""

import difflib
import functools
from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

from matinee_policies.errors import ConfigError
from matinee_simulator.parameters import Parameters
from matinee_simulator.scenarios.expectation import Expectation
from matinee_simulator.scenarios.scenario import Scenario

_SUFFIX = ".yaml"


@functools.cache
def scenario_names() -> tuple[str, ...]:
    """Names of all scenarios, sorted."""
    folder = resources.files("matinee_simulator.scenarios") / "settings"
    files = (file.name for file in folder.iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX)))


@functools.cache
def load_scenario(name: str) -> Scenario:
    """The scenario of this name.

    Raises:
        ConfigError: there is none; names that are near are given.

    Example:
        >>> load_scenario("contol")
        Traceback (most recent call last):
        matinee_policies.errors.ConfigError: scenario must be one of boredom, cold_start, control, \
movielens, stress, tabular, got 'contol'; did you mean control?
    """
    if name not in scenario_names():
        near = difflib.get_close_matches(name, scenario_names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"scenario must be one of {', '.join(scenario_names())}, got {name!r}{hint}"
        )
    file = resources.files("matinee_simulator.scenarios") / "settings" / (name + _SUFFIX)
    scenario = parse_scenario(yaml.safe_load(file.read_text(encoding="utf-8")), origin=name)
    if scenario.name != name:
        raise ConfigError(f"scenario {name}: name must be that of the file, got {scenario.name!r}")
    return scenario


def parse_scenario(values: object, *, origin: str = "scenario") -> Scenario:
    """Check a scenario given as plain values.

    Args:
        values: fields of `Scenario` by name; expectations as mappings.
        origin: where they come from, for errors.

    Raises:
        ConfigError: naming the key or value that breaks a rule.

    Example:
        >>> parse_scenario({"name": "mine", "colour": "red"})
        Traceback (most recent call last):
        matinee_policies.errors.ConfigError: scenario: Scenario has no setting 'colour'; it has \
name, title, purpose, regime, known, world, users, days, fresh_candidates, expectations
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"scenario {origin}: must be a mapping of settings, got {values!r}")
    try:
        given = dict(values)
        if "expectations" in given:
            given["expectations"] = _expectations(given["expectations"])
        return Scenario.from_json(given)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None


def scenario_parameters(
    name: str | None, changes: Mapping[str, Any], *, base: Parameters | None = None
) -> Parameters:
    """Parameters of the simulated users of a scenario, with changes of a user's own.

    Args:
        name: of a scenario, or None for the defaults.
        changes: parameters by name that come before those of the scenario.
        base: what the scenario changes, in place of the defaults.

    Raises:
        ConfigError: on an unknown scenario or a bad parameter, or on the tabular scenario, which
            has no such users.

    Example:
        >>> parameters = scenario_parameters("boredom", {"satiation_half_life": 3.0})
        >>> parameters.click_appeal, parameters.satiation_half_life
        (0.0, 3.0)
    """
    below = {} if base is None else base.to_json()
    if name is None:
        return Parameters.from_json({**below, **changes})
    scenario = load_scenario(name)
    if scenario.tabular:
        raise ConfigError(
            f"scenario {name} has no catalogue to serve; run it with: matinee scenarios run {name}"
        )
    return Parameters.from_json({**below, **scenario.world, **changes})


def _expectations(values: object) -> tuple[Expectation, ...]:
    if not isinstance(values, list):
        raise ConfigError(f"expectations must be a list, got {values!r}")
    found = []
    for place, value in enumerate(values):
        if not isinstance(value, Mapping):
            raise ConfigError(f"expectations.{place} must be a mapping of settings, got {value!r}")
        try:
            found.append(Expectation.from_json(value))
        except ConfigError as error:
            raise ConfigError(f"expectations.{place}: {error}") from None
    return tuple(found)
