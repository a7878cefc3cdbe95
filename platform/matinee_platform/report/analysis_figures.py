"""The charts of an analysis: effects over time with their sequences, survival, retention."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from matinee_platform.analysis.arm_look import ArmLook
from matinee_platform.analysis.experiment.words import in_percent
from matinee_platform.report.figures import Figure
from matinee_platform.report.svg import Axis, Chart, Series, line_chart
from matinee_policies.arrays import BoolArray, FloatArray

_MOST_CHARTS = 6
_ROOM = 1.3
"""Of an effect's axis: how far it goes beyond the bands of its later days."""

_WIDE = (720.0, 300.0)

Document = Mapping[str, Any]
Looks = Mapping[str, ArmLook]


def effect_figures(document: Document, looks: Looks) -> list[Figure]:
    """Primary metrics and guardrails: the difference so far, at the end of each day."""
    control = document["control"]
    figures = []
    for name, found in list(document["by_day"].items())[:_MOST_CHARTS]:
        metric = document["metrics"][name]
        scale = 100.0 if in_percent(metric) else 1.0
        unit = "pp" if in_percent(metric) else metric["unit"]
        series = [
            _effect_series(arm, one["so_far"], found["day"], looks, scale=scale)
            for arm, one in found["arms"].items()
        ]
        if not any(np.isfinite(one.y).any() for one in series):
            continue
        limit = _limit(series)
        figures.append(
            Figure(
                f"{metric['title'][:1].upper()}{metric['title'][1:]}: effect so far",
                f"Difference to {control} over all units that count at the end of each day, in "
                f"{unit}. Bands: {100 * document['confidence']:g} % confidence sequences, which "
                "hold on all days together; dotted: no difference.",
                line_chart(
                    Chart(
                        f"{metric['title']}: difference to {control} by day of the experiment.",
                        Axis("day of the experiment", _whole, 1.0, float(max(found["day"][-1], 2))),
                        Axis(f"difference, {unit}", _short, -limit, limit),
                        [_within(one, limit) for one in series],
                        level=0.0,
                    ),
                    name=f"effect-{name}",
                ),
            )
        )
        if metric["role"] == "primary":
            figures += _each_day(name, found, metric, looks, control=control)
    return figures


def _each_day(
    name: str, found: Document, metric: Document, looks: Looks, *, control: str
) -> list[Figure]:
    """The difference of each day alone: one that fades is novelty."""
    scale = 100.0 if in_percent(metric) else 1.0
    unit = "pp" if in_percent(metric) else metric["unit"]
    series = []
    for arm, one in found["arms"].items():
        difference, low, high = (
            _numbers(one["each_day"][end]) * scale for end in ("difference", "low", "high")
        )
        x = np.array(found["day"], dtype=np.float64)
        number = list(looks).index(arm)
        series.append(Series(arm, number, looks[arm].dashes, x, difference, low=low, high=high))
    seen = np.concatenate([np.abs(one.y[np.isfinite(one.y)]) for one in series])
    if not seen.size:
        return []
    limit = max(_limit(series), _ROOM * float(np.quantile(seen, 0.9))) or 1.0
    what = (
        "the units that were exposed on that day"
        if found["each_day_is"] == "cohort"
        else "what was done on that day"
    )
    reason = {"reason": found["each_day_reason"]}
    return [
        Figure(
            f"{metric['title'][:1].upper()}{metric['title'][1:]}: effect of each day alone",
            f"Difference to {control}, in {unit}, of {what}."
            + _bands(reason, "intervals day by day (Welch)"),
            line_chart(
                Chart(
                    f"{metric['title']}: difference to {control} of each day alone.",
                    Axis("day of the experiment", _whole, 1.0, float(max(found["day"][-1], 2))),
                    Axis(f"difference, {unit}", _short, -limit, limit),
                    [_within(one, limit) for one in series],
                    level=0.0,
                ),
                name=f"each-day-{name}",
            ),
        )
    ]


def survival_figure(document: Document, looks: Looks) -> Figure | None:
    """Share of units not yet silent, by day; None where nobody was followed."""
    survival = document["survival"]
    series = [
        _curve_series(arm, one, "survival", looks)
        for arm, one in survival["arms"].items()
        if one["survival"]
    ]
    if not series:
        return None
    last = max(float(one.x[-1]) for one in series)
    return Figure(
        "Who stays",
        f"Share of units that have not fallen silent for {survival['silence_days']} days in a row, "
        "by day since exposure (Kaplan and Meier). Units whose data end earlier count as long as "
        f"they were followed.{_bands(survival, 'intervals day by day')}",
        line_chart(
            Chart(
                "Share of units that have not fallen silent, by day since exposure and arm.",
                Axis("days since exposure", _whole, 0.0, max(last, 1.0)),
                Axis("share of units still there", _share, high=1.0),
                series,
            ),
            name="survival",
        ),
    )


def retention_curve_figure(document: Document, looks: Looks) -> Figure | None:
    """Classic retention by day since exposure; None before a day 1 is over."""
    series = []
    for arm, one in document["retention"]["curves"].items():
        eligible = np.array(one["eligible"])
        # Late days of few units would only show noise.
        keep = (np.arange(eligible.size) >= 1) & (eligible >= 0.5 * eligible.max(initial=1))
        if keep.any():
            series.append(_curve_series(arm, one, "rate", looks, keep=keep))
    if not series:
        return None
    last = max(float(one.x[-1]) for one in series)
    width, height = _WIDE
    return Figure(
        "Who comes back",
        "Share of units that came exactly on that day after exposure, over units for which it is "
        "over; drawn while that is at least half of them."
        + _bands(document["retention"], "intervals day by day (Wilson)"),
        line_chart(
            Chart(
                "Share of units active on each day after exposure, by arm.",
                Axis("days since exposure", _whole, 1.0, max(last, 2.0)),
                Axis("share of units active", _share, low=0.0),
                series,
                width=width,
                height=height,
            ),
            name="analysis-retention",
        ),
    )


def _bands(found: Document, bands: str) -> str:
    """What bands are, or why there are none."""
    reason = found.get("reason", "")
    return f" No bands: {reason}." if reason else f" Bands: {bands}."


def _effect_series(
    arm: str, found: Document, days: list[int], looks: Looks, *, scale: float
) -> Series:
    values = (_numbers(found[name]) * scale for name in ("difference", "low", "high"))
    difference, low, high = values
    number, look = list(looks).index(arm), looks[arm]
    x = np.array(days, dtype=np.float64)
    # A difference without an interval is of too few units to be drawn.
    shown = np.where(np.isfinite(low), difference, np.nan)
    return Series(arm, number, look.dashes, x, shown, low=low, high=high)


def _curve_series(
    arm: str, found: Document, name: str, looks: Looks, *, keep: BoolArray | None = None
) -> Series:
    values, low, high = (_numbers(found[one]) for one in (name, "low", "high"))
    kept = np.ones(values.size, dtype=np.bool_) if keep is None else keep
    return Series(
        arm,
        list(looks).index(arm),
        looks[arm].dashes,
        np.arange(values.size, dtype=np.float64)[kept],
        values[kept],
        low=low[kept],
        high=high[kept],
    )


def _limit(series: list[Series]) -> float:
    """How far an effect's axis goes: beyond the bands of the later half, not of the first days."""
    ends = [
        np.abs(bound[one.x >= np.median(one.x)])
        for one in series
        for bound in (one.low, one.high)
        if bound is not None
    ]
    found = np.concatenate([np.zeros(0), *ends])
    return _ROOM * float(np.nanmax(found)) if np.isfinite(found).any() else 1.0


def _within(series: Series, limit: float) -> Series:
    """The same without what lies outside of the frame."""
    y = np.where(np.abs(series.y) <= limit, series.y, np.nan)
    return Series(
        series.name, series.number, series.dashes, series.x, y, low=series.low, high=series.high
    )


def _numbers(values: list[float | None]) -> FloatArray:
    return np.array([np.nan if one is None else one for one in values], dtype=np.float64)


def _whole(value: float) -> str:
    return f"{value:.0f}"


def _short(value: float) -> str:
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


_share: Callable[[float], str] = "{:.0%}".format
