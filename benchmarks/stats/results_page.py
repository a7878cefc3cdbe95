"""Put the table of promises, and that of off-policy estimators, into a Markdown page."""

from collections.abc import Sequence
from pathlib import Path

from promises import Promise

BEGIN = "<!-- stats: begin, written by make stats RESULTS=docs/statistics.md -->"
END = "<!-- stats: end -->"
OPE_BEGIN = "<!-- off-policy: begin, written by make stats RESULTS=docs/statistics.md -->"
OPE_END = "<!-- off-policy: end -->"

_HEAD = ("| promise | measured | asked | kept |", "|---|---|---|---|")


def write_results(page: Path, promises: Sequence[Promise], *, facts: str) -> None:
    """Replace what stands between the marks; the rest stays as it is.

    Args:
        page: the page.
        promises: as measured.
        facts: one line that says what was run.

    Raises:
        ValueError: if the page lacks the marks.
    """
    rows = [_row(one) for one in promises]
    _write_between(page, (BEGIN, END), "\n".join([facts, "", *_HEAD, *rows]))


def update_results(page: Path, promises: Sequence[Promise]) -> None:
    """Renew some rows by their names; new ones go behind those with the same first word.

    Args:
        page: the page.
        promises: as measured, of a part of all.

    Raises:
        ValueError: if the page lacks the marks.
    """
    facts, _, *lines = _between(page, (BEGIN, END)).strip().split("\n")
    rows = lines[len(_HEAD) :]
    for row in map(_row, promises):
        name = row.split(" | ")[0]
        same = [at for at, other in enumerate(rows) if other.split(" | ")[0] == name]
        near = [at for at, other in enumerate(rows) if other.split()[1] == row.split()[1]]
        if same:
            rows[same[0]] = row
        else:
            rows.insert(near[-1] + 1 if near else len(rows), row)
    _write_between(page, (BEGIN, END), "\n".join([facts, "", *_HEAD, *rows]))


def write_tables(page: Path, tables: str) -> None:
    """Replace the tables of off-policy estimators; arguments and errors as `write_results`."""
    _write_between(page, (OPE_BEGIN, OPE_END), tables)


def _row(one: Promise) -> str:
    return f"| {one.name} | {one.measured} | {one.asked} | {'yes' if one.kept else '**no**'} |"


def _between(page: Path, marks: tuple[str, str]) -> str:
    _, begin, rest = page.read_text(encoding="utf-8").partition(marks[0])
    section, end, _ = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{page} must hold the lines {marks[0]} and {marks[1]}")
    return section


def _write_between(page: Path, marks: tuple[str, str], section: str) -> None:
    old = f"{marks[0]}{_between(page, marks)}{marks[1]}"
    text = page.read_text(encoding="utf-8")
    new = f"{marks[0]}\n{section}\n\n{marks[1]}"
    page.write_text(text.replace(old, new), encoding="utf-8")
