"""Draw the retention curve of every arm, to be understood at one glance.

Uses matplotlib's figure objects alone: no global state, no display. The same curves give the same
bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from scipy import optimize

from matinee_platform.analysis.arm_look import arm_looks
from matinee_platform.analysis.retention import RetentionCurve
from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.errors import ContextError

_Dashes: TypeAlias = str | tuple[float, tuple[float, ...]]

_MARKED_DAYS = (1, 7, 28)
_INK, _QUIET, _GRID = "#222222", "#666666", "#E6E6E6"
_LABEL_SIZE = 9.5
_LINE_HEIGHT = 1.45
_MATURED_SHARE = 0.5

# Inches: the plot itself keeps its size, the margin on the right grows with the longest name.
_LEFT, _BOTTOM, _WIDTH, _HEIGHT, _TOP = 0.65, 0.85, 5.9, 3.5, 0.75
_LEADER, _CHARACTER = 0.25, 0.085


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    curve: RetentionCurve
    label: str
    colour: str
    dashes: _Dashes
    control: bool


def save_retention_plot(
    curves: Mapping[str, RetentionCurve], paths: Sequence[Path], *, title: str, control: str
) -> None:
    """Write the plot, in the format that each path's ending names.

    Args:
        curves: retention of each arm, by the arm's name; drawn in this order.
        paths: files ending in `.png` or `.svg`; replaced if they exist.
        title: what was measured, in one line.
        control: arm to set apart as the one that others are compared with.

    Raises:
        ContextError: if there is no curve, the control is none of them or a file has another
            ending; nothing is written then.
    """
    for path in paths:
        if path.suffix not in (".png", ".svg"):
            raise ContextError(f"a plot must end in .png or .svg, got {path.name!r}")
    figure = retention_figure(curves, title=title, control=control)
    with mpl.rc_context({"svg.hashsalt": "matinee", "svg.fonttype": "none"}):
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
            figure.savefig(path, dpi=150, metadata=metadata)


def retention_figure(curves: Mapping[str, RetentionCurve], *, title: str, control: str) -> Figure:
    """The plot as a matplotlib figure; arguments and errors as `save_retention_plot`."""
    if control not in curves:
        raise ContextError(
            f"control must be one of the arms {', '.join(curves) or '(none)'}, got {control!r}"
        )
    lines = _lines({name: _settled(curve) for name, curve in curves.items()}, control=control)
    longest = max(len(line.label) for line in lines)
    width = _LEFT + _WIDTH + _LEADER + _CHARACTER * (longest + 1)
    height = _BOTTOM + _HEIGHT + _TOP
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((_LEFT / width, _BOTTOM / height, _WIDTH / width, _HEIGHT / height))
    _draw_frame(axes, [line.curve for line in lines])
    for line in lines:
        _draw_line(axes, line)
    _draw_labels(axes, lines)
    left = _LEFT / width
    subtitle = (
        "Share of users active on that very day after their first visit; bands: 95 % intervals"
    )
    figure.text(left, 1 - 0.34 / height, title, fontsize=13, color=_INK, weight="bold")
    figure.text(left, 1 - 0.60 / height, subtitle, fontsize=_LABEL_SIZE, color=_QUIET)
    figure.text(left, 0.15 / height, _footnote(curves), fontsize=8.5, color=_QUIET)
    return figure


def _settled(curve: RetentionCurve) -> RetentionCurve:
    """Days after exposure on which at least half of the units have matured; day 0 says nothing."""
    keep = (curve.day >= 1) & (curve.eligible >= _MATURED_SHARE * curve.eligible.max(initial=1))
    return RetentionCurve(
        day=curve.day[keep],
        eligible=curve.eligible[keep],
        rate=curve.rate[keep],
        low=curve.low[keep],
        high=curve.high[keep],
    )


def _lines(curves: Mapping[str, RetentionCurve], *, control: str) -> list[_Line]:
    """Name each arm's curve and give it its look."""
    lines: list[_Line] = []
    looks = arm_looks(curves, control=control)
    for name, curve in curves.items():
        look = looks[name]
        dashes: _Dashes = (0, look.dashes) if look.dashes else "solid"
        rate = ""
        if curve.day.size:
            day = max(day for day in _MARKED_DAYS if day <= curve.day[-1])
            rate = f"  {100 * curve.rate[day - 1]:.1f} % on day {day}"
        label = f"{name}{' (control)' if name == control else ''}{rate}"
        lines.append(_Line(name, curve, label, look.colour, dashes, look.control))
    return lines


def _draw_frame(axes: Axes, curves: Sequence[RetentionCurve]) -> None:
    drawn = [curve for curve in curves if curve.day.size]
    last = max((int(curve.day[-1]) for curve in drawn), default=2)
    top = max((float(curve.high.max()) for curve in drawn), default=1.0)
    axes.set_xlim(1, max(last, 2))
    axes.set_ylim(0, min(1.0, 1.06 * top))
    ticks = [1, 7, 14, 21, *range(28, last + 1, 7 if last <= 63 else 28)]
    axes.set_xticks([day for day in ticks if day <= last])
    axes.set_xlabel("days after a user's first visit", fontsize=_LABEL_SIZE, color=_QUIET)
    axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    axes.tick_params(labelsize=_LABEL_SIZE, labelcolor=_QUIET, length=0)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_QUIET)
    for day in _MARKED_DAYS:
        if 1 < day <= last:
            axes.axvline(day, color=_GRID, linewidth=0.8, zorder=0)


def _draw_line(axes: Axes, line: _Line) -> None:
    curve = line.curve
    axes.fill_between(curve.day, curve.low, curve.high, color=line.colour, alpha=0.12, linewidth=0)
    axes.plot(
        curve.day,
        curve.rate,
        color=line.colour,
        linestyle=line.dashes,
        linewidth=2.4 if line.control else 1.7,
        solid_capstyle="butt",
    )


def _draw_labels(axes: Axes, lines: Sequence[_Line]) -> None:
    """Name each curve at its right end; names keep clear of each other."""
    drawn = [line for line in lines if line.curve.day.size]
    ends = np.array([line.curve.rate[-1] for line in drawn])
    step = _LABEL_SIZE * _LINE_HEIGHT / (72 * _HEIGHT) * axes.get_ylim()[1]
    first, right = axes.get_xlim()
    leader = _LEADER / _WIDTH * (right - first)
    for line, end, place in zip(drawn, ends, spread(ends, step=step, low=step / 2), strict=True):
        bend = (right + 0.15 * leader, right + 0.75 * leader)
        axes.plot(bend, (end, place), color=line.colour, linewidth=0.9, clip_on=False)
        axes.text(
            right + leader,
            place,
            line.label,
            color=line.colour,
            fontsize=_LABEL_SIZE,
            verticalalignment="center",
            weight="bold" if line.control else "normal",
        )


def spread(places: FloatArray, *, step: float, low: float) -> FloatArray:
    """Move labels apart by least squares: neighbours at least `step` apart, none below `low`.

    Args:
        places: where each label would like to be, `float64 [n]`.
        step: least distance between two labels.
        low: least place.

    Returns:
        `float64 [n]`, in the order of `places` by rank.

    Example:
        >>> spread(np.array([0.5, 0.5, 0.9]), step=0.1, low=0.0).round(2).tolist()
        [0.45, 0.55, 0.9]
    """
    # With the room that the labels below need taken off, only their order must be kept.
    order = np.argsort(places, kind="stable")
    room = step * np.arange(places.size)
    kept = optimize.isotonic_regression(places[order] - room).x
    result = np.empty(places.size)
    result[order] = np.maximum(kept, low) + room
    return result


def _percent(share: float, _: int | None = None) -> str:
    return f"{round(100 * share, 6):g} %"


def _footnote(curves: Mapping[str, RetentionCurve]) -> str:
    users: Int64Array = np.array([curve.eligible.max(initial=0) for curve in curves.values()])
    span = f"{users.min():,}" if users.min() == users.max() else f"{users.min():,}-{users.max():,}"
    return (
        f"{span} users per arm. A day counts every user for whom it lies within the run, "
        "returned or not;\nit is drawn while that is at least half of them."
    )
