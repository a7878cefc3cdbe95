"""How an arm did over the days of the run: engagement, clicks and exploration, with intervals.

Days are pooled into windows, since few users come on a late day. Units are the sample within a
window: a unit that comes on several of its days counts once, with its sums (delta method).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.analysis.compare import linearised
from matinee_platform.analysis.slate_metrics import EXPLORED_BELOW
from matinee_platform.decision_log import read_parts
from matinee_platform.log_schema import matrix
from matinee_policies.arrays import FloatArray, Int64Array, UInt64Array
from matinee_policies.config import check_whole
from matinee_policies.records import PAD

_Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class RatioCurve:
    """A ratio of sums per window, NaN where the window holds nothing.

    Attributes:
        value: `float64 [w]`.
        half: half-width of the 95 % interval by unit, NaN for fewer than two units, `float64 [w]`.
    """

    value: FloatArray
    half: FloatArray


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """One arm over `w` windows of days.

    Attributes:
        first: first day of each window, `int64 [w]`.
        last: last day of each window, `int64 [w]`.
        pages: slates shown, `int64 [w]`.
        engagement: watched fractions per page.
        ctr: clicks per item shown.
        explored: share of slots shown with a probability below `EXPLORED_BELOW`.
    """

    first: Int64Array
    last: Int64Array
    pages: Int64Array
    engagement: RatioCurve
    ctr: RatioCurve
    explored: RatioCurve


_PAGES, _SLOTS, _CLICKS, _WATCHED, _EXPLORED = range(5)


@dataclass(slots=True)
class _Sums:
    """Sums of `n` units: ids `[n]`, and a column for each of the sums above, `[n, 5]`."""

    units: UInt64Array
    sums: FloatArray


def read_learning_curve(run: Path, arm: str, *, days: int, window: int) -> LearningCurve:
    """Read one arm's log, a window of days at a time.

    Args:
        run: folder of the run.
        arm: name of the arm.
        days: length of the run.
        window: days pooled, at least 1; the last window may be shorter.

    Raises:
        ConfigError: on a window below 1.
        DataError: if a part of the log cannot be read.
    """
    check_whole("days of a window", window, low=1)
    first = np.arange(0, days, window)
    last = np.minimum(first + window, days) - 1
    windows = [
        _window_sums(run, arm, range(start, end + 1))
        for start, end in zip(first, last, strict=True)
    ]
    return LearningCurve(
        first=first,
        last=last,
        pages=np.array([part.sums[:, _PAGES].sum() for part in windows], dtype=np.int64),
        engagement=_ratio(windows, _WATCHED, _PAGES),
        ctr=_ratio(windows, _CLICKS, _SLOTS),
        explored=_ratio(windows, _EXPLORED, _SLOTS),
    )


def ratio_by_unit(numerator: FloatArray, denominator: FloatArray) -> tuple[float, float]:
    """A ratio of sums and the half-width of its 95 % interval by unit.

    Args:
        numerator: sum per unit, `float64 [n]`.
        denominator: sum per unit, `float64 [n]`.

    Returns:
        The ratio, NaN where the denominators sum to 0, and the half-width, NaN for `n` < 2.

    Example:
        >>> ratio_by_unit(np.array([1.0, 3.0]), np.array([10.0, 30.0]))
        (0.1, 0.0)
    """
    values = linearised(numerator, denominator)
    n = values.size
    if not n:
        return np.nan, np.nan
    half = _Z95 * float(np.sqrt(values.var(ddof=1) / n)) if n >= 2 else np.nan
    return float(values.mean()), half


def _day_sums(run: Path, arm: str, day: int) -> _Sums:
    """Sums per page of one day; clicks and watched fractions are logged on the day of the page."""
    ids, units = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.uint64)]
    sums = [np.zeros((0, 5))]
    columns = ["decision_id", "unit", "slate", "propensities"]
    for rows in read_parts(run, "decisions", arm, columns, day=day):
        shown = matrix(rows["slate"]) != PAD
        explored = shown & (matrix(rows["propensities"]) < EXPLORED_BELOW)
        part = np.zeros((rows.num_rows, 5))
        part[:, _PAGES] = 1.0
        part[:, _SLOTS] = shown.sum(axis=1)
        part[:, _EXPLORED] = explored.sum(axis=1)
        ids.append(rows["decision_id"].to_numpy())
        units.append(rows["unit"].to_numpy())
        sums.append(part)
    pages = np.concatenate(sums)
    _add_rewards(run, arm, day, np.concatenate(ids), pages)
    return _by_unit(np.concatenate(units), pages)


def _add_rewards(run: Path, arm: str, day: int, ids: UInt64Array, pages: FloatArray) -> None:
    """Add the day's clicks and watched fractions to the pages with these ids."""
    order = np.argsort(ids, kind="stable")
    for rows in read_parts(run, "rewards", arm, ["decision_id", "component", "value"], day=day):
        decision = rows["decision_id"].to_numpy()
        place = np.searchsorted(ids, decision, sorter=order)
        page = order[np.minimum(place, ids.size - 1)] if ids.size else place
        component = rows["component"].cast(pa.string()).to_numpy()
        value = rows["value"].to_numpy()
        for name, column in (("click", _CLICKS), ("watch", _WATCHED)):
            here = component == name
            if ids.size:
                here &= ids[page] == decision
                np.add.at(pages[:, column], page[here], value[here].astype(np.float64))


def _by_unit(units: UInt64Array, sums: FloatArray) -> _Sums:
    found, place = np.unique(units, return_inverse=True)
    total = np.zeros((found.size, sums.shape[1]))
    np.add.at(total, place, sums)
    return _Sums(found, total)


def _window_sums(run: Path, arm: str, days: range) -> _Sums:
    parts = [_day_sums(run, arm, day) for day in days]
    return _by_unit(
        np.concatenate([part.units for part in parts]),
        np.concatenate([part.sums for part in parts]),
    )


def _ratio(windows: list[_Sums], numerator: int, denominator: int) -> RatioCurve:
    pairs = [ratio_by_unit(part.sums[:, numerator], part.sums[:, denominator]) for part in windows]
    value, half = np.array(pairs).T
    return RatioCurve(value, half)
