"""`matinee validate`, as typed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.data_settings import parse_data
from matinee_platform.validation.evidence import Request
from matinee_platform.validation.runner import run_validation
from matinee_platform.validation.size import QUICK
from matinee_policies.errors import ConfigError
from matinee_simulator.parameters import Parameters

runner = CliRunner()


def test_a_few_checks_leave_a_page_and_their_numbers(small_data: Path, tmp_path: Path) -> None:
    table = tmp_path / "page.md"
    table.write_text(
        "<!-- validation: begin, written by matinee validate --results -->\n"
        "<!-- validation: end -->\n",
        encoding="utf-8",
    )
    done = runner.invoke(
        app,
        [
            *("validate", str(small_data), "--quick", "--only", "2,8", "--only", "T1,T2,T12"),
            *("--workers", "1", "--out", str(tmp_path / "out"), "--results", str(table)),
        ],
    )
    assert done.exit_code in (0, 1), done.output
    found = json.loads((tmp_path / "out" / "validation.json").read_text(encoding="utf-8"))
    keys = [finding["key"] for finding in found["findings"]]
    assert keys == ["fact-2", "fact-8", "T1", "T2", "T12"]
    verdicts = {finding["key"]: finding["verdict"] for finding in found["findings"]}
    assert verdicts["T1"] == verdicts["T2"] == "pass"
    assert done.exit_code == (0 if found["passed"] else 1)
    page = (tmp_path / "out" / "validation.html").read_text(encoding="utf-8")
    assert page.count('<article class="check"') == 5
    assert "| fact 2 |" in table.read_text(encoding="utf-8")
    assert str(tmp_path) not in table.read_text(encoding="utf-8")


def test_a_failure_is_the_exit_status_unless_only_a_report_is_wanted(
    small_data: Path, tmp_path: Path
) -> None:
    # Histories of nearly one length: activity has no tail.
    words = [
        *("validate", str(small_data), "--quick", "--only", "4", "--set", "history_most=20"),
        *("--set", "history_mean=18", "--set", "history_least=17"),
        *("--workers", "1", "--quiet", "--out", str(tmp_path)),
    ]
    failed = runner.invoke(app, words)
    assert failed.exit_code == 1
    assert "FAIL" in failed.output
    told = runner.invoke(app, [*words, "--report-only", "--json"])
    assert told.exit_code == 0
    assert json.loads(told.output)["passed"] is False


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--only", "T99"], "got 'T99'"),
        (["--set", "click_base"], "key=value"),
        (["--scenario", "nowhere"], "nowhere"),
        (["--workers", "0"], "workers must be >= 1"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    words: list[str], complaint: str, tmp_path: Path
) -> None:
    done = runner.invoke(app, ["validate", *words, "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, ConfigError)
    assert complaint in str(done.exception)
    assert not (tmp_path / "out" / "validation.json").exists()


def test_a_run_does_not_depend_on_workers(small_data: Path) -> None:
    request = Request(
        data=parse_data({"path": str(small_data)}), parameters=Parameters(), seed=1, size=QUICK
    )
    runs = [run_validation(request, only=["24,T1,18"], workers=workers) for workers in (1, 2)]
    for run in runs:
        for finding in run["findings"]:
            finding.pop("seconds")
        json.dumps(run, allow_nan=False)
    assert runs[0]["findings"] == runs[1]["findings"]
    assert [finding["key"] for finding in runs[0]["findings"]] == ["fact-18", "fact-24", "T1"]
    assert runs[0]["findings"][0]["verdict"] == "not applicable"
    assert runs[0]["passed"] is True
    assert runs[0]["counts"] == {
        "pass": 2,
        "fail": 0,
        "not applicable": 1,
        "not run": 0,
        "measured": 0,
    }
