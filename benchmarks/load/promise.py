"""Run loads on the live service and print what was promised of them."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from load.deployed import Deployed
from promises import Promise, table

Program = Callable[[Deployed, float], list[Promise]]
"""Takes the arms to serve and about how many seconds to measure for each figure."""


def main(about: str | None, programs: Sequence[Program], *, seconds: float) -> int:
    """Run programs and print the table as it grows; 1 if a promise was broken.

    Args:
        about: the program's docstring.
        programs: one after another, never two at once.
        seconds: to measure for, unless the command line says otherwise.
    """
    parser = argparse.ArgumentParser(description=(about or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=seconds, help="for each figure")
    parser.add_argument("--folder", type=Path, help="to work in; arms that are there are taken")
    given = parser.parse_args()
    found: list[Promise] = []
    with tempfile.TemporaryDirectory(prefix="matinee-load-") as made:
        deployed = Deployed(given.folder or Path(made), scratch=Path(made))
        for program in programs:
            before = os.getloadavg()[0]
            some = program(deployed, given.seconds)
            found += some
            print(table(some))
            print(f"  load average {before:.1f} before, {os.getloadavg()[0]:.1f} after", flush=True)
    if len(programs) > 1:
        print(f"\n{table(found)}")
    return 0 if all(one.kept for one in found) else 1


def end(status: int) -> None:
    """Leave with a status."""
    sys.exit(status)
