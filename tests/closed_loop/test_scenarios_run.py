"""`matinee scenarios`: list, describe and run, alone and over a grid of sensitivities."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from matinee_platform.cli import app
from matinee_platform.offline.scenario_run import default_arms, scenario_settings
from matinee_platform.offline.tabular_run import run_tabular
from matinee_platform.settings import load_settings
from matinee_policies.errors import ConfigError, MatineeError
from matinee_simulator.scenarios import load_scenario

FEW = """
slots: 5
candidates: 30
arms:
  - {name: mf_order, policy: {kind: score_order}}
  - {name: popularity, candidates: popularity, policy: {kind: score_order}}
  - {name: click_oracle, policy: {kind: click_oracle}}
"""


def matinee(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory, small_data: Path) -> Path:
    path = tmp_path_factory.mktemp("arms") / "few.yaml"
    path.write_text(f"{FEW}data: {small_data}\n", encoding="utf-8")
    return path


def _options(arms: Path, out: Path, *, users: int = 120, days: int = 8) -> list[str | Path]:
    size = ["--users", str(users), "--days", str(days), "--workers", "1", "--quiet"]
    return ["--config", arms, "--out", out, *size, "--set", "world.arrival_days=1"]


def test_list_and_describe_name_what_there_is() -> None:
    text = matinee("scenarios", "list").stdout
    names = [one["name"] for one in json.loads(matinee("scenarios", "list", "--json").stdout)]
    assert names == ["boredom", "cold_start", "control", "movielens", "stress", "tabular"]
    assert all(name in text for name in names)
    text = matinee("scenarios", "describe", "boredom").stdout
    for words in ("click_satiation: 1.2   (default 0.6)", "Suggested: 3,000 users x 60 days"):
        assert words in text
    facts = json.loads(matinee("scenarios", "describe", "stress", "--json").stdout)
    assert facts["regime"] == "T2"
    assert facts["fresh_candidates"] == 20
    assert facts["expectations"][0]["claim"]


def test_control_is_held_by_a_run(arms: Path, tmp_path: Path) -> None:
    out = tmp_path / "control"
    done = matinee("scenarios", "run", "control", *_options(arms, out), "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["scenario"] == "control"
    assert len({arm["sessions_per_user"] for arm in found["results"]["arms"].values()}) == 1
    equal = [one for one in found["expectations"] if one["relation"] == "equal"]
    # Day 28 has not come for anybody in eight days.
    outcomes = {(one["metric"], one["outcome"]) for one in equal}
    assert outcomes == {("d28", "undecided"), ("d7", "holds"), ("sessions_per_user", "holds")}
    assert json.loads((out / "scenario.json").read_text(encoding="utf-8"))["expectations"]
    again = matinee("scenarios", "run", "control", *_options(arms, out), "--resume")
    assert "holds      Day 7 is the same for every policy [popularity: " in again.stdout


def test_a_grid_runs_every_point_and_says_what_holds(arms: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid"
    options = [*_options(arms, out), "--sensitivity", "0,2"]
    done = matinee("scenarios", "run", "movielens", *options)
    assert done.exit_code == 0, done.output
    assert "Sign of the difference to mf_order at 0, 2" in done.stdout
    grid = json.loads((out / "sensitivity.json").read_text(encoding="utf-8"))
    low, high = grid["points"]
    assert (low["retention_sensitivity"], high["retention_sensitivity"]) == (0.0, 2.0)
    # Without an effect all arms have the same visits; with one they have not.
    assert low["arms"]["popularity"]["sessions_per_user"]["difference"] == 0.0
    assert high["arms"]["popularity"]["sessions_per_user"]["difference"] != 0.0
    one = high["arms"]["click_oracle"]["ctr"]
    results = json.loads((out / "sensitivity-2" / "results.json").read_text(encoding="utf-8"))
    assert one["value"] == results["arms"]["click_oracle"]["ctr"]
    assert one["standard_error"] > 0
    ET.parse(out / "sensitivity.svg")  # noqa: S314 - our own
    assert (out / "sensitivity.txt").read_text(encoding="utf-8") in done.stdout


def test_settings_of_a_file_come_before_those_of_the_scenario(arms: Path) -> None:
    scenario = load_scenario("stress")
    plain = scenario_settings(scenario)
    assert (plain.users, plain.days, plain.fresh_candidates) == (2000, 60, 20)
    assert [arm.name for arm in plain.arms][:2] == ["mf_order", "mmr"]
    assert plain.control == "mf_order"
    own = scenario_settings(
        scenario, config=arms, overrides=["world.taste_drift=0.5"], users=7, seed=3
    )
    assert [arm.name for arm in own.arms] == ["mf_order", "popularity", "click_oracle"]
    assert (own.users, own.days, own.seed, own.candidates) == (7, 60, 3, 30)
    assert own.world == {"taste_drift": 0.5}
    assert own.scenario == "stress"
    with pytest.raises(ConfigError, match="design must be paired in a run of scenario stress"):
        scenario_settings(scenario, overrides=["design=ab"])
    with pytest.raises(ConfigError, match="scenario must be stress in a run"):
        scenario_settings(scenario, overrides=["scenario=control"])


def test_the_default_arms_are_those_of_an_experiment() -> None:
    settings = load_settings(None, base={"arms": default_arms(), "design": "paired"})
    assert {"mf_order", "mmr", "lin_ucb_mmr", "popularity", "click_oracle"} <= {
        arm.name for arm in settings.arms
    }


def test_the_tabular_scenario_is_solved_and_played() -> None:
    found = run_tabular(load_scenario("tabular"), users=2000, seed=1, seeds=2, steps=400)
    assert found.optimum == pytest.approx(25.06, abs=0.01)
    values = {law.name: law for law in found.policies}
    for law in found.policies[:-1]:
        assert abs(law.simulated - law.value) < 4 * law.simulated_error
    assert values["optimum"].share == pytest.approx(1.0)
    assert 0.5 < values["q-learning"].share < 1.0
    assert values["q-learning"].share_error > 0
    outcomes = [verdict.outcome for verdict in found.verdicts]
    # So few users leave open whether simulated lifetimes are within 2 % of the optimum.
    assert outcomes[:3] == ["undecided", "holds", "holds"]
    assert all(value is not None for value in found.to_json()["policies"][0].values())
    assert found.to_json()["policies"][-1]["simulated"] is None


def _mistake(*words: str | Path) -> str:
    done = matinee("scenarios", *words)
    assert done.exit_code == 1
    assert isinstance(done.exception, MatineeError), done.output
    return str(done.exception)


def test_mistakes_are_named_before_anything_runs(arms: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options: list[str | Path] = ["--config", arms, "--out", out]
    assert "did you mean boredom?" in _mistake("describe", "bordom")
    assert "did you mean control?" in _mistake("run", "contrl", *options)
    words = _mistake("run", "control", *options, "--sensitivity")
    assert "scenario control has the retention_sensitivity 0.0: there is no grid" in words
    assert "got 'x'" in _mistake("run", "boredom", *options, "--sensitivity", "x")
    assert "candidates must be at least slots = 40" in _mistake(
        "run", "boredom", *options, "--set", "slots=40"
    )
    assert "has no setting 'taste'" in _mistake("run", "stress", *options, "--set", "world.taste=1")
    assert "--set has no meaning for scenario tabular" in _mistake(
        "run", "tabular", "--out", out, "--set", "users=2"
    )
    for refused in (["--workers", "4"], ["--resume"], ["--overwrite"]):
        assert f"{refused[0]} has no meaning for scenario tabular" in _mistake(
            "run", "tabular", "--out", out, *refused
        )
    assert "users and seeds must be at least 2" in _mistake(
        "run", "tabular", "--out", out, "--users", "1"
    )
    assert not out.exists()


def test_describing_is_json() -> None:
    values: dict[str, Any] = json.loads(
        matinee("scenarios", "describe", "tabular", "--json").stdout
    )
    assert values["regime_means"].startswith("solved exactly")
    assert values["world"] == {}
