"""One process at a time works on a run, or on an arm of it: locks that die with their holder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matinee_policies.errors import ConfigError


@contextmanager
def only_run(run: Path) -> Iterator[None]:
    """Hold the whole run.

    Args:
        run: folder of the run, which exists.

    Raises:
        ConfigError: another process holds it.
    """
    with (run / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{run} is being run by another process") from None
        yield


@contextmanager
def only_arm(run: Path, arm: str) -> Iterator[None]:
    """Hold one arm, waiting for the end of a process that still writes it.

    Args:
        run: folder of the run.
        arm: name of the arm.
    """
    folder = run / "checkpoints" / arm
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
