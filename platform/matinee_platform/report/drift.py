"""The section of a report on drift: a chart of departures, and the alarms in a table."""

import numpy as np

from matinee_platform.report.facts import ArmFacts, Facts
from matinee_platform.report.figures import Figure
from matinee_platform.report.formats import NONE, number
from matinee_platform.report.svg import Axis, Chart, Series, line_chart
from matinee_platform.report.tables import Cell, Row, Table, arm_title
from matinee_policies.arrays import FloatArray

_TOLD = 6
"""Alarms of an arm that are named; the others are counted."""


def drift_figure(facts: Facts) -> Figure | None:
    """Departures of residuals over the days of the run; None if nothing was looked at."""
    series = []
    for arm in facts.arms:
        departure = _numbers(arm, "departure")
        if np.isfinite(departure).any():
            day = np.arange(departure.size, dtype=np.float64) + 1
            series.append(Series(arm.name, arm.number, arm.look.dashes, day, departure))
    if not series:
        return None
    return Figure(
        "Departure from what was to be expected",
        "Engagement of the day beyond what slots with the same features earned before, as a "
        "departure from its level since the last alarm, in standard errors by user. Within ±2 "
        "nothing has happened; alarms add up what lasts.",
        line_chart(
            Chart(
                "Departure of daily residuals from their level, over the days of the run.",
                Axis("day of the run", _whole, 1.0, float(max(facts.settings.days, 2))),
                Axis("standard errors", _plain),
                series,
            ),
            name="drift",
        ),
    )


def drift_table(facts: Facts) -> Table | None:
    """Alarms of each arm; None where results are from before there was any detection."""
    arms = [arm for arm in facts.arms if "drift" in arm.results]
    if not arms:
        return None
    return Table(
        "Alarms of drift",
        ("arm", "mean residual", "alarms", "when and what"),
        tuple(
            Row(
                arm.number,
                arm_title(facts, arm),
                (
                    Cell(_mean(arm)),
                    Cell(number(len(arm.results["drift"]["alarms"]), 0)),
                    Cell(_told(arm)),
                ),
            )
            for arm in arms
        ),
    )


def _mean(arm: ArmFacts) -> str:
    mean = _numbers(arm, "mean")
    known = mean[np.isfinite(mean)]
    return number(float(known.mean()), 4) if known.size else NONE


def _told(arm: ArmFacts) -> str:
    alarms = arm.results["drift"]["alarms"]
    told = [f"day {alarm['day'] + 1}: {alarm['what']}" for alarm in alarms[:_TOLD]]
    if len(alarms) > _TOLD:
        told.append(f"and {len(alarms) - _TOLD} more")
    return "; ".join(told) or "none"


def _numbers(arm: ArmFacts, name: str) -> FloatArray:
    found = arm.results.get("drift", {}).get(name, [])
    return np.array([np.nan if value is None else value for value in found], dtype=np.float64)


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _plain(value: float) -> str:
    return f"{value:,.3g}"
