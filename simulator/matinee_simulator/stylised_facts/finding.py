"""What a check finds: figures with their errors and accepted ranges, a verdict, a plot.

A finding is data. Drawing it belongs to those who show it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray


class Verdict(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"
    NOT_RUN = "not run"
    MEASURED = "measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of the simulation, and what it is held against.

    Attributes:
        name: of the quantity.
        value: simulated.
        standard_error: of `value`, NaN where there is none.
        reference: what it is compared with, NaN if with a range alone.
        source: where the reference or the range comes from.
        low: least accepted value, -inf if there is none.
        high: largest accepted value, inf if there is none.
        gated: whether a value outside the range fails the check.
        digits: decimals to show.
    """

    name: str
    value: float
    standard_error: float = math.nan
    reference: float = math.nan
    source: str = ""
    low: float = -math.inf
    high: float = math.inf
    gated: bool = True
    digits: int = 3

    @property
    def accepted(self) -> bool:
        """Whether the value lies within the range; NaN does not."""
        return self.low <= self.value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line or row of dots of a plot.

    Attributes:
        name: what it shows.
        role: `simulated`, `data`, `literature`, or `other`.
        x: `[n]`.
        y: `[n]`.
        low: lower ends of a band or of error bars, `[n]`, or None.
        high: upper ends.
        dots: whether dots are drawn instead of a line.
    """

    name: str
    role: str
    x: FloatArray
    y: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None
    dots: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What to draw.

    Attributes:
        x_title: quantity and unit of the horizontal axis.
        y_title: of the vertical axis.
        lines: at least one.
        categories: names of the places 1, 2, ... where the horizontal axis is no quantity.
        x_log: whether the horizontal axis is logarithmic.
        y_log: whether the vertical axis is.
    """

    x_title: str
    y_title: str
    lines: tuple[Line, ...]
    categories: tuple[str, ...] = ()
    x_log: bool = False
    y_log: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check.

    Attributes:
        key: `fact-1` or `T1`.
        title: what is claimed.
        source: where the claim comes from.
        evidence: how far it can be trusted, in words.
        tolerance: what counts as reproduced, in words.
        verdict: how it ended.
        reason: why, in a sentence or two.
        figures: the numbers.
        plot: what to draw, None for the figures alone.
        gated: whether a failure fails the validation.
    """

    key: str
    title: str
    source: str
    evidence: str
    tolerance: str
    verdict: Verdict
    reason: str
    figures: tuple[Figure, ...] = ()
    plot: Plot | None = None
    gated: bool = True

    def to_json(self) -> dict[str, Any]:
        """As JSON values; what is not finite becomes None."""
        return {
            "key": self.key,
            "title": self.title,
            "source": self.source,
            "evidence": self.evidence,
            "tolerance": self.tolerance,
            "gated": self.gated,
            "verdict": str(self.verdict),
            "reason": self.reason,
            "figures": [_figure_json(figure) for figure in self.figures],
            "plot": None if self.plot is None else _plot_json(self.plot),
        }


def near(
    name: str,
    values: AnyArray | Sequence[float],
    reference: float,
    *,
    tolerance: float,
    source: str,
    gated: bool = True,
    digits: int = 3,
) -> Figure:
    """A figure that is to be within `tolerance` of a reference.

    Args:
        name: of the quantity.
        values: simulated in independent populations; their mean and its standard error are told.
        reference: to compare with.
        tolerance: largest accepted distance.
        source: of the reference.
        gated: see `Figure`.
        digits: decimals to show.
    """
    value, error = mean_and_error(values)
    return Figure(
        name=name,
        value=value,
        standard_error=error,
        reference=reference,
        source=source,
        low=reference - tolerance,
        high=reference + tolerance,
        gated=gated,
        digits=digits,
    )


def within(
    name: str,
    values: AnyArray | Sequence[float],
    low: float = -math.inf,
    high: float = math.inf,
    *,
    source: str = "",
    gated: bool = True,
    digits: int = 3,
) -> Figure:
    """A figure that is to be within a range; arguments as `near`."""
    value, error = mean_and_error(values)
    return Figure(
        name=name,
        value=value,
        standard_error=error,
        source=source,
        low=low,
        high=high,
        gated=gated,
        digits=digits,
    )


def told(
    name: str,
    values: AnyArray | Sequence[float],
    reference: float = math.nan,
    *,
    source: str = "",
    digits: int = 3,
) -> Figure:
    """A figure that is only told; arguments as `near`."""
    value, error = mean_and_error(values)
    return Figure(
        name=name,
        value=value,
        standard_error=error,
        reference=reference,
        source=source,
        gated=False,
        digits=digits,
    )


def mean_and_error(values: AnyArray | Sequence[float]) -> tuple[float, float]:
    """Mean of independent values and its standard error, NaN for a single one.

    Example:
        >>> mean_and_error([1.0, 3.0])
        (2.0, 1.0)
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2:
        return float(array.mean()), math.nan
    return float(array.mean()), float(array.std(ddof=1) / math.sqrt(array.size))


def judge(figures: Sequence[Figure]) -> tuple[Verdict, str]:
    """Verdict on gated figures, and which of them are outside their range.

    Example:
        >>> judge([Figure(name="Gini", value=0.2, low=0.6, high=0.8)])
        (<Verdict.FAIL: 'fail'>, 'Gini is 0.200, below 0.600.')
    """
    gated = [figure for figure in figures if figure.gated]
    if not gated:
        return Verdict.NOT_APPLICABLE, "Nothing here can be compared."
    outside = [figure for figure in gated if not figure.accepted]
    if not outside:
        return Verdict.PASS, ""
    return Verdict.FAIL, "; ".join(_complaint(figure) for figure in outside) + "."


def _complaint(figure: Figure) -> str:
    digits = figure.digits
    against = f" ({figure.source})" if figure.source else ""
    if math.isnan(figure.value):
        return f"{figure.name} cannot be told{against}"
    if figure.value < figure.low:
        return f"{figure.name} is {figure.value:.{digits}f}, below {figure.low:.{digits}f}{against}"
    return f"{figure.name} is {figure.value:.{digits}f}, above {figure.high:.{digits}f}{against}"


def _figure_json(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "value": _number(figure.value),
        "standard_error": _number(figure.standard_error),
        "reference": _number(figure.reference),
        "source": figure.source,
        "low": _number(figure.low),
        "high": _number(figure.high),
        "gated": figure.gated,
        "accepted": figure.accepted,
        "digits": figure.digits,
    }


def _plot_json(plot: Plot) -> dict[str, Any]:
    return {
        "x_title": plot.x_title,
        "y_title": plot.y_title,
        "categories": list(plot.categories),
        "x_log": plot.x_log,
        "y_log": plot.y_log,
        "lines": [
            {
                "name": line.name,
                "role": line.role,
                "dots": line.dots,
                "x": _numbers(line.x),
                "y": _numbers(line.y),
                "low": None if line.low is None else _numbers(line.low),
                "high": None if line.high is None else _numbers(line.high),
            }
            for line in plot.lines
        ],
    }


def _number(value: float) -> float | None:
    # Six digits: more would only make the file longer.
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _numbers(values: AnyArray) -> list[float | None]:
    return [_number(value) for value in np.asarray(values, dtype=np.float64).tolist()]
