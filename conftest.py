"""What holds for all tests: the standard library's `platform`, and a word on what was not checked.

pytest's importlib mode names modules of the folder `platform/` after their folders
(`platform.matinee_platform...`) and puts a package in the place of a parent that is none; whatever
imports `platform` afterwards then finds no `system()` there. A module with a path is taken for a
package, and stays.
"""

import platform
from pathlib import Path

import pytest

platform.__path__ = [str(Path(__file__).parent / "platform")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud which test of services was skipped: a single `s` among dots is overlooked."""
    for report in terminalreporter.stats.get("skipped", []):
        if "services" in report.keywords:
            _, _, reason = report.longrepr
            said = f"not checked: {report.nodeid}: {reason.removeprefix('Skipped: ')}"
            terminalreporter.write_line(" ".join(said.split()), yellow=True, bold=True)
