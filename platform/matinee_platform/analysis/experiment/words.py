"""Numbers of an analysis in sentences: shares in per cent, their differences in points."""

from collections.abc import Mapping, Sequence
from typing import Any

ONE_LOOK = "intervals and tests of a single look are shown at the declared end alone"
"""Why a view that is looked at again and again has none of them."""


def in_percent(metric: Mapping[str, Any]) -> bool:
    """Whether a metric is told in per cent."""
    unit: str = metric["unit"]
    return unit.startswith("share") or unit == "clicks per item shown"


def amount(value: float, metric: Mapping[str, Any]) -> str:
    """A value of a metric.

    Example:
        >>> amount(0.4123, {"unit": "share of units"}), amount(3.14159, {"unit": "days"})
        ('41.2 %', '3.14')
    """
    return f"{100 * value:.3g} %" if in_percent(metric) else f"{value:,.3g}"


def change(value: float, metric: Mapping[str, Any]) -> str:
    """A difference of a metric, with its sign; of shares in percentage points (pp).

    Example:
        >>> change(-0.0123, {"unit": "share of units"})
        '-1.23 pp'
    """
    return f"{100 * value:+.3g} pp" if in_percent(metric) else f"{value:+.3g}"


def interval_words(
    found: Mapping[str, Any], metric: Mapping[str, Any], *, confidence: float
) -> str:
    """An interval of a difference, and when it holds."""
    kind = " at every look" if found.get("interval") == "anytime" else ""
    return f"{100 * confidence:g} % interval{kind} {span(found, metric)}"


def span(found: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    """Both ends of an interval of a difference; `none` without one.

    Example:
        >>> span({"low": -0.01, "high": 0.02}, {"unit": "share of units"})
        '-1 to +2 pp'
    """
    if found["low"] is None or found["high"] is None:
        return "none"
    low = change(found["low"], metric).removesuffix(" pp")
    return f"{low} to {change(found['high'], metric)}"


def probability(value: float | None) -> str:
    """A p-value.

    Example:
        >>> probability(0.0312), probability(1e-12), probability(None)
        ('0.031', '< 1e-9', 'none')
    """
    if value is None:
        return "none"
    return f"{value:.2g}" if value >= 1e-9 else "< 1e-9"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    Example:
        >>> listed(["a", "b", "c"])
        'a, b and c'
    """
    return " and ".join(part for part in (", ".join(names[:-1]), "".join(names[-1:])) if part)
