"""The results of a run as text: one row per arm, then the differences to control."""

import io
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from matinee_platform.analysis.srm import SRM_ALARM

_DIFFERENCES = (
    ("engagement_per_user", "engagement/user", 1.0),
    ("sessions_per_user", "sessions/user", 1.0),
    ("ctr", "CTR, pp", 100.0),
    ("d7", "D7, pp", 100.0),
    ("d28", "D28, pp", 100.0),
)
_TEXT_WIDTH = 118


def print_summary(results: dict[str, Any], run: Path) -> None:
    """Print the results to standard output."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_TEXT_WIDTH)
    _render(results, console)
    places = [f"Plot: {run / 'retention.png'}   All numbers: {run / 'results.json'}"]
    report = run / "report.html"
    if report.is_file():
        places.append(f"Report, for a browser: {report}")
    for line in places:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def summary_text(results: dict[str, Any]) -> str:
    """The results as plain text."""
    buffer = io.StringIO()
    _render(results, Console(file=buffer, width=_TEXT_WIDTH, no_color=True))
    return buffer.getvalue()


def _render(results: dict[str, Any], console: Console) -> None:
    console.print(f"Data: {results['data']}", highlight=False, markup=False, soft_wrap=True)
    console.print(_arm_table(results))
    if len(results["arms"]) > 1:
        console.print(_difference_table(results))
    for line in _notes(results):
        console.print(line, highlight=False, markup=False)


def _arm_table(results: dict[str, Any]) -> Table:
    table = Table(title="Arms", title_justify="left")
    table.add_column("arm", no_wrap=True)
    for header in (
        "users",
        "CTR",
        "engagement\n/user",
        "sessions\n/user",
        "D1",
        "D7",
        "D28",
        "diversity\n(ILD)",
        "coverage",
    ):
        table.add_column(header, justify="right")
    for name, arm in results["arms"].items():
        mark = " (reference)" if arm["reference"] else ""
        mark += " (control)" if name == results["control"] else ""
        table.add_row(
            name + mark,
            f"{arm['users']:,}",
            _percent(arm["ctr"], 2),
            _number(arm["engagement_per_user"]),
            _number(arm["sessions_per_user"]),
            *(_retention(arm[day]) for day in ("d1", "d7", "d28")),
            _number(arm["ild"], 3),
            _percent(arm["coverage"], 1),
        )
    return table


def _difference_table(results: dict[str, Any]) -> Table:
    level = f"{results['confidence']:.0%}"
    table = Table(
        title=f"Difference to {results['control']}, {level} interval by user",
        title_justify="left",
    )
    table.add_column("arm", no_wrap=True)
    for _, header, _ in _DIFFERENCES:
        table.add_column(header, justify="right", no_wrap=True)
    for name, arm in results["arms"].items():
        if arm["difference"] is not None:
            table.add_row(
                name,
                *(_interval(arm["difference"][metric], scale) for metric, _, scale in _DIFFERENCES),
            )
    return table


def _notes(results: dict[str, Any]) -> list[str]:
    lines = []
    srm = results["srm_p_value"]
    if srm is not None:
        alarm = "  ALARM: the split is not the declared one" if srm < SRM_ALARM else ""
        lines.append(f"Sample ratio: p = {srm:.3f}{alarm}")
    lines.append(
        "pp: percentage points; *: the interval excludes 0, uncorrected for the number of "
        "comparisons (corrected: matinee analyze); Dk: active on day k after the first "
        "visit, over users whose day k has passed."
    )
    immature = sorted(
        {
            day.upper()
            for arm in results["arms"].values()
            for day in ("d1", "d7", "d28")
            if (arm[day]["matured"] or 0.0) < 1.0
        },
        key=lambda day: int(day[1:]),
    )
    if immature:
        lines.append(
            f"Not everyone's day has passed for {', '.join(immature)}: see matured shares."
        )
    if any(arm["reference"] for arm in results["arms"].values()):
        lines.append("A reference arm knows the simulator's truth; no real service could run it.")
    return lines


def _interval(found: dict[str, float | None], scale: float) -> str:
    difference, low, high = (found[key] for key in ("difference", "low", "high"))
    if difference is None or low is None or high is None:
        return "-"
    mark = " " if low <= 0.0 <= high else "*"
    return f"{scale * difference:+.2f} ±{scale * (high - low) / 2:.2f}{mark}"


def _retention(rate: dict[str, Any]) -> str:
    shown = _percent(rate["rate"], 1)
    matured = rate["matured"] or 0.0
    return shown if matured == 1.0 or rate["rate"] is None else f"{shown} ({matured:.0%})"


def _percent(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f}%"


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
