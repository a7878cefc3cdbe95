"""`make audit`: ask pip-audit whether the pinned requirements have known weaknesses.

Status 0: none is known. 1: some are, and are printed. 2: NOT AUDITED: no pip-audit, or no source of
advisories that it can reach; nothing is known then.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

LOCK = Path(__file__).parents[2] / "requirements.lock"
NOT_AUDITED = 2
_ARGUMENTS = ("--requirement", str(LOCK), "--require-hashes", "--disable-pip", "--no-deps")
_SOURCES = ("pypi", "osv")
_SECONDS = 300

Run = Callable[[Sequence[str]], tuple[int, str]]


def audit_command(which: Callable[[str], str | None] = shutil.which) -> list[str] | None:
    """How pip-audit is called here, in an environment of its own; None if it cannot be."""
    if which("pip-audit"):
        return ["pip-audit"]
    if which("uv"):
        return ["uv", "tool", "run", "--quiet", "pip-audit"]
    return None


def audit(command: Sequence[str] | None, run: Run) -> int:
    """Audit by the first source of advisories that answers; prints what came of it.

    Args:
        command: as `audit_command` gives it.
        run: runs a command, and gives its status and what it printed.
    """
    if command is None:
        return _not_audited("neither pip-audit nor uv is here: pipx install pip-audit")
    said = ""
    for source in _SOURCES:
        status, said = run([*command, *_ARGUMENTS, "--vulnerability-service", source])
        if status == 0:
            print(f"No known weakness of the pinned requirements ({source}).")
            return 0
        # pip-audit ends with 1 for findings and for its own failures alike.
        if "Fix Versions" in said:
            print(said)
            return 1
    return _not_audited(said.strip() or "pip-audit said nothing")


def _not_audited(reason: str) -> int:
    print(
        f"{reason}\n\nNOT AUDITED: the requirements were compared with no advisory.",
        file=sys.stderr,
    )
    return NOT_AUDITED


def _run(command: Sequence[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return NOT_AUDITED, str(error)
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    raise SystemExit(audit(audit_command(), _run))
