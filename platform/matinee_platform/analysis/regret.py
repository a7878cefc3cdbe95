"""Pseudo-regret: expected clicks that a page left on the table, by day, with intervals by unit.

The best page of the candidates is known between two bounds (a greedy page and a number no page
exceeds), so regret is a bracket too. It speaks of the page shown and of clicks alone: an arm that
leads its users to other states is compared with the best page for those states, and a page with
more clicks need not be one that brings people back.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matinee_platform.analysis.learning_curve import ratio_by_unit
from matinee_platform.decision_log import read_parts
from matinee_policies.arrays import FloatArray, Int64Array, UInt64Array
from matinee_policies.config import check_whole


@dataclass(frozen=True, slots=True)
class RegretCurve:
    """Regret of one arm over `w` windows of days, in expected clicks per page; NaN where empty.

    Attributes:
        first: first day of each window, `int64 [w]`.
        last: last day of each window, `int64 [w]`.
        pages: pages compared, `int64 [w]`.
        low: regret to the greedy page, 0 where the page shown was better, `float64 [w]`.
        low_half: half-width of its 95 % interval by unit, `float64 [w]`.
        high: regret to the bound, `float64 [w]`.
        mean_low: `low` over all days; NaN without pages.
        mean_low_half: half-width of its interval.
        mean_high: `high` over all days.
        mean_expected: expected clicks of the pages shown.
    """

    first: Int64Array
    last: Int64Array
    pages: Int64Array
    low: FloatArray
    low_half: FloatArray
    high: FloatArray
    mean_low: float
    mean_low_half: float
    mean_high: float
    mean_expected: float


def read_regret(run: Path, arm: str, *, days: int, window: int) -> RegretCurve | None:
    """Read what a run noted of the oracle's pages; None if it noted nothing.

    Args:
        run: folder of the run.
        arm: name of the arm.
        days: length of the run.
        window: days pooled, at least 1.

    Raises:
        ConfigError: on a window below 1.
        DataError: if a part cannot be read.
    """
    check_whole("days of a window", window, low=1)
    rows = _read(run, arm, days)
    if not rows.unit.size:
        return None
    first = np.arange(0, days, window, dtype=np.int64)
    windows = [rows.of_days(start, start + window) for start in first.tolist()]
    low = np.array([part.low_by_unit() for part in windows])
    overall = rows.low_by_unit()
    return RegretCurve(
        first=first,
        last=np.minimum(first + window, days) - 1,
        pages=np.array([part.unit.size for part in windows], dtype=np.int64),
        low=low[:, 0],
        low_half=low[:, 1],
        high=np.array([_mean(part.high) for part in windows]),
        mean_low=overall[0],
        mean_low_half=overall[1],
        mean_high=_mean(rows.high),
        mean_expected=_mean(rows.expected),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    unit: UInt64Array
    day: Int64Array
    expected: FloatArray
    low: FloatArray
    high: FloatArray

    def of_days(self, first: int, end: int) -> "_Rows":
        here = (self.day >= first) & (self.day < end)
        return _Rows(
            self.unit[here], self.day[here], self.expected[here], self.low[here], self.high[here]
        )

    def low_by_unit(self) -> tuple[float, float]:
        units, place = np.unique(self.unit, return_inverse=True)
        total = np.bincount(place, weights=self.low, minlength=units.size).astype(np.float64)
        pages = np.bincount(place, minlength=units.size).astype(np.float64)
        return ratio_by_unit(total, pages)


def _read(run: Path, arm: str, days: int) -> _Rows:
    """All rows: five numbers for each decision of a small sample."""
    parts = []
    for day in range(days):
        for rows in read_parts(run, "regret", arm, day=day):
            expected = rows["expected_clicks"].to_numpy()
            parts.append(
                _Rows(
                    unit=rows["unit"].to_numpy(),
                    day=np.full(rows.num_rows, day, dtype=np.int64),
                    expected=expected,
                    low=np.maximum(rows["greedy_clicks"].to_numpy() - expected, 0.0),
                    high=np.maximum(rows["bound_clicks"].to_numpy() - expected, 0.0),
                )
            )
    if not parts:
        none = np.zeros(0)
        return _Rows(none.astype(np.uint64), none.astype(np.int64), none, none, none)
    return _Rows(
        unit=np.concatenate([part.unit for part in parts]),
        day=np.concatenate([part.day for part in parts]),
        expected=np.concatenate([part.expected for part in parts]),
        low=np.concatenate([part.low for part in parts]),
        high=np.concatenate([part.high for part in parts]),
    )


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else np.nan
