"""A calibration for people: targets against what is simulated, before and after."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from matinee_platform.analysis.arm_look import COLOURS
from matinee_platform.report.svg import Axis, Chart, Series, line_chart
from matinee_policies.arrays import FloatArray

_WIDTH = 118
_NONE = "-"
_PANEL = (340.0, 240.0)
_LINES = ("target", "before", "fitted")

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


def calibration_text(calibration: Mapping[str, Any]) -> str:
    """Parameters, then moments, as plain text.

    Args:
        calibration: as JSON values.
    """
    buffer = io.StringIO()
    console = Console(file=buffer, width=_WIDTH, no_color=True)
    for title, (headers, rows) in (
        ("Fitted parameters", parameter_rows(calibration)),
        ("Moments on fresh seeds", moment_rows(calibration)),
    ):
        table = Table(title=title, title_justify="left")
        for place, header in enumerate(headers):
            table.add_column(header, justify="left" if place == 0 else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for name, reason in calibration["never_fitted"].items():
        console.print(f"Not fitted: {name}; {reason}", highlight=False, markup=False)
    return buffer.getvalue()


def calibration_markdown(calibration: Mapping[str, Any]) -> str:
    """The same tables for a page of documents, and where the targets come from."""
    parts = [markdown(*parameter_rows(calibration)), markdown(*moment_rows(calibration))]
    parts.append(
        markdown(
            ("moment", "kind", "sample", "source"),
            [
                (
                    entry["target"]["name"],
                    entry["target"]["kind"],
                    f"{entry['target']['n']:,}" if entry["target"]["n"] else _NONE,
                    entry["target"]["source"],
                )
                for entry in calibration["moments"]
            ],
        )
    )
    return "\n".join(parts)


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    Example:
        >>> print(markdown(("a", "b"), [("1", "2")]), end="")
        | a | b |
        |---|---|
        | 1 | 2 |
    """
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    lines += ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def parameter_rows(
    calibration: Mapping[str, Any],
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headers and rows of the fitted parameters."""
    headers = ("parameter", "symbol", "before", "fitted", "s.e.", "tried within")
    rows: list[tuple[str, ...]] = [
        (
            entry["name"],
            entry["symbol"],
            f"{entry['start']:.3f}",
            f"{entry['value']:.3f}",
            f"{entry['error']:.3f}",
            f"{entry['low']:g} to {entry['high']:g}",
        )
        for entry in calibration["fitted"]
    ]
    return headers, rows


def moment_rows(calibration: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headers and rows of the moments; the last column is the held-out distance in tolerances."""
    headers = ("moment", "target", "tolerance", "before", "training", "fresh", "off by")
    rows: list[tuple[str, ...]] = []
    for entry in calibration["moments"]:
        target = entry["target"]
        scale = max(target["tolerance"], target["standard_error"] or 0.0)
        fresh = entry["fresh"]["value"]
        off = _NONE if fresh is None else f"{(fresh - target['value']) / scale:+.1f}"
        rows.append(
            (
                target["name"],
                f"{target['value']:.4f}",
                f"{scale:.4f}",
                _estimate(entry["before"]),
                _estimate(entry["training"]),
                _estimate(entry["fresh"]),
                off,
            )
        )
    return headers, rows


def save_calibration_plot(calibration: Mapping[str, Any], path: Path) -> None:
    """Draw how sessions end, who returns and what is clicked: target, before and fitted.

    Args:
        calibration: as JSON values.
        path: file ending in `.svg`.
    """
    panels = [
        panel
        for panel in (
            _panel(calibration, "leave", "page", "share of sessions that end here"),
            _panel(calibration, "return_day", "days after the first visit", "share active"),
            _panel(calibration, "slot_ctr", "slot", "clicks per item shown")
            or _panel(calibration, "examined", "slot", "share examined"),
            _depth_panel(calibration),
        )
        if panel is not None
    ]
    width, height = _PANEL
    rows = (len(panels) + 1) // 2
    placed = [
        re.sub(
            "^<svg ",
            f'<svg x="{place % 2 * (width + 20):g}" y="{place // 2 * (height + 20):g}" '
            f'width="{width:g}" height="{height:g}" ',
            str(panel),
        )
        for place, panel in enumerate(panels)
    ]
    total = (2 * width + 20, rows * (height + 20))
    colours = "".join(
        f".a{place} {{ fill: {colour}; }} .s{place} {{ stroke: {colour}; }}\n"
        for place, colour in enumerate(("#000000", COLOURS[1], COLOURS[0]))
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total[0]:g}" height="{total[1]:g}" '
        f'viewBox="0 0 {total[0]:g} {total[1]:g}"><style>{_STYLE}{colours}</style>'
        + "".join(placed)
        + "</svg>\n",
        encoding="utf-8",
    )


def _panel(calibration: Mapping[str, Any], stem: str, x: str, y: str) -> Markup | None:
    """Moments that differ by their number only; None for fewer than two."""
    found = [
        (int(entry["target"]["name"].rpartition("_")[2]), entry)
        for entry in calibration["moments"]
        if re.fullmatch(rf"{stem}_[0-9]+", entry["target"]["name"])
    ]
    if len(found) < 2:
        return None
    found.sort(key=lambda pair: pair[0])
    at = np.array([float(number) for number, _ in found])
    target = [entry["target"] for _, entry in found]
    scales = np.array([max(t["tolerance"], t["standard_error"] or 0.0) for t in target])
    wanted = np.array([t["value"] for t in target])
    series = [
        _series("target", at, wanted, scales),
        *(
            _series(name, at, *_columns([entry[key] for _, entry in found]))
            for name, key in (("before", "before"), ("fitted", "fresh"))
        ),
    ]
    return _chart(stem, x, y, series)


def _depth_panel(calibration: Mapping[str, Any]) -> Markup | None:
    curve = calibration["depth_curve"]
    if not curve:
        return None
    at = np.array([float(entry["depth"]) for entry in curve])
    series = [
        _series(name, at, *_columns([entry[key] for entry in curve]))
        for name, key in (("before", "before"), ("fitted", "fresh"))
    ]
    slopes = [
        entry["target"]["value"]
        for entry in calibration["moments"]
        if entry["target"]["name"] == "return_slope"
    ]
    if slopes and np.isfinite(series[1].y).all():
        line = series[1].y.mean() + slopes[0] * (at - at.mean())
        series.insert(0, _series("target slope", at, line, np.zeros(at.size)))
    return _chart(
        "depth", "depth of the first session (pages + 1)", "share back within 3 days", series
    )


def _chart(name: str, x: str, y: str, series: list[Series]) -> Markup:
    width, height = _PANEL
    chart = Chart(
        label=f"{y} by {x}: target, before and after calibration",
        x=Axis(x, lambda at: f"{at:g}"),
        y=Axis(y, lambda share: f"{share:.2f}"),
        series=series,
        width=width,
        height=height,
    )
    return line_chart(chart, name=f"calibration-{name}")


def _series(name: str, x: FloatArray, y: FloatArray, error: FloatArray) -> Series:
    number = next(place for place, line in enumerate(_LINES) if name.startswith(line))
    dashes: tuple[float, ...] = ((), (2, 1.3), (6, 2))[number]
    return Series(name, number, dashes, x, y, low=y - error, high=y + error)


def _columns(estimates: Sequence[Mapping[str, Any]]) -> tuple[FloatArray, FloatArray]:
    # A null is NaN.
    values = np.array([estimate["value"] for estimate in estimates], dtype=np.float64)
    errors = np.array([estimate["standard_error"] for estimate in estimates], dtype=np.float64)
    return values, 2.0 * errors


def _estimate(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return _NONE
    error = estimate["standard_error"]
    told = f"{estimate['value']:.4f}"
    return told if error is None else f"{told} ± {error:.4f}"
