"""Put the table of promises, and that of off-policy estimators, into a Markdown page."""

from collections.abc import Sequence
from pathlib import Path

from promises import Promise

BEGIN = "<!-- stats: begin, written by make stats RESULTS=docs/statistics.md -->"
END = "<!-- stats: end -->"
OPE_BEGIN = "<!-- off-policy: begin, written by make stats RESULTS=docs/statistics.md -->"
OPE_END = "<!-- off-policy: end -->"


def write_results(page: Path, promises: Sequence[Promise], *, facts: str) -> None:
    """Replace what stands between the marks; the rest stays as it is.

    Args:
        page: the page.
        promises: as measured.
        facts: one line that says what was run.

    Raises:
        ValueError: if the page lacks the marks.
    """
    lines = ["| promise | measured | asked | kept |", "|---|---|---|---|"]
    lines += [
        f"| {one.name} | {one.measured} | {one.asked} | {'yes' if one.kept else '**no**'} |"
        for one in promises
    ]
    _write_between(page, (BEGIN, END), "\n".join([facts, "", *lines]))


def write_tables(page: Path, tables: str) -> None:
    """Replace the tables of off-policy estimators; arguments and errors as `write_results`."""
    _write_between(page, (OPE_BEGIN, OPE_END), tables)


def _write_between(page: Path, marks: tuple[str, str], section: str) -> None:
    before, begin, rest = page.read_text(encoding="utf-8").partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{page} must hold the lines {marks[0]} and {marks[1]}")
    page.write_text(f"{before}{begin}\n{section}\n\n{end}{after}", encoding="utf-8")
