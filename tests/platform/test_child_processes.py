"""Ctrl-C while processes start: they do not hear it, and it is not lost."""

import os
import signal
import subprocess
import sys

import pytest

from matinee_platform.offline.child_processes import deaf_to_interrupts

PATIENT = "import sys; print('up', flush=True); sys.stdin.read(); print('done')"


def test_an_interrupt_while_a_process_starts_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt), deaf_to_interrupts():
        os.kill(os.getpid(), signal.SIGINT)


def test_a_process_started_within_does_not_hear_it() -> None:
    with deaf_to_interrupts():
        child = subprocess.Popen(
            [sys.executable, "-c", PATIENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate()
    assert (child.returncode, said) == (0, "done\n")
