"""The charts of a validation: simulated against data or literature, and the accepted ranges."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from markupsafe import Markup

from matinee_platform.report.scale import Scale
from matinee_platform.report.svg import Axis, Chart, Series, mixed_chart
from matinee_policies.arrays import FloatArray

ROLES = ("simulated", "data", "literature", "other")
"""Roles of lines, in the order of their colours."""

COLOURS = ("#0072B2", "#009E73", "#D55E00", "#CC79A7")
DARK = ("#4c9be8", "#2fcb9d", "#ff8a3d", "#e79fc8")

_DASHES: dict[str, tuple[float, ...]] = {
    "simulated": (),
    "data": (4.0, 1.5),
    "literature": (1.0, 1.5),
    "other": (5.0, 1.5, 1.0, 1.5),
}
_STRIP_WIDTH, _STRIP_HEIGHT = 132.0, 20.0
_MOST_TICKS = 12


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """One line of a chart.

    Attributes:
        name: what it shows.
        number: of its colour.
        dots: whether it is drawn as dots.
        dashes: of its line.
    """

    name: str
    number: int
    dots: bool
    dashes: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ValidationChart:
    """A chart with its legend.

    Attributes:
        drawing: the chart.
        legend: its lines.
        categories: names of the places of its horizontal axis, in order; none for a quantity.
    """

    drawing: Markup
    legend: tuple[LegendEntry, ...]
    categories: tuple[str, ...]


def validation_chart(plot: Mapping[str, Any], *, label: str, name: str) -> ValidationChart:
    """Draw the plot of a finding.

    Args:
        plot: as in `validation.json`.
        label: the chart in one sentence.
        name: of the drawing, distinct within a page.
    """
    series, dotted, legend = [], [], []
    for place, line in enumerate(plot["lines"]):
        number = ROLES.index(line["role"])
        dashes = () if line["dots"] else _DASHES[line["role"]]
        series.append(_series(line, number, dashes, plot))
        if line["dots"]:
            dotted.append(place)
        legend.append(LegendEntry(line["name"], number, line["dots"], dashes))
    categories = tuple(plot["categories"])
    drawing = mixed_chart(
        Chart(
            label=label,
            x=_axis(plot["x_title"], series, "x", log=plot["x_log"], places=len(categories)),
            y=_axis(plot["y_title"], series, "y", log=plot["y_log"]),
            series=series,
            height=250.0,
        ),
        dotted=dotted,
        name=name,
    )
    return ValidationChart(drawing, tuple(legend), categories)


def range_strip(figure: Mapping[str, Any], *, name: str) -> Markup | None:
    """A figure on its accepted range: a bar for the range, a tick for the reference, a dot.

    Args:
        figure: as in `validation.json`.
        name: of the drawing, distinct within a page.

    Returns:
        None where there is no range, or no value.
    """
    value, low, high = figure["value"], figure["low"], figure["high"]
    if value is None or (low is None and high is None) or not figure["gated"]:
        return None
    half = 2.0 * (figure["standard_error"] or 0.0)
    known = [value - half, value + half, low, high, figure["reference"]]
    places = [place for place in known if place is not None]
    least, most = min(places), max(places)
    room = 0.12 * (most - least) or max(abs(most), 1.0) * 0.5
    scale = Scale(least - room, most + room, 4.0, _STRIP_WIDTH - 4.0)
    start = 0.0 if low is None else scale(low)
    end = _STRIP_WIDTH if high is None else scale(high)
    middle = _STRIP_HEIGHT / 2
    parts = [
        f'<rect class="range" x="{start:.1f}" y="3" width="{max(end - start, 2.0):.1f}" '
        f'height="{_STRIP_HEIGHT - 6:g}"/>'
    ]
    if figure["reference"] is not None:
        at = scale(figure["reference"])
        parts.append(
            f'<line class="s2" x1="{at:.1f}" x2="{at:.1f}" y1="2" y2="{_STRIP_HEIGHT - 2:g}" '
            'stroke-width="2"/>'
        )
    if half:
        parts.append(
            f'<line class="s0" x1="{scale(value - half):.1f}" x2="{scale(value + half):.1f}" '
            f'y1="{middle:g}" y2="{middle:g}" stroke-width="1.5"/>'
        )
    parts.append(f'<circle class="a0" cx="{scale(value):.1f}" cy="{middle:g}" r="4"/>')
    word = "within" if figure["accepted"] else "outside"
    return Markup(  # noqa: S704 - numbers, and text escaped here
        f'<svg class="strip" viewBox="0 0 {_STRIP_WIDTH:g} {_STRIP_HEIGHT:g}" role="img" '
        f'aria-labelledby="{escape(name)}"><title id="{escape(name)}">'
        f"{escape(figure['name'])}: {word} the accepted range</title>{''.join(parts)}</svg>"
    )


def _series(
    line: Mapping[str, Any], number: int, dashes: tuple[float, ...], plot: Mapping[str, Any]
) -> Series:
    return Series(
        line["name"],
        number,
        dashes,
        _values(line["x"], log=plot["x_log"]),
        _values(line["y"], log=plot["y_log"]),
        low=None if line["low"] is None else _values(line["low"], log=plot["y_log"]),
        high=None if line["high"] is None else _values(line["high"], log=plot["y_log"]),
    )


def _values(values: list[float | None], *, log: bool) -> FloatArray:
    found = np.array([math.nan if value is None else value for value in values])
    if not log:
        return found
    return np.log10(np.where(found > 0, found, np.nan))


def _axis(title: str, series: Sequence[Series], which: str, *, log: bool, places: int = 0) -> Axis:
    if log:
        return Axis(title, _power_of_ten, ticks=_log_ticks([getattr(s, which) for s in series]))
    if places:
        step = math.ceil(places / _MOST_TICKS)
        ticks = tuple(float(place) for place in range(1, places + 1, step))
        return Axis(title, _plain, low=0.5, high=places + 0.5, ticks=ticks)
    return Axis(title, _plain)


def _plain(value: float) -> str:
    return f"{value:,.4g}"


def _power_of_ten(value: float) -> str:
    return f"{10.0**value:,.0f}" if value >= 0 else f"{10.0**value:.1g}"


def _log_ticks(values: Sequence[FloatArray]) -> tuple[float, ...]:
    """Powers of ten, or 1, 2 and 5 times them where the values span little."""
    known = np.concatenate([part[np.isfinite(part)] for part in values])
    span = float(np.ptp(known)) if known.size else 0.0
    digits = (1.0,) if span > 2.5 else (1.0, 3.0) if span > 1.2 else (1.0, 2.0, 5.0)
    return tuple(power + math.log10(digit) for power in range(-9, 10) for digit in digits)
