"""`matinee plan` and `matinee aa` as people and machines see them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from matinee_platform.cli import app
from matinee_policies.errors import ConfigError


def _called(*options: str) -> Result:
    return CliRunner().invoke(app, list(options))


def test_a_plan_from_numbers() -> None:
    shown = _called("plan", "--rate", "0.4", "--effect", "0.05", "--traffic", "2000", "--json")
    values = json.loads(shown.stdout)
    (metric,) = values["metrics"]
    assert metric["units_needed"] == 18_979
    assert (metric["enrol_days"], metric["days"], metric["whole_weeks"]) == (10, 10, 2)
    assert metric["effect"] == pytest.approx(0.02)
    assert [stage["coverage"] for stage in values["ramp"]] == [0.1, 0.5, 1.0]


def test_a_plan_for_people() -> None:
    shown = _called("plan", "--value", "5", "--sd", "4", "--days", "21", "--traffic", "900").stdout
    assert "power 80%, read at its end" in shown
    assert "18,900" in shown
    assert "100% for" in shown


def test_a_plan_of_what_is_read_as_it_runs_knows_its_tuning() -> None:
    options = ["plan", "--value", "5", "--sd", "4", "--effect", "0.02", "--always-valid", "--json"]
    values = json.loads(_called(*options).stdout)
    assert values["question"]["tuned_for_units"] == 10_000
    early = json.loads(_called(*options, "--tuned-for", "100").stdout)
    assert early["metrics"][0]["units_needed"] > values["metrics"][0]["units_needed"]
    assert (
        "read while it runs, tuned for 100 units"
        in _called(*options[:-1], "--tuned-for", "100").stdout
    )


def test_without_traffic_there_are_no_days() -> None:
    shown = _called("plan", "--value", "5", "--sd", "4", "--units", "1000", "--json")
    values = json.loads(shown.stdout)
    assert values["ramp"] is None
    assert values["metrics"][0]["days"] is None
    assert values["metrics"][0]["chance"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rate", "0.4"], "give one of --effect, --units and --days"),
        (["--rate", "0.4", "--effect", "0.1", "--units", "9"], "give one of"),
        (["--rate", "0.4", "--days", "9"], "--days needs --traffic"),
        (["--effect", "0.1"], "a baseline needs a run"),
        (["--rate", "0.4", "--effect", "0.1", "--metrics", "d7"], "speak of past data"),
        (["RUN", "--rate", "0.4", "--effect", "0.1"], "stand in for past data"),
    ],
)
def test_what_does_not_fit_together_is_refused(options: list[str], message: str) -> None:
    shown = _called("plan", *options)
    assert isinstance(shown.exception, ConfigError)
    assert message in str(shown.exception)


def test_a_run_is_measured(tiny_run: Path) -> None:
    shown = _called("plan", str(tiny_run), "--effect", "0.1", "--arm", "popularity", "--json")
    metrics = {one["metric"]: one for one in json.loads(shown.stdout)["metrics"]}
    # Ten days are too short for day 28.
    assert list(metrics) == ["ctr", "engagement_7", "sessions_7", "returned_within_7", "d7"]
    results = json.loads((tiny_run / "results.json").read_text(encoding="utf-8"))
    expected = results["arms"]["popularity"]
    assert metrics["ctr"]["value"] == pytest.approx(expected["ctr"], rel=1e-9)
    assert metrics["d7"]["value"] == pytest.approx(expected["d7"]["rate"], rel=1e-9)
    assert metrics["d7"]["units"] == expected["d7"]["eligible"]
    # What the run declared of its sequences is what a plan goes on.
    settings = json.loads((tiny_run / "settings.json").read_text(encoding="utf-8"))
    question = json.loads(shown.stdout)["question"]
    assert question["tuned_for_units"] == settings["analysis"]["tuned_for_units"]
    error = expected["standard_errors"]["ctr"]
    units = metrics["ctr"]["units"]
    assert (metrics["ctr"]["variance"] / units) ** 0.5 == pytest.approx(error, rel=1e-9)


def test_a_log_is_assigned_anew(tiny_run: Path) -> None:
    options = ["aa", str(tiny_run), "--salts", "40", "--quiet", "--json"]
    shown = _called(*options)
    assert shown.exit_code == 0
    values = json.loads(shown.stdout)
    assert values["units"] == 240
    assert values["passed"]
    assert values["not_matured"] == ["d28", "sessions_28", "stickiness"]
    methods = {(test["metric"], test["method"]): test["salts"] for test in values["tests"]}
    assert methods["split", "chi-square"] == 40
    assert methods["ctr", "ratio"] == methods["ctr", "cuped"] == 40
    assert _called(*options).stdout == shown.stdout


def test_people_read_the_alarms_in_a_table(tiny_run: Path) -> None:
    shown = _called("aa", str(tiny_run), "--salts", "20", "--metrics", "ctr,d28", "--quiet")
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("240 units assigned under 20 salts")
    assert [line.split()[0] for line in lines[2:5]] == ["split", "ctr", "ctr"]
    assert lines[-1] == "too short a log for d28"
