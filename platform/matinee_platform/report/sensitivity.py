"""A sensitivity grid for people: a table, what holds at every point, and a plot of D28."""

import io
import re
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from matinee_platform.analysis.arm_look import arm_looks
from matinee_platform.analysis.sensitivity import GRID_METRICS, GridValue, SensitivityGrid
from matinee_platform.report.formats import NONE, number
from matinee_platform.report.svg import Axis, Chart, Series, line_chart

_WIDTH = 118
_TITLES = {
    "ctr": ("CTR, %", 100.0, 2),
    "engagement_per_user": ("engagement/user", 1.0, 2),
    "sessions_per_user": ("sessions/user", 1.0, 2),
    "d7": ("D7, %", 100.0, 1),
    "d28": ("D28, %", 100.0, 1),
}
_SIGNS = {1: "+", -1: "\N{MINUS SIGN}", 0: "·"}

_STYLE = """
svg { background: #fff; }
text { font: 11px system-ui, sans-serif; fill: #1d1d1f; }
.mid { text-anchor: middle; fill: #5c5c63; } .end { text-anchor: end; fill: #5c5c63; }
.title { fill: #5c5c63; } .grid { stroke: #d9d9de; stroke-width: .7; }
.axis, .tick { stroke: #5c5c63; stroke-width: .8; }
.line { fill: none; stroke-width: 1.9; stroke-linejoin: round; }
.leader { fill: none; stroke-width: .8; } .error { fill: none; stroke-width: 1.4; }
.band { opacity: .13; }
"""


def sensitivity_text(grid: SensitivityGrid) -> str:
    """The table and what holds, as plain text."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=_WIDTH, no_color=True)
    console.print(_value_table(grid))
    console.print(_conclusion_table(grid))
    for line in _notes(grid):
        console.print(line, highlight=False, markup=False)
    return buffer.getvalue()


def save_sensitivity_plot(grid: SensitivityGrid, path: Path) -> None:
    """Draw D28 of each arm over the grid, with bands of 95 %.

    Args:
        grid: the figures.
        path: file ending in `.svg`.
    """
    looks = arm_looks(grid.arms, control=grid.control)
    points = np.array(list(grid.values))
    series = []
    for place, arm in enumerate(grid.arms):
        found = [arms[arm]["d28"] for arms in grid.values.values()]
        value = np.array([one.value for one in found])
        half = 1.96 * np.array([one.standard_error for one in found])
        series.append(
            Series(
                arm, place, looks[arm].dashes, points, value, low=value - half, high=value + half
            )
        )
    chart = Chart(
        label="D28 of each arm over the retention sensitivity, with bands of 95 % by user",
        x=Axis("retention_sensitivity", lambda at: f"{at:g}", ticks=tuple(points.tolist())),
        y=Axis("D28, %; bands: 95 % by user", lambda share: number(100 * share, 1)),
        series=series,
        width=560.0,
        height=320.0,
    )
    colours = "".join(
        f".a{place} {{ fill: {looks[arm].colour}; }} .s{place} {{ stroke: {looks[arm].colour}; }}\n"
        for place, arm in enumerate(grid.arms)
    )
    drawing = re.sub(
        "^<svg ",
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{chart.width:g}" '
        f'height="{chart.height:g}" ',
        str(line_chart(chart, name="sensitivity")),
    )
    start = drawing.index(">") + 1
    styled = f"{drawing[:start]}<style>{_STYLE}{colours}</style>{drawing[start:]}"
    path.write_text(styled + "\n", encoding="utf-8")


def _value_table(grid: SensitivityGrid) -> Table:
    table = Table(title="Values with standard errors by user", title_justify="left")
    table.add_column("arm", no_wrap=True)
    table.add_column("sensitivity", justify="right")
    for metric in GRID_METRICS:
        table.add_column(_TITLES[metric][0], justify="right", no_wrap=True)
    for arm in grid.arms:
        for place, (sensitivity, arms) in enumerate(grid.values.items()):
            table.add_row(
                _marked(grid, arm) if place == 0 else "",
                f"{sensitivity:g}",
                *(_cell(arms[arm][metric], metric) for metric in GRID_METRICS),
                end_section=place == len(grid.values) - 1,
            )
    return table


def _conclusion_table(grid: SensitivityGrid) -> Table:
    points = ", ".join(f"{sensitivity:g}" for sensitivity in grid.values)
    table = Table(
        title=f"Sign of the difference to {grid.control} at {points}", title_justify="left"
    )
    table.add_column("arm", no_wrap=True)
    for metric in GRID_METRICS:
        table.add_column(_TITLES[metric][0].removesuffix(", %"), justify="center", no_wrap=True)
    cells = {
        (found.arm, found.metric): " ".join(_SIGNS[sign] for sign in found.signs)
        + (" holds" if found.holds else "")
        for found in grid.conclusions()
    }
    for arm in grid.arms:
        if arm != grid.control:
            table.add_row(_marked(grid, arm), *(cells[arm, metric] for metric in GRID_METRICS))
    return table


def _notes(grid: SensitivityGrid) -> list[str]:
    lines = [
        "+ and \N{MINUS SIGN}: paired difference to the control with p < .01; · : no clear sign. "
        "“holds”: the same sign at every point.",
        "Nothing is measured here: how strongly goodwill drives returns is an assumption, and this "
        "is its range.",
    ]
    if grid.references:
        lines.append("A reference arm knows the simulator's truth; no real service could run it.")
    return lines


def _marked(grid: SensitivityGrid, arm: str) -> str:
    mark = " (control)" if arm == grid.control else " (reference)" if arm in grid.references else ""
    return arm + mark


def _cell(found: GridValue, metric: str) -> str:
    _, scale, digits = _TITLES[metric]
    shown = number(scale * found.value, digits)
    if shown == NONE:
        return NONE
    return f"{shown} ± {number(scale * found.standard_error, digits)}"
