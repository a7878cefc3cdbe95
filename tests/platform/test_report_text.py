"""Results as text: what people named is printed as it stands."""

from pathlib import Path
from typing import Any

import pytest

from matinee_platform.report.candidate_table import print_evaluation
from matinee_platform.report.page import REPORT
from matinee_platform.report.table import print_summary, summary_text

NAMED = "table [bold]a[/bold] [/x].csv"
METRICS = ("ctr", "engagement_per_user", "sessions_per_user", "ild", "coverage")


def results() -> dict[str, Any]:
    arm: dict[str, Any] = {
        "users": 5,
        "reference": False,
        "difference": None,
        **dict.fromkeys(METRICS, 0.1),
    }
    arm |= {day: {"rate": 0.2, "matured": 1.0} for day in ("d1", "d7", "d28")}
    return {"data": NAMED, "control": "a", "srm_p_value": None, "arms": {"a": arm}}


def test_brackets_in_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    assert f"Data: {NAMED}\n" in summary_text(results())
    print_summary(results(), Path("runs/[/x]"))
    printed = capsys.readouterr().out
    assert f"Data: {NAMED}\n" in printed
    assert "Plot: runs/[/x]/retention.png" in printed
    assert "Report" not in printed


def test_a_summary_leads_to_the_report_that_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / REPORT).touch()
    print_summary(results(), tmp_path)
    assert f"\nReport, for a browser: {tmp_path / 'report.html'}\n" in capsys.readouterr().out


def test_brackets_in_the_words_of_a_source_are_no_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = {"note": NAMED, "fit_seconds": 1.0, "rmse": None, "mae": None}
    print_evaluation(
        {
            "data": NAMED,
            "split": "by time",
            "intervals": "none",
            "ratings": {"train": 1, "held_out": 1},
            "users_with_held_out": 1,
            "items": 1,
            "k": [],
            "sources": {"mine": source},
        }
    )
    printed = capsys.readouterr().out
    assert f"Data: {NAMED}\n" in printed
    assert f"Source mine: {NAMED}\n" in printed


def test_the_stars_of_a_summary_say_that_they_are_uncorrected() -> None:
    text = " ".join(summary_text(results()).split())
    assert "*: the interval excludes 0, uncorrected for the number of comparisons" in text
