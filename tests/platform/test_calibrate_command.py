"""`matinee calibrate` from files to files, and the setting that uses what it writes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.offline.calibration_run import CalibrationRequest, calibration_settings
from matinee_platform.offline.prepare import world_parameters
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_policies.errors import DataError, MatineeError
from matinee_simulator.calibration import (
    QUICK,
    CalibrationSettings,
    film_parameters,
    load_calibration,
)
from matinee_simulator.parameters import Parameters

DAY = 86_400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of ratings and a log of sessions."""
    folder = tmp_path_factory.mktemp("service")
    rng = np.random.default_rng(2)
    lines = ["user,item,stars,when"]
    for user in range(120):
        taste = rng.normal(size=2)
        for item in rng.permutation(160)[:40]:
            liked = 3 + taste @ [np.sin(item), np.cos(item)] + 0.3 * rng.normal()
            lines.append(f"u{user},i{item},{np.clip(round(liked), 1, 5)},{1_000 * DAY + item}")
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    visits = ["user,time"]
    for user in range(300):
        for day in [0, *(1 + np.flatnonzero(rng.random(30) < 0.3))]:
            visits += [f"{user},{day * DAY + 5 * n}" for n in range(rng.geometric(0.5))]
    visits.append(f"0,{40 * DAY}")
    (folder / "visits.csv").write_text("\n".join(visits) + "\n")
    return folder


def calibrate(folder: Path, *options: str) -> Any:
    table = ["--users", "user", "--items", "item", "--ratings", "stars", "--timestamps", "when"]
    small = ["--simulated-users", "20", "--fresh-users", "20", "--seeds", "1"]
    small += ["--fresh-seeds", "5", "--budget", "2", "--restarts", "0", "--workers", "1"]
    data = str(folder / "ratings.csv")
    return CliRunner().invoke(app, ["calibrate", data, *table, *small, "--quiet", *options])


def test_a_service_is_calibrated_and_an_experiment_uses_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    found = calibrate(folder, "--sessions", str(folder / "visits.csv"), "--out", str(out), "--json")
    assert found.exit_code == 0, found.output
    values = json.loads(found.stdout)
    kinds = {entry["target"]["name"]: entry["target"]["kind"] for entry in values["moments"]}
    assert kinds["leave_1"] == kinds["return_day_28"] == "log"
    assert kinds["ctr_examined"] == "assumption"
    assert not [
        entry
        for entry in values["moments"]
        if entry["target"]["kind"] == "literature"
        and not entry["target"]["name"].startswith("examined")
    ]
    assert len(values["data"]["sha256 of visits.csv"]) == 64
    assert load_calibration(str(out)).to_json() == values
    assert out.with_suffix(".svg").read_text().startswith("<svg")
    settings = experiment(calibration=str(out), world={"retention_sensitivity": 0.5})
    parameters = world_parameters(settings)
    assert parameters.leave_base == values["parameters"]["leave_base"]
    assert parameters.retention_sensitivity == 0.5
    # A second time the file is in the way, and the journal answers everything.
    again = calibrate(folder, "--out", str(out))
    assert again.exit_code == 1
    assert isinstance(again.exception, MatineeError)
    assert "is there already" in str(again.exception)
    resumed = calibrate(
        folder,
        "--sessions",
        str(folder / "visits.csv"),
        "--out",
        str(out),
        "--resume",
        "--overwrite",
        "--json",
    )
    assert json.loads(resumed.stdout) == values


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--out", "{tmp}/mine.txt"], "--out must end in .json"),
        (["--out", "{tmp}/no/mine.json"], "--out must be in a folder that exists"),
        (["--sessions", "{tmp}/none.csv"], "must exist"),
        (["--targets", "{tmp}/none.yaml"], "must be there"),
        (["--seeds", "1,x"], "--seeds must be whole numbers"),
        (["--seeds", "5"], "must all be distinct"),
        (["--set", "click_base=3"], "click_base must be within -6 and -1"),
        (["--set", "colour=3"], "no setting 'colour'"),
        (["--start", "{tmp}/none.json"], "must be there"),
        (["--simulated-users", "3"], "users must be >= 10"),
        (["--ratings-are-visits"], "needs times that vary"),
    ],
)
def test_what_does_not_do_is_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, options: list[str], rule: str
) -> None:
    named = [option.replace("{tmp}", str(tmp_path)) for option in options]
    out = [] if "--out" in named else ["--out", str(tmp_path / "mine.json")]
    found = calibrate(folder, *out, *named)
    assert found.exit_code == 1
    assert isinstance(found.exception, MatineeError)
    assert rule in str(found.exception)
    assert not list(tmp_path.iterdir())


def test_quick_is_less_of_everything_and_options_come_first() -> None:
    plain, quick = (
        CalibrationRequest(out=Path("x.json")),
        CalibrationRequest(out=Path("x.json"), quick=True, seeds=(3, 4), budget=9),
    )
    assert calibration_settings(plain) == CalibrationSettings()
    found = calibration_settings(quick)
    assert (found.users, found.seeds, found.search.budget) == (QUICK.users, (3, 4), 9)
    assert found.search.restarts == QUICK.search.restarts


def experiment(**changes: Any) -> ExperimentSettings:
    return parse_settings({"arms": [{"name": "a", "policy": {"kind": "uniform"}}], **changes})


def test_calibrations_of_experiments() -> None:
    assert world_parameters(experiment()) == Parameters()
    assert world_parameters(experiment(calibration="films")) == film_parameters()
    changed = world_parameters(experiment(calibration="films", world={"click_base": -2.0}))
    assert changed.click_base == -2.0
    assert changed.leave_base == film_parameters().leave_base
    with pytest.raises(DataError, match="must be there"):
        world_parameters(experiment(calibration="none.json"))
