"""Charts as inline SVG: lines with bands, dots with error bars, bars.

Colours come from the page's style sheet, by the arm's number, so that one drawing serves light,
dark and print. Text is escaped here, since it holds names that users chose.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from markupsafe import Markup

from matinee_platform.analysis.retention_plot import spread
from matinee_platform.report.scale import Scale, round_ticks
from matinee_policies.arrays import FloatArray

_CHARACTER = 5.6
_LABEL_STEP = 12.5
_TOP, _BOTTOM, _LEFT = 22.0, 38.0, 42.0
_DOT = 4.5


@dataclass(frozen=True, slots=True)
class Series:
    """One arm's line or dots.

    Attributes:
        name: of the arm.
        number: place of the arm among all arms, which names its colour.
        dashes: of its line.
        x: `[n]`.
        y: `[n]`, NaN where there is nothing.
        low: lower ends of the intervals in y, `[n]`, or None.
        high: upper ends.
        x_low: lower ends of the intervals in x, or None.
        x_high: upper ends.
    """

    name: str
    number: int
    dashes: tuple[float, ...]
    x: FloatArray
    y: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None
    x_low: FloatArray | None = None
    x_high: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis says.

    Attributes:
        title: quantity and unit.
        text: writes a value.
        low: least value shown, None for that of the data.
        high: largest value shown.
        ticks: values to mark, None for round ones.
    """

    title: str
    text: Callable[[float], str]
    low: float | None = None
    high: float | None = None
    ticks: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """What to draw.

    Attributes:
        label: the chart in one sentence, for those who cannot see it.
        x: horizontal axis.
        y: vertical axis.
        series: one per arm.
        width: in units of about a pixel.
        height: likewise.
        labels: whether names stand at the ends of lines.
        diagonal: whether to draw y = x.
        level: value of y to mark by a dotted line, None for none.
    """

    label: str
    x: Axis
    y: Axis
    series: Sequence[Series] = field(default_factory=tuple)
    width: float = 360.0
    height: float = 230.0
    labels: bool = True
    diagonal: bool = False
    level: float | None = None


def line_chart(chart: Chart, *, name: str) -> Markup:
    """Lines with bands and their names at the right end."""
    drawn = [series for series in chart.series if np.isfinite(series.y).any()]
    right = _label_room(drawn) if chart.labels else 12.0
    frame = _Frame(chart, drawn, right=right)
    parts = [frame.axes(), _diagonal(frame) if chart.diagonal else "", _level(frame)]
    parts += [_band(frame, series) for series in drawn]
    parts += [_line(frame, series) for series in drawn]
    if chart.labels:
        parts.append(_end_labels(frame, drawn))
    return _document(chart, name, parts)


def dot_chart(chart: Chart, *, name: str) -> Markup:
    """Dots with error bars, each with its name beside it."""
    drawn = [s for s in chart.series if np.isfinite(s.y).any() and np.isfinite(s.x).any()]
    frame = _Frame(chart, drawn, right=0.7 * _label_room(drawn))
    parts = [frame.axes()]
    parts += [_error_bars(frame, series) + _dots(frame, series) for series in drawn]
    parts.append(_dot_labels(frame, drawn))
    return _document(chart, name, parts)


def mixed_chart(chart: Chart, *, dotted: Collection[int], name: str) -> Markup:
    """Lines with bands, and dots with error bars, unlabelled: names stand in a legend beside it.

    Args:
        chart: what to draw.
        dotted: places in `chart.series` of those that are dots.
        name: of the drawing, distinct within a page.
    """
    frame = _Frame(chart, chart.series, right=12.0)
    parts = [frame.axes()]
    for place, series in enumerate(chart.series):
        if place in dotted:
            parts.append(_error_bars(frame, series) + _dots(frame, series))
        else:
            parts.append(_band(frame, series) + _line(frame, series))
    return _document(chart, name, parts)


def bar_strip(shares: FloatArray, *, number: int, label: str, name: str) -> Markup:
    """A small histogram: one bar per bin, as high as the square root of its share."""
    width, height = 240.0, 44.0
    bar = width / max(shares.size, 1)
    parts = [
        f'<line class="axis" x1="0" x2="{width:g}" y1="{height - 0.5:g}" y2="{height - 0.5:g}"/>'
    ]
    for place, share in enumerate(shares.tolist()):
        if share > 0:
            tall = max(1.5, math.sqrt(share) * (height - 3))
            parts.append(
                f'<rect class="a{number}" x="{place * bar + 0.5:.1f}" y="{height - tall:.1f}" '
                f'width="{bar - 1:.1f}" height="{tall:.1f}"/>'
            )
    return Markup(  # noqa: S704 - numbers, and text escaped here
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="{escape(name)}">'
        f'<title id="{escape(name)}">{escape(label)}</title>{"".join(parts)}</svg>'
    )


class _Frame:
    """The plot area with its two scales."""

    def __init__(self, chart: Chart, drawn: Sequence[Series], *, right: float) -> None:
        self.chart = chart
        self.right = chart.width - right
        self.bottom = chart.height - _BOTTOM
        xs = _values(drawn, ("x", "x_low", "x_high"))
        ys = _values(drawn, ("y", "low", "high"))
        x_low, x_high = _range(chart.x, xs)
        y_low, y_high = _range(chart.y, ys)
        self.x = Scale(x_low, x_high, _LEFT, self.right)
        self.y = Scale(y_low, y_high, self.bottom, _TOP)

    def axes(self) -> str:
        chart = self.chart
        parts = [f'<text class="title" x="0" y="9">{escape(chart.y.title)}</text>']
        for value in _ticks(chart.y, self.y):
            at = self.y(value)
            parts.append(
                f'<line class="grid" x1="{_LEFT:g}" x2="{self.right:.1f}" y1="{at:.1f}" '
                f'y2="{at:.1f}"/><text x="{_LEFT - 5:g}" y="{at + 3.5:.1f}" '
                f'class="end">{escape(chart.y.text(value))}</text>'
            )
        for value in _ticks(chart.x, self.x):
            at = self.x(value)
            parts.append(
                f'<line class="tick" x1="{at:.1f}" x2="{at:.1f}" y1="{self.bottom:.1f}" '
                f'y2="{self.bottom + 4:.1f}"/><text x="{at:.1f}" y="{self.bottom + 15:.1f}" '
                f'class="mid">{escape(chart.x.text(value))}</text>'
            )
        parts.append(
            f'<line class="axis" x1="{_LEFT:g}" x2="{self.right:.1f}" y1="{self.bottom:.1f}" '
            f'y2="{self.bottom:.1f}"/><text x="{(_LEFT + self.right) / 2:.1f}" '
            f'y="{chart.height - 6:.1f}" class="mid">{escape(chart.x.title)}</text>'
        )
        return "".join(parts)


def _ticks(axis: Axis, scale: Scale) -> list[float]:
    if axis.ticks is not None:
        return [tick for tick in axis.ticks if scale.low <= tick <= scale.high]
    return round_ticks(scale.low, scale.high)


def _values(drawn: Sequence[Series], names: tuple[str, ...]) -> FloatArray:
    found = [getattr(series, name) for series in drawn for name in names]
    values = np.concatenate([np.zeros(0), *(part for part in found if part is not None)])
    kept: FloatArray = values[np.isfinite(values)]
    return kept


def _range(axis: Axis, values: FloatArray) -> tuple[float, float]:
    low = float(values.min()) if values.size else 0.0
    high = float(values.max()) if values.size else 1.0
    margin = 0.06 * (high - low) or max(abs(high), 1.0) * 0.1
    return (
        low - margin if axis.low is None else axis.low,
        high + margin if axis.high is None else axis.high,
    )


def _label_room(drawn: Sequence[Series]) -> float:
    longest = max((len(_short(series.name)) for series in drawn), default=0)
    return 22.0 + _CHARACTER * longest


def _short(name: str) -> str:
    return name if len(name) <= 16 else name[:15] + "…"


def _points(frame: _Frame, x: FloatArray, y: FloatArray) -> str:
    """Path through the points; a NaN interrupts it."""
    path, pen_up = [], True
    for one, other in zip(x.tolist(), y.tolist(), strict=True):
        if math.isfinite(one) and math.isfinite(other):
            path.append(f"{'M' if pen_up else 'L'}{frame.x(one):.1f} {frame.y(other):.1f}")
        pen_up = not (math.isfinite(one) and math.isfinite(other))
    return "".join(path)


def _band(frame: _Frame, series: Series) -> str:
    if series.low is None or series.high is None:
        return ""
    keep = np.isfinite(series.low) & np.isfinite(series.high)
    if not keep.any():
        return ""
    around = np.concatenate([series.x[keep], series.x[keep][::-1]])
    edge = np.concatenate([series.high[keep], series.low[keep][::-1]])
    low, high = frame.y.low, frame.y.high
    path = _points(frame, around, np.clip(edge, low, high))
    return f'<path class="band a{series.number}" d="{path}Z"/>'


def _line(frame: _Frame, series: Series) -> str:
    dashes = " ".join(f"{2 * length:g}" for length in series.dashes)
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<path class="line s{series.number}"{dash} d="{_points(frame, series.x, series.y)}">'
        f"<title>{escape(series.name)}</title></path>"
    )


def _end_labels(frame: _Frame, drawn: Sequence[Series]) -> str:
    if not drawn:
        return ""
    last = [np.flatnonzero(np.isfinite(series.y))[-1] for series in drawn]
    ends = np.array([frame.y(float(s.y[at])) for s, at in zip(drawn, last, strict=True)])
    low, step = _TOP + 2, _LABEL_STEP
    places = spread(ends, step=step, low=low)
    overflow = float(places.max()) - (frame.bottom + 2)
    if overflow > 0:
        mirrored = spread(frame.bottom + 2 - ends, step=step, low=0.0)
        places = frame.bottom + 2 - mirrored
    parts = []
    for series, at, end, place in zip(drawn, last, ends, places, strict=True):
        start = frame.x(float(series.x[at]))
        parts.append(
            f'<path class="leader s{series.number}" d="M{start + 1:.1f} {end:.1f}'
            f'L{frame.right + 13:.1f} {place:.1f}"/>'
            f'<text x="{frame.right + 16:.1f}" y="{place + 3.5:.1f}">'
            f"{escape(_short(series.name))}</text>"
        )
    return "".join(parts)


def _diagonal(frame: _Frame) -> str:
    last = min(frame.x.high, frame.y.high)
    start, end = (frame.x(0), frame.y(0)), (frame.x(last), frame.y(last))
    return (
        f'<line class="even" x1="{start[0]:.1f}" y1="{start[1]:.1f}" '
        f'x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'
    )


def _level(frame: _Frame) -> str:
    level = frame.chart.level
    if level is None:
        return ""
    at = frame.y(level)
    return f'<line class="even" x1="{_LEFT:g}" x2="{frame.right:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'


def _error_bars(frame: _Frame, series: Series) -> str:
    parts = []
    for n in range(series.x.size):
        x, y = frame.x(float(series.x[n])), frame.y(float(series.y[n]))
        if series.low is not None and series.high is not None:
            low, high = frame.y(float(series.low[n])), frame.y(float(series.high[n]))
            if math.isfinite(low) and math.isfinite(high):
                parts.append(f"M{x:.1f} {low:.1f}L{x:.1f} {high:.1f}")
        if series.x_low is not None and series.x_high is not None:
            left, right = frame.x(float(series.x_low[n])), frame.x(float(series.x_high[n]))
            if math.isfinite(left) and math.isfinite(right):
                parts.append(f"M{left:.1f} {y:.1f}L{right:.1f} {y:.1f}")
    return f'<path class="error s{series.number}" d="{"".join(parts)}"/>' if parts else ""


def _dots(frame: _Frame, series: Series) -> str:
    return "".join(
        f'<circle class="a{series.number}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="{_DOT}">'
        f"<title>{escape(series.name)}</title></circle>"
        for x, y in zip(series.x.tolist(), series.y.tolist(), strict=True)
        if math.isfinite(x) and math.isfinite(y)
    )


def _dot_labels(frame: _Frame, drawn: Sequence[Series]) -> str:
    """Names beside the dots, each where it covers least of what is there already."""
    dots = [(frame.x(float(series.x[0])), frame.y(float(series.y[0]))) for series in drawn]
    taken = [_Box(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in dots]
    parts = []
    for series, (x, y) in zip(drawn, dots, strict=True):
        name = _short(series.name)
        box = min(_label_places(x, y, name), key=lambda place: _cost(place, taken, frame))
        taken.append(box)
        parts.append(
            f'<text class="halo" x="{box.left:.1f}" y="{box.bottom - 2.5:.1f}">'
            f"{escape(name)}</text>"
        )
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def covers(self, other: "_Box") -> float:
        """Area that two boxes share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)


def _label_places(x: float, y: float, name: str) -> list[_Box]:
    """Boxes for a name around a dot, the most wanted first."""
    width = _CHARACTER * len(name) + 2
    boxes = []
    for down in (-8.0, 8.0, -20.0, 20.0):
        for left in (x + 6.0, x - 6.0 - width):
            middle = y + down
            boxes.append(_Box(left, middle - 6.0, left + width, middle + 6.0))
    return boxes


def _cost(box: _Box, taken: Sequence[_Box], frame: _Frame) -> float:
    """How much of others a label would cover, and how far it would leave the plot."""
    outside = max(0.0, _LEFT - box.left) + max(0.0, box.right - frame.chart.width)
    outside += max(0.0, _TOP - 8 - box.top) + max(0.0, box.bottom - frame.bottom)
    return sum(box.covers(other) for other in taken) + 20.0 * outside


def _document(chart: Chart, name: str, parts: Sequence[str]) -> Markup:
    return Markup(  # noqa: S704 - every text was escaped above
        f'<svg viewBox="0 0 {chart.width:g} {chart.height:g}" role="img" '
        f'aria-labelledby="{escape(name)}"><title id="{escape(name)}">{escape(chart.label)}</title>'
        f"{''.join(parts)}</svg>"
    )
