"""Show a validation: one HTML file that needs nothing else, and a Markdown table.

Both are made from the content of `validation.json` alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matinee_platform.report.formats import NONE, listed, number
from matinee_platform.report.rendering import environment
from matinee_platform.report.validation_figures import (
    COLOURS,
    DARK,
    ROLES,
    range_strip,
    validation_chart,
)
from matinee_platform.versions import versions
from matinee_policies.errors import DataError

PAGE = "validation.html"
"""File of the page."""

BEGIN = "<!-- validation: begin, written by matinee validate --results -->"
END = "<!-- validation: end -->"

_MOST_SHOWN = 3
_TINY = 6
_TONES = {
    "pass": "good",
    "fail": "blind",
    "not applicable": "quiet",
    "not run": "thin",
    "measured": "quiet",
}
_WORDS = {"pass": "passes", "fail": "FAILS"}


def render_page(results: Mapping[str, Any]) -> str:
    """The page as text; the same results give the same text.

    Args:
        results: content of `validation.json`.
    """
    colours = [
        {"number": place, "look": {"colour": colour}} for place, colour in enumerate(COLOURS)
    ]
    sections = [_section(finding) for finding in results["findings"]]
    facts = [section for section in sections if section["finding"]["key"].startswith("fact-")]
    tests = [section for section in sections if section not in facts]
    return (
        environment()
        .get_template("validation.html.j2")
        .render(
            results=results,
            arms=colours,
            roles=ROLES,
            dark=dict(enumerate(DARK)),
            sections=sections,
            parts=(("Stylised facts", facts), ("Acceptance tests", tests)),
            headline=headline(results),
            version=versions()["matinee"],
        )
    )


def headline(results: Mapping[str, Any]) -> str:
    """What was found, in one or two sentences."""
    gated = [f for f in results["findings"] if f["gated"]]
    passed = [f for f in gated if f["verdict"] == "pass"]
    failed = [_short_key(f["key"]) for f in gated if f["verdict"] == "fail"]
    silent = len(gated) - len(passed) - len(failed)
    text = f"{len(passed)} of {len(gated)} gated checks pass"
    text += f", {len(failed)} fail: {listed(failed)}." if failed else "."
    if silent:
        text += f" {silent} could not be judged."
    return text


def markdown_table(results: Mapping[str, Any]) -> str:
    """One row per check: the claim, its gated figures, the verdict.

    Args:
        results: content of `validation.json`.
    """
    lines = ["| | claim | found | verdict |", "|---|---|---|---|"]
    for finding in results["findings"]:
        cells = (
            _short_key(finding["key"]),
            finding["title"],
            _summary(finding),
            _WORDS.get(finding["verdict"], finding["verdict"]),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def replace_table(page: Path, results: Mapping[str, Any], *, command: str) -> None:
    """Put a new table between the two marks of a Markdown page; the rest stays as it is.

    Args:
        page: the page.
        results: content of `validation.json`.
        command: how the table can be made again.

    Raises:
        DataError: if the page cannot be read or lacks the marks.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(page, rule=f"must be a page to write into ({error.strerror})") from None
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DataError(page, rule=f"must hold the lines {BEGIN} and {END}")
    failed = [f for f in results["findings"] if f["gated"] and f["verdict"] == "fail"]
    reasons = "".join(f"- **{_short_key(f['key'])}**: {f['reason']}\n" for f in failed)
    section = (
        f"{begin}\n{results['data']}; {results['size']} form, seed {results['seed']}. "
        f"`{command}`\n\n{headline(results)}\n\n{markdown_table(results)}"
    )
    section += f"\nWhat fails, and why:\n\n{reasons}" if failed else ""
    page.write_text(f"{before}{section}\n{end}{after}", encoding="utf-8")


def _section(finding: Mapping[str, Any]) -> dict[str, Any]:
    key = finding["key"]
    chart = None
    if finding["plot"] is not None:
        chart = validation_chart(
            finding["plot"],
            label=f"{finding['title']}: {finding['verdict']}; the numbers are in the table.",
            name=f"chart-{key}",
        )
    return {
        "finding": finding,
        "key": _short_key(key),
        "tone": _TONES[finding["verdict"]],
        "chart": chart,
        "summary": _summary(finding),
        "figures": [
            {
                "name": figure["name"],
                "value": _value(figure),
                "reference": _reference(figure),
                "accepted": _range(figure),
                "outside": figure["gated"] and not figure["accepted"],
                "gated": figure["gated"],
                "strip": range_strip(figure, name=f"strip-{key}-{place}"),
            }
            for place, figure in enumerate(finding["figures"])
        ],
    }


def _short_key(key: str) -> str:
    return key.replace("-", " ")


def _value(figure: Mapping[str, Any]) -> str:
    digits, value = figure["digits"], figure["value"]
    least = 10.0**-digits
    if digits >= _TINY and value is not None and 0.0 <= value < least / 2:
        return f"below {number(least, digits)}"
    text = number(value, digits)
    error = figure["standard_error"]
    return text if error is None else f"{text} ± {number(error, digits)}"


def _reference(figure: Mapping[str, Any]) -> str:
    if figure["reference"] is None:
        return figure["source"] or NONE
    text = number(figure["reference"], figure["digits"])
    return f"{text} ({figure['source']})" if figure["source"] else text


def _range(figure: Mapping[str, Any]) -> str:
    if not figure["gated"]:
        return "told"
    low, high, digits = figure["low"], figure["high"], figure["digits"]
    if low is None and high is None:
        return NONE
    if low is None:
        return f"at most {number(high, digits)}"
    if high is None:
        return f"at least {number(low, digits)}"
    if low == high:
        return f"exactly {number(low, digits)}"
    return f"{number(low, digits)} to {number(high, digits)}"


def _summary(finding: Mapping[str, Any]) -> str:
    """The figures that decide: those outside their range, else the first few."""
    gated = [figure for figure in finding["figures"] if figure["gated"]]
    if not gated:
        figures = finding["figures"][:_MOST_SHOWN]
        return "; ".join(_phrase(figure) for figure in figures) or finding["reason"]
    outside = [figure for figure in gated if not figure["accepted"]]
    shown = (outside or gated)[:_MOST_SHOWN]
    more = len(outside or gated) - len(shown)
    text = "; ".join(_phrase(figure) for figure in _with_effects(finding["figures"], shown))
    return f"{text}; and {more} more" if more else text


def _with_effects(
    figures: list[Mapping[str, Any]], shown: list[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Figures to show, each after the effect that it judges where one stands right before it."""
    found = []
    for figure in shown:
        place = next(place for place, other in enumerate(figures) if other is figure)
        if place and not figures[place - 1]["gated"]:
            found.append(figures[place - 1])
        found.append(figure)
    return found


def _phrase(figure: Mapping[str, Any]) -> str:
    text = f"{figure['name']} {_value(figure)}"
    wanted = []
    if figure["reference"] is not None:
        wanted.append(_reference(figure))
    if figure["gated"]:
        wanted.append(_range(figure))
    return f"{text} [{'; '.join(wanted)}]" if wanted else text
