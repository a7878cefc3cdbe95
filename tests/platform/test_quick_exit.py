"""A service that has closed everything leaves at once; every other command ends as usual."""

import subprocess
import sys

import pytest

from matinee_platform import cli, quick_exit

_PROGRAM = (
    "import atexit, sys; from matinee_platform.quick_exit import quick_exit; "
    "atexit.register(print, 'taken apart'); print('said'); quick_exit(int(sys.argv[1]))"
)


@pytest.mark.parametrize("status", [0, 3])
def test_lines_are_written_and_nothing_is_taken_apart(status: int) -> None:
    words = [sys.executable, "-c", _PROGRAM, str(status)]
    done = subprocess.run(words, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (status, b"said\n")


class _LeftError(BaseException):
    pass


@pytest.mark.parametrize(
    ("command", "status", "at_once"),
    [("serve", 0, True), ("learn", 0, True), ("serve", 1, False), ("runs", 0, False)],
)
def test_who_leaves_at_once(
    command: str, status: int, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended() -> None:
        raise SystemExit(status)

    def left(status: int) -> None:
        raise _LeftError(status)

    monkeypatch.setattr(sys, "argv", ["matinee", command])
    monkeypatch.setattr(cli, "app", ended)
    monkeypatch.setattr(quick_exit, "quick_exit", left)
    with pytest.raises(_LeftError if at_once else SystemExit):
        cli.main()
