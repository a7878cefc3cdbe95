"""What holds for every test, before the first is collected, and a word after the last.

`platform`: pytest's importlib mode names the modules of the folder `platform/` after their folders
(`platform.matinee_platform...`) and puts a package in the place of a parent that is none; whatever
imports the standard library's `platform` afterwards then finds no `system()` there. A module with a
path is taken for a package, and stays.

Interrupts: a shell starts what runs in the background with Ctrl-C ignored, and children inherit
that. Tests interrupt themselves and their children.

Skips: what a test of services could not check is said aloud at the end.
"""

import platform
import signal
from pathlib import Path

import pytest

platform.__path__ = [str(Path(__file__).parent / "platform")]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud which test of services was skipped: a single `s` among dots is overlooked."""
    for report in terminalreporter.stats.get("skipped", []):
        if "services" in report.keywords:
            _, _, reason = report.longrepr
            said = f"not checked: {report.nodeid}: {reason.removeprefix('Skipped: ')}"
            terminalreporter.write_line(" ".join(said.split()), yellow=True, bold=True)
