"""What a program measured against what was promised, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass

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
