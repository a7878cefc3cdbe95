"""`matinee validate`, as typed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_policies.errors import ConfigError

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
