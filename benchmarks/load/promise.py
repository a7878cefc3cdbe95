"""What a program measured against what was promised, as a table."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from load.deployed import Deployed

_HEAD = ("promise", "measured", "asked", "kept")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One line of the table.

    Attributes:
        name: what is promised.
        measured: with its unit.
        asked: the bar, in words.
        kept: whether it was reached.
    """

    name: str
    measured: str
    asked: str
    kept: bool


Program = Callable[[Deployed, float], list[Promise]]
"""Takes the arms to serve and about how many seconds to measure for each figure."""


def table(promises: Sequence[Promise]) -> str:
    """The lines, padded.

    Example:
        >>> print(table([Promise(name="ready", measured="2 s", asked="at most 5 s", kept=True)]))
        promise | measured | asked       | kept
        ready   | 2 s      | at most 5 s | yes
    """
    rows = [_HEAD, *((p.name, p.measured, p.asked, "yes" if p.kept else "NO") for p in promises)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "\n".join(
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


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
