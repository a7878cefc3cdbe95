"""A scenario as an experiment: its settings, and which of its expectations a run holds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matinee_platform.analysis.sensitivity import run_values
from matinee_platform.json_file import write_json
from matinee_platform.offline.sensitivity_run import SENSITIVITY
from matinee_platform.settings import REFERENCES, ExperimentSettings, load_settings
from matinee_policies.errors import ConfigError
from matinee_simulator.parameters import Parameters
from matinee_simulator.scenarios import (
    REGIMES,
    Figure,
    Scenario,
    Verdict,
    load_scenario,
    scenario_names,
    score,
)
from matinee_simulator.tabular.parameters import TabularParameters

__all__ = [
    "VERDICTS",
    "check_grid_allowed",
    "default_arms",
    "described",
    "load_scenario",
    "scenario_list",
    "scenario_settings",
    "verdicts_json",
    "verdicts_of",
    "write_verdicts",
]

VERDICTS = "scenario.json"
"""File of a run that says which expectations of its scenario it holds."""

_ARMS: tuple[dict[str, Any], ...] = (
    {"name": "mf_order", "policy": {"kind": "score_order"}},
    {"name": "mmr", "policy": {"kind": "score_order", "diversity": 0.3}},
    {"name": "lin_ucb_mmr", "policy": {"kind": "lin_ucb", "alpha": 0.1, "diversity": 0.05}},
    {
        "name": "epsilon_greedy",
        "policy": {"kind": "epsilon_greedy", "epsilon": 0.1, "diversity": 0.05},
    },
    {"name": "popularity", "candidates": "popularity", "policy": {"kind": "score_order"}},
)
_REFERENCE_ARMS = ("click_oracle", "index_oracle")

_REWARD = {
    "engagement": {"watch": 1.0, "click": -0.3},
    "return_visit": {"weight": 0.05},
}


def scenario_settings(
    scenario: Scenario,
    *,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    users: int | None = None,
    days: int | None = None,
    seed: int | None = None,
) -> ExperimentSettings:
    """The experiment that runs a scenario: every user meets every arm.

    Args:
        scenario: which.
        config: file of settings that come before those suggested here, e.g. other arms.
        overrides: `key=value` texts that come before both.
        users: before the suggested number and the file's.
        days: likewise.
        seed: likewise.

    Raises:
        ConfigError: on a bad setting, or a scenario without a catalogue.
    """
    if scenario.tabular:
        raise ConfigError(f"scenario {scenario.name} has no catalogue and no arms to serve it")
    given = {"users": users, "days": days, "seed": seed}
    base: dict[str, Any] = {
        "name": scenario.name,
        "scenario": scenario.name,
        "users": scenario.users,
        "days": scenario.days,
        "design": "paired",
        "fresh_candidates": scenario.fresh_candidates,
        "reward": _REWARD,
        "arms": default_arms(),
    }
    settings = load_settings(
        config,
        [
            *overrides,
            *(f"{name}={value}" for name, value in given.items() if value is not None),
        ],
        base=base,
    )
    for name, wanted in (("scenario", scenario.name), ("design", "paired")):
        if getattr(settings, name) != wanted:
            raise ConfigError(
                f"{name} must be {wanted} in a run of scenario {scenario.name}, "
                f"got {getattr(settings, name)!r}; matinee simulate runs anything else"
            )
    return settings


def default_arms() -> list[dict[str, Any]]:
    """Arms of a scenario's run where none are given; the first is the control."""
    known = [name for name in _REFERENCE_ARMS if name in REFERENCES]
    return [*_ARMS, *({"name": name, "policy": {"kind": name}} for name in known)]


def check_grid_allowed(scenario: Scenario) -> None:
    """Refuse a grid of sensitivities where the scenario is about one of them.

    Raises:
        ConfigError: naming the scenario and its sensitivity.
    """
    if scenario.tabular or SENSITIVITY in scenario.world:
        fixed = scenario.world.get(SENSITIVITY, "that of the tabular world")
        raise ConfigError(
            f"scenario {scenario.name} has the {SENSITIVITY} {fixed}: there is no grid of it"
        )


def verdicts_of(scenario: Scenario, results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Which expectations a finished run holds, as JSON values.

    Args:
        scenario: that was run.
        results: content of `results.json` of a paired run.
    """
    figures = {
        arm: {
            metric: Figure(
                found.value, found.standard_error, found.difference, found.difference_error
            )
            for metric, found in metrics.items()
        }
        for arm, metrics in run_values(results).items()
    }
    return verdicts_json(score(scenario, figures, control=results["control"]))


def verdicts_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Verdicts as JSON values; numbers that do not exist are null."""
    return [
        {
            "claim": verdict.expectation.claim,
            "metric": verdict.expectation.metric,
            "relation": verdict.expectation.relation,
            "low": verdict.expectation.low,
            "high": verdict.expectation.high,
            "arm": verdict.arm,
            "outcome": verdict.outcome,
            "figure": None
            if verdict.figure is None
            else {
                name: None if value != value else value
                for name, value in asdict(verdict.figure).items()
            },
        }
        for verdict in verdicts
    ]


def write_verdicts(verdicts: Sequence[Mapping[str, Any]], scenario: Scenario, run: Path) -> None:
    """Write `scenario.json` into the folder of a run."""
    write_json(run / VERDICTS, {"scenario": scenario.name, "expectations": list(verdicts)})


def scenario_list() -> list[dict[str, Any]]:
    """Every scenario in a few words, as JSON values."""
    return [
        {
            "name": scenario.name,
            "regime": scenario.regime,
            "title": scenario.title,
            "users": scenario.users,
            "days": scenario.days,
        }
        for scenario in map(load_scenario, scenario_names())
    ]


def described(name: str) -> dict[str, Any]:
    """Everything about one scenario, as JSON values.

    Raises:
        ConfigError: there is none of this name.
    """
    scenario = load_scenario(name)
    parameters = TabularParameters if scenario.tabular else Parameters
    return {
        **scenario.to_json(),
        "regime_means": REGIMES[scenario.regime],
        "defaults": {key: getattr(parameters(), key) for key in scenario.world},
    }
