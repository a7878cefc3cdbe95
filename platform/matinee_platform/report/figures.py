"""The charts of a report."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from matinee_platform.analysis.exposure import lorenz_curve
from matinee_platform.analysis.learning_curve import RatioCurve
from matinee_platform.analysis.propensity_diagnostics import bin_edges
from matinee_platform.report.facts import ArmFacts, Facts
from matinee_platform.report.headline import retention_metric
from matinee_platform.report.svg import Axis, Chart, Series, bar_strip, dot_chart, line_chart
from matinee_policies.arrays import FloatArray

_SETTLED = 0.5
_DAY_TICKS = (1.0, 7.0, 14.0, 21.0, 28.0, 42.0, 56.0, 84.0, 112.0, 168.0, 336.0)
_LORENZ_POINTS = 120
_WIDE, _NARROW = (720.0, 300.0), (360.0, 250.0)


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its words.

    Attributes:
        title: what it shows.
        caption: how to read it.
        drawing: the chart; shown where there is room if there is a narrow one too.
        narrow: the same for a small screen, or None.
    """

    title: str
    caption: str
    drawing: Markup
    narrow: Markup | None = None


def retention_figure(facts: Facts) -> Figure:
    """Retention by day after the first visit."""
    series = [_retention_series(arm) for arm in facts.arms]
    last = max((float(s.x[-1]) for s in series if s.x.size), default=1.0)
    drawings = [
        line_chart(
            Chart(
                label="Share of users active on each day after their first visit, by arm; "
                "the numbers are in the table below.",
                x=Axis("days after the first visit", _whole, 1.0, max(last, 2.0), _DAY_TICKS),
                y=Axis("share of users active", _share, low=0.0),
                series=series,
                width=width,
                height=height,
            ),
            name=f"retention-{width:g}",
        )
        for width, height in (_WIDE, _NARROW)
    ]
    return Figure(
        "Who comes back",
        "Share of users active on that very day after their first visit. A day counts every user "
        "for whom it lies within the run, returned or not, and is drawn while that is at least "
        "half of them. Bands: 95 % intervals (Wilson), day by day.",
        drawings[0],
        drawings[1],
    )


def tradeoff_figures(facts: Facts) -> list[Figure]:
    """Engagement and diversity against retention."""
    day = retention_metric(facts.results)
    name = day.upper()
    engagement, diversity = [], []
    for arm in facts.arms:
        rate, low, high = _rate(arm, day)
        mean, half = arm.engagement
        common = {"low": _one(low), "high": _one(high)}
        engagement.append(
            Series(
                arm.name,
                arm.number,
                (),
                _one(mean),
                _one(rate),
                x_low=_one(mean - half),
                x_high=_one(mean + half),
                **common,
            )
        )
        ild = arm.results["ild"]
        diversity.append(
            Series(
                arm.name,
                arm.number,
                (),
                _one(np.nan if ild is None else ild),
                _one(rate),
                **common,
            )
        )
    y = Axis(f"{name}, share of users active", _share)
    return [
        Figure(
            f"Engagement and {name}",
            f"Up: more users active on day {name[1:]} (vertical). Right: more watched per user, "
            "in films (horizontal). Bars: 95 % intervals by user.",
            dot_chart(
                Chart(
                    f"Engagement per user against {name}, one dot per arm.",
                    Axis("watched films per user", _plain),
                    y,
                    engagement,
                    height=250.0,
                ),
                name="engagement-retention",
            ),
        ),
        Figure(
            f"Diversity and {name}",
            f"Up: {name}. Right: more different films within a page (mean 1 − cosine over pairs). "  # noqa: RUF001
            "Bars: 95 % intervals; diversity is drawn without one.",
            dot_chart(
                Chart(
                    f"Diversity within a page against {name}, one dot per arm.",
                    Axis("intra-list diversity", _plain),
                    y,
                    diversity,
                    height=250.0,
                ),
                name="diversity-retention",
            ),
        ),
    ]


def learning_figures(facts: Facts) -> list[Figure]:
    """Engagement, clicks and exploration over the days of the run."""
    pooled = "day by day" if facts.window == 1 else f"{facts.window} days pooled"
    bands = f"Over the days of the run, {pooled}; bands: 95 % intervals by user."
    return [
        Figure(
            "Engagement per page",
            f"Watched films per page. {bands}",
            _over_days(
                facts, "engagement", "watched films per page", _plain, "learning-engagement"
            ),
        ),
        Figure(
            "Clicks",
            f"Clicks per item shown. {bands}",
            _over_days(facts, "ctr", "clicks per film shown", _share, "learning-ctr"),
        ),
        Figure(
            "Exploration",
            "Share of slots shown with a probability below one half: something else was at least "
            f"as likely. {bands}",
            _over_days(facts, "explored", "share of slots explored", _share, "learning-explored"),
        ),
    ]


def lorenz_figure(facts: Facts) -> Figure:
    """How impressions are spread over the catalogue."""
    shown = max(float((arm.counts > 0).mean()) for arm in facts.arms)
    last = next(edge for edge in (0.05, 0.1, 0.25, 0.5, 1.0) if shown <= edge)
    series = []
    for arm in facts.arms:
        curve = lorenz_curve(arm.counts, points=round(_LORENZ_POINTS / last) + 1)
        # Nearly all impressions lie on few films, so the most shown ones come first here.
        items, impressions = 1.0 - curve.items[::-1], 1.0 - curve.impressions[::-1]
        keep = items <= last + 1e-9
        series.append(Series(arm.name, arm.number, arm.look.dashes, items[keep], impressions[keep]))
    return Figure(
        "Who gets the impressions",
        "Share of all impressions that the most shown films received, by their share of the "
        f"catalogue (a Lorenz curve read from the top, up to {_share(last)}, where every arm has "
        "shown all it ever shows). Dotted: an even spread.",
        line_chart(
            Chart(
                "Share of impressions by share of the catalogue, most shown films first.",
                Axis("share of the catalogue, most shown first", _share, 0.0, last),
                Axis("share of impressions", _share, 0.0, 1.0),
                series,
                labels=False,
                diagonal=True,
            ),
            name="lorenz",
        ),
    )


def regret_figure(facts: Facts) -> Figure | None:
    """Regret over the days of the run; None if the run noted none."""
    series = []
    for arm in facts.arms:
        if arm.regret is not None:
            middle = (arm.regret.first + arm.regret.last) / 2 + 1
            low, half = arm.regret.low, arm.regret.low_half
            series.append(
                Series(
                    arm.name,
                    arm.number,
                    arm.look.dashes,
                    middle,
                    low,
                    low=np.maximum(low - half, 0.0),
                    high=low + half,
                )
            )
    if not series:
        return None
    return Figure(
        "Clicks left on the table",
        "Expected clicks per page that a greedy page of the oracle, from the same candidates, "
        "would have had more than the page shown (a lower bound of regret). Bands: 95 % intervals "
        "by user.",
        line_chart(
            Chart(
                "Regret to the oracle's greedy page in expected clicks, over the days of the run.",
                Axis("day of the run", _whole, 1.0, float(max(facts.settings.days, 2))),
                Axis("expected clicks per page", _plain, low=0.0),
                series,
            ),
            name="regret",
        ),
    )


def propensity_strip(arm: ArmFacts) -> Markup:
    """The histogram of an arm's logged propensities."""
    edges = bin_edges()
    return bar_strip(
        arm.propensities.histogram,
        number=arm.number,
        label=f"Histogram of the logged propensities of {arm.name}, from {edges[0]:.0e} to 1.",
        name=f"propensities-{arm.number}",
    )


def _retention_series(arm: ArmFacts) -> Series:
    curve = arm.curve
    keep = (curve.day >= 1) & (curve.eligible >= _SETTLED * curve.eligible.max(initial=1))
    return Series(
        arm.name,
        arm.number,
        arm.look.dashes,
        curve.day[keep].astype(np.float64),
        curve.rate[keep],
        low=curve.low[keep],
        high=curve.high[keep],
    )


def _over_days(
    facts: Facts, what: str, title: str, write: Callable[[float], str], name: str
) -> Markup:
    series = []
    for arm in facts.arms:
        curve: RatioCurve = getattr(arm.learning, what)
        series.append(
            Series(
                arm.name,
                arm.number,
                arm.look.dashes,
                (arm.learning.first + arm.learning.last) / 2 + 1,
                curve.value,
                low=np.maximum(curve.value - curve.half, 0.0),
                high=curve.value + curve.half,
            )
        )
    top = max((float(np.nanmax(s.y, initial=0.0)) for s in series), default=1.0)
    return line_chart(
        Chart(
            f"{title} of each arm over the days of the run.",
            Axis("day of the run", _whole, 1.0, float(max(facts.settings.days, 2))),
            # Wide bands of thin windows may leave the frame; the curves themselves never do.
            Axis(title, write, low=0.0, high=1.35 * top or 1.0),
            series,
        ),
        name=name,
    )


def _rate(arm: ArmFacts, day: str) -> tuple[float, float, float]:
    place = int(day[1:])
    curve = arm.curve
    if place >= curve.day.size:
        return np.nan, np.nan, np.nan
    return float(curve.rate[place]), float(curve.low[place]), float(curve.high[place])


def _one(value: float) -> FloatArray:
    return np.array([value], dtype=np.float64)


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _plain(value: float) -> str:
    return f"{value:,.4g}"


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"
