"""What is pinned, and what `make audit` says when it can and cannot ask."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.version import Version

from audit.dependency_audit import NOT_AUDITED, audit, audit_command

LOCK = Path(__file__).parents[1] / "requirements.lock"


def test_vowpal_wabbit_is_pinned_beyond_its_known_weakness() -> None:
    (found,) = re.findall(r"^vowpalwabbit==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    assert Version(found) >= Version("9.11.4")


def test_what_was_not_asked_is_said_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(None, lambda _: (0, "")) == NOT_AUDITED
    assert "NOT AUDITED" in capsys.readouterr().err
    asked: list[str] = []

    def away(command: Sequence[str]) -> tuple[int, str]:
        asked.append(command[-1])
        return 1, "ConnectionError: name resolution"

    assert audit(["pip-audit"], away) == NOT_AUDITED
    assert asked == ["pypi", "osv"]
    assert "name resolution\n\nNOT AUDITED" in capsys.readouterr().err


def test_findings_and_their_absence(capsys: pytest.CaptureFixture[str]) -> None:
    table = "Name Version ID Fix Versions\nx 1 PYSEC-1 2"
    assert audit(["pip-audit"], lambda _: (1, table)) == 1
    assert "PYSEC-1" in capsys.readouterr().out
    assert audit(["pip-audit"], lambda _: (0, "No known vulnerabilities found")) == 0


def test_it_runs_in_an_environment_of_its_own() -> None:
    assert audit_command(lambda name: None) is None
    assert audit_command(lambda name: name if name == "uv" else None) == [
        *("uv", "tool", "run"),
        *("--quiet", "pip-audit"),
    ]
