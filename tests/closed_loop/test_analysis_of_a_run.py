"""The analysis of a run: what it leaves behind, and what its scorecard says of the same log."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from matinee_platform.analysis.experiment.analysis import analyse_experiment
from matinee_platform.analysis.experiment.of_run import ANALYSIS, analyse_run
from matinee_platform.analysis.experiment.plan import plan_of_run
from matinee_platform.analysis.unit_days.run_log import read_run_unit_days
from matinee_platform.cli import app
from matinee_platform.json_file import read_json, write_json
from matinee_platform.offline.arm_state import _owner
from matinee_platform.offline.resume import check_same
from matinee_platform.offline.run import _with_defaults
from matinee_platform.report.page import write_report
from matinee_platform.run_settings import run_settings
from matinee_platform.settings import parse_settings
from matinee_policies.errors import ConfigError, DataError

COMPARED = {
    "ctr": None,
    "engagement_per_user": None,
    "sessions_per_user": None,
    "d1": "rate",
    "d7": "rate",
    "d28": "rate",
    "d28_smoothed": "rate",
    "returned_within_7": "rate",
}


@pytest.fixture(scope="module")
def document(tiny_run: Path) -> dict[str, Any]:
    return dict(read_json(tiny_run / ANALYSIS))


def same(found: float | None, wanted: float | None) -> None:
    if wanted is None:
        assert found is None
    else:
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_what_the_scorecard_says_too_is_the_same(tiny_run: Path) -> None:
    # The scorecard has intervals of any two units; by default an analysis wants a hundred.
    plan = plan_of_run(run_settings(tiny_run))
    plan = replace(plan, settings=plan.settings.model_copy(update={"minimum_units": 1}))
    document = analyse_experiment(read_run_unit_days(tiny_run), plan)
    results = read_json(tiny_run / "results.json")
    compared = 0
    for arm, wanted in results["arms"].items():
        assert document["arms"][arm]["units"] == wanted["users"]
        for name in ("sessions", "pages", "impressions", "clicks"):
            assert document["arms"][arm][name] == wanted[name]
        for name, part in COMPARED.items():
            metric = document["metrics"][name]
            value = wanted[name] if part is None else wanted[name][part]
            same(metric["arms"][arm]["value"], value)
            error = wanted["standard_errors"][name]
            same(metric["arms"][arm]["standard_error"], error)
            if part is not None and name in document["retention"]["metrics"]:
                family = document["retention"]["metrics"][name]["arms"][arm]
                for field in ("returned", "eligible", "rate", "matured"):
                    same(family[field], wanted[name][field])
            if wanted["difference"] is not None:
                effect, difference = metric["effects"][arm]["fixed"], wanted["difference"][name]
                for field in ("difference", "low", "high", "relative", "p_value"):
                    same(effect[field], difference[field])
                    compared += difference[field] is not None
        curve = wanted["retention_curve"]
        rates = document["retention"]["curves"][arm]["rate"]
        assert rates == pytest.approx(curve[: len(rates)], rel=1e-9)
    assert compared > 100


def test_the_command_prints_what_the_run_left(
    tiny_run: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    page = tmp_path / "analysis.html"
    found = CliRunner().invoke(app, ["analyze", str(tiny_run), "--json", "--html", str(page)])
    assert found.exit_code == 0
    assert json.loads(found.stdout) == document
    text = page.read_text(encoding="utf-8")
    assert document["verdict"]["headline"].replace("'", "&#39;") in text
    assert "://" not in text.replace("http://www.w3.org", "")
    more = CliRunner().invoke(app, ["analyze", str(tiny_run), "--metric", "engagement_median"])
    assert more.exit_code == 0
    lines = more.stdout.splitlines()
    assert lines[0].startswith("tiny: offline run, 10 full days, 240 units, control mf_order")
    assert lines[1].startswith("No conclusion. Smallest arm")
    assert any(line.startswith("  FAILED  units: smallest arm") for line in lines)


def test_a_report_without_an_analysis_is_whole(tiny_run: Path, tmp_path: Path) -> None:
    text = (tiny_run / "report.html").read_text(encoding="utf-8")
    assert "Verdict of the declared analysis" in text
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / ANALYSIS).unlink()
    write_report(run, read_json(run / "results.json"))
    assert "Verdict" not in (run / "report.html").read_text(encoding="utf-8")


def test_a_paired_run_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    settings = read_json(tiny_run / "settings.json")
    write_json(run / "settings.json", {**settings, "design": "paired"})
    with pytest.raises(ConfigError, match="no split to analyse"):
        analyse_run(run)
    found = CliRunner().invoke(app, ["analyze", str(tiny_run), "--experiment", "home"])
    assert "a run has one experiment" in str(found.exception)


def test_a_bad_log_gives_no_number(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    part = sorted((run / "decisions" / "mf_order").iterdir())[0]
    with pa.ipc.open_file(part) as file:
        table = file.read_all()
    with pa.ipc.new_file(part, table.schema) as writer:
        writer.write_table(pa.concat_tables([table, table]))
    with pytest.raises(DataError, match="decision_id must occur once"):
        analyse_run(run)
    found = CliRunner().invoke(app, ["analyze", str(run)])
    assert found.exit_code == 1
    assert found.stdout == ""


def test_what_is_declared_leaves_a_run_as_it_is(tiny_run: Path, tmp_path: Path) -> None:
    stored = read_json(tiny_run / "settings.json")
    settings = parse_settings(stored)
    other = parse_settings({**stored, "analysis": {"primary": ["d1"], "horizon_days": 5}})
    assert _owner(settings, settings.arms[0]) == _owner(other, settings.arms[0])
    # A run of a version that knew of no analysis goes on with the defaults.
    older = {key: value for key, value in stored.items() if key != "analysis"}
    write_json(tmp_path / "settings.json", older)
    wanted = settings.model_dump(mode="json")
    check_same(tmp_path / "settings.json", wanted, what="settings", read=_with_defaults)
    with pytest.raises(ConfigError, match=r"analysis.primary"):
        check_same(
            tmp_path / "settings.json",
            other.model_dump(mode="json"),
            what="settings",
            read=_with_defaults,
        )
