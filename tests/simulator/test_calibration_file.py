"""Calibration files: round trip, what is refused, the file that comes with the package."""

import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from matinee_policies.errors import ConfigError, DataError
from matinee_simulator.calibration import (
    FREE,
    Calibration,
    Target,
    film_parameters,
    literature_targets,
    load_calibration,
    merged,
    read_calibration,
    read_targets,
    write_calibration,
)
from matinee_simulator.calibration.calibration_file import checksum
from matinee_simulator.calibration.record import Curve, FittedMoment, FittedParameter
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout import Estimate
from matinee_simulator.scenarios import scenario_parameters

TARGET = Target(
    name="leave_1", value=0.5, tolerance=0.02, kind="log", source="mine", n=7, standard_error=0.01
)


def example(**changes: Any) -> Calibration:
    parameters = Parameters(leave_base=0.7, goodwill_step=0.2)
    moment = FittedMoment(
        TARGET, Estimate(0.6, 0.01), Estimate(0.5, 0.01), Estimate(0.52, float("nan"))
    )
    calibration = Calibration(
        parameters=parameters,
        fitted=(FittedParameter("leave_base", "l0", 0.96, 0.7, 0.05, -2.0, 4.0),),
        moments=(moment,),
        depth_curve=(Curve(2, Estimate(0.5, 0.1), Estimate(0.4, 0.1)),),
        observed=(TARGET,),
        search={"seeds": [1, 2]},
        data={"sha256": "é"},
        versions={"matinee": "0"},
    )
    return dataclasses.replace(calibration, **changes)


def test_a_file_says_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    write_calibration(path, example())
    again = read_calibration(path)
    assert again.to_json() == example().to_json()
    assert again.parameters == example().parameters
    assert again.moments[0].distance == pytest.approx(1.0)
    assert load_calibration(str(path)).parameters.goodwill_step == 0.2
    assert not list(tmp_path.glob("*.partial"))
    values = json.loads(path.read_text(encoding="utf-8"))
    assert values["version"] == 1
    assert values["never_fitted"].keys() == {"return_goodwill", "churn_goodwill", "goodwill_step"}


def edited(path: Path, *, sign: bool, **changes: Any) -> None:
    """Change the file at `path`; `sign` makes its checksum fit again."""
    values = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    if sign:
        header = ("kind", "version", "sha256")
        values["sha256"] = checksum({k: v for k, v in values.items() if k not in header})
    path.write_text(json.dumps(values), encoding="utf-8")


@pytest.mark.parametrize(
    ("sign", "changes", "rule"),
    [
        (False, {"search": {}}, "sha256 must be that of the content"),
        (True, {"version": 2}, "version must be 1, got 2"),
        (True, {"kind": "other"}, "must be a calibration file"),
        (True, {"parameters": {"leave_base": 0.7, "colour": 3}}, "has no setting 'colour'"),
        (True, {"parameters": {"leave_base": 0.8}}, "leave_base must be the fitted value 0.7"),
        (True, {"parameters": {"leave_base": 0.7, "rating_share": 2}}, "rating_share must be <= 1"),
        (True, {"moments": [{}]}, "must hold a valid calibration"),
        (True, {"fitted": [{"name": "x"}]}, "must hold a valid calibration"),
    ],
)
def test_files_that_were_changed_are_refused(
    tmp_path: Path, sign: bool, changes: dict[str, Any], rule: str
) -> None:
    path = tmp_path / "mine.json"
    write_calibration(path, example())
    edited(path, sign=sign, **changes)
    with pytest.raises(DataError, match=rule):
        read_calibration(path)


def test_fitted_values_out_of_their_bounds_or_causal_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    for entry, rule in (
        (FittedParameter("leave_base", "l0", 0.0, 0.7, 0.1, 1.0, 4.0), "leave_base must be >= 1"),
        (FittedParameter("return_goodwill", "r1", 0.0, 1.1, 0.1, 0.0, 4.0), "can be fitted"),
    ):
        write_calibration(path, example(fitted=(entry,)))
        with pytest.raises(DataError, match=rule):
            read_calibration(path)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    with pytest.raises(DataError, match="must be there"):
        read_calibration(path)
    path.write_text("{")
    with pytest.raises(DataError, match="must be JSON"):
        read_calibration(path)
    path.write_text("[]")
    with pytest.raises(DataError, match="must be a calibration file"):
        read_calibration(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="must be UTF-8"):
        read_calibration(path)


def test_the_shipped_calibration_fits_published_figures_on_fresh_seeds() -> None:
    films = load_calibration("films")
    assert film_parameters() == films.parameters
    assert {entry.name for entry in films.fitted} == {free.name for free in FREE}
    assert [moment.target for moment in films.moments] == list(literature_targets())
    for moment in films.moments:
        assert moment.fresh.error > 0
    assert set(films.search["fresh_seeds"]).isdisjoint(films.search["seeds"])
    assert len(films.data["sha256"]) == 64


def test_a_calibration_lies_below_scenario_and_changes() -> None:
    base = Parameters(leave_base=0.7, retention_sensitivity=0.5, click_base=-2.0)
    found = scenario_parameters("control", {"click_base": -3.0}, base=base)
    assert (found.leave_base, found.retention_sensitivity, found.click_base) == (0.7, 0.0, -3.0)
    assert scenario_parameters(None, {}, base=base) == base


def test_published_targets_name_their_sources() -> None:
    targets = literature_targets()
    assert {target.group for target in targets} == {"click", "session", "return"}
    assert all(target.kind in ("literature", "assumption") for target in targets)
    # n follows from the hazards: who is at risk at the next page is who did not leave.
    hazards = [target for target in targets if target.name.startswith("leave")]
    for one, then in pairwise(hazards):
        assert one.n is not None
        assert then.n == pytest.approx(one.n * (1 - one.value), rel=0.002)
        assert one.standard_error == pytest.approx(
            (one.value * (1 - one.value) / one.n) ** 0.5, rel=0.1
        )


def test_own_figures_replace_the_literature_part_by_part() -> None:
    found = merged([TARGET], literature_targets())
    assert [t.name for t in found if t.group == "session"] == ["leave_1"]
    assert any(t.name == "return_day_28" for t in found)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("- {name: leave_1", "line [0-9]+: must be valid YAML"),
        ("name: leave_1", "must be a list of targets"),
        ("[]", "targets must not be empty"),
        ("- 3", "a target must be a mapping, got 3"),
        ("- {name: leave_1, value: .5, tolerance: .1, kind: rumour, source: x}", "'rumour'"),
        (
            "- {name: leave_1, value: .5, tolerance: 0, kind: log, source: x}",
            "tolerance of leave_1",
        ),
        ("- {name: leave_1, value: .5, tolerance: 1, kind: log, source: ''}", "source of leave_1"),
        ("- {name: leave_1, value: .5, tolerance: 1, kind: log, source: x, n: 0}", "n of leave_1"),
        ("- {name: leave_1, value: .5, tolerance: 1, kind: log}", "missing.*'source'"),
        ("- {name: stay_1, value: .5, tolerance: 1, kind: log, source: x}", "got 'stay_1'"),
        (
            "- &t {name: leave_1, value: .5, tolerance: 1, kind: log, source: x}\n- *t",
            "distinct moments, got leave_1 twice",
        ),
    ],
)
def test_target_files_that_break_a_rule_are_refused(tmp_path: Path, text: str, rule: str) -> None:
    path = tmp_path / "targets.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((ConfigError, DataError), match=rule):
        read_targets(path)


def test_a_target_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "targets.yaml"
    path.write_text("- {name: leave_1, value: .5, tolerance: .1, kind: log, source: mine}")
    assert read_targets(path) == (
        Target(name="leave_1", value=0.5, tolerance=0.1, kind="log", source="mine"),
    )
