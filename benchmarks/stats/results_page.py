"""Put the table of promises into a Markdown page, between its two marks."""

from collections.abc import Sequence
from pathlib import Path

from promises import Promise

BEGIN = "<!-- stats: begin, written by make stats RESULTS=docs/statistics.md -->"
END = "<!-- stats: end -->"


def write_results(page: Path, promises: Sequence[Promise], *, facts: str) -> None:
    """Replace what stands between the marks; the rest stays as it is.

    Args:
        page: the page.
        promises: as measured.
        facts: one line that says what was run.

    Raises:
        ValueError: if the page lacks the marks.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} must hold the lines {BEGIN} and {END}")
    lines = ["| promise | measured | asked | kept |", "|---|---|---|---|"]
    lines += [
        f"| {one.name} | {one.measured} | {one.asked} | {'yes' if one.kept else '**no**'} |"
        for one in promises
    ]
    section = "\n".join([begin, facts, "", *lines, "", end])
    page.write_text(before + section + after, encoding="utf-8")
