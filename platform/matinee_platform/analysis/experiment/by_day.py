"""Moments of a metric at the end of each day of the experiment, in one pass over the days."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.experiment.unit_metrics import UnitMetric, of_units
from matinee_platform.analysis.inference.moments import Moments, cumulative, moments_by_group
from matinee_policies.arrays import AnyArray, FloatArray


@dataclass(frozen=True, slots=True)
class ByDay:
    """Moments by arm and day.

    Attributes:
        so_far: of all units that count at the end of each day, values and covariates, by arm and
            then by day.
        each: of the day alone, without covariates: what exposed units did on it, or the units that
            were exposed on it where a unit's value settles.
    """

    so_far: tuple[tuple[Moments, ...], ...]
    each: tuple[tuple[Moments, ...], ...]


def settled_by_day(
    metric: UnitMetric, found: Activity, *, covariates: Sequence[FloatArray]
) -> ByDay:
    """Moments of a metric whose units count from one day on and do not change any more.

    Args:
        metric: what units contribute.
        found: what units did.
        covariates: of all units, `float64 [n]` each.
    """
    units = found.units
    columns = [*metric.columns, *(of_units(column, metric.rows) for column in covariates)]
    arm = of_units(units.arm, metric.rows).astype(np.int64)
    days, arms = found.looks, len(units.arms)
    since = _grouped(columns, metric.since * arms + arm, days=days, arms=arms)
    cohort = of_units(units.exposed_on, metric.rows).astype(np.int64)
    each = _grouped(metric.columns, cohort * arms + arm, days=days, arms=arms)
    return ByDay(tuple(tuple(cumulative(one)) for one in since), each)


def growing_by_day(
    names: Sequence[str], found: Activity, *, covariates: Sequence[FloatArray]
) -> ByDay:
    """Moments of totals that grow with the data.

    Only rows of a day are touched when it is added: `S^2` of a unit grows by `2 S x + x^2`.

    Args:
        names: columns of `UnitDays` that are summed.
        found: what units did.
        covariates: of all units, centred, `float64 [n]` each.
    """
    units = found.units
    sums = _RunningSums(len(names), covariates, units.arm.astype(np.int64), arms=len(units.arms))
    shift = np.array([found.total(name).mean() if len(units) else 0.0 for name in names])
    by_row, row_bounds = _days_of(units.row_calendar_day, found.looks)
    by_unit, unit_bounds = _days_of(units.exposed_on, found.looks)
    so_far, each = [], []
    for day in range(found.looks):
        sums.expose(by_unit[unit_bounds[day] : unit_bounds[day + 1]])
        rows = by_row[row_bounds[day] : row_bounds[day + 1]]
        values = [getattr(units, name)[rows].astype(np.float64) for name in names]
        each.append(sums.add(units.row_unit[rows], values))
        so_far.append(sums.moments(shift))
    return ByDay(_by_arm(so_far, len(units.arms)), _by_arm(each, len(units.arms)))


class _RunningSums:
    """Sums and products over units, by arm, while days are added.

    Args:
        values: columns that grow.
        covariates: columns that do not, `[n]` each.
        arm: of each unit, `int64 [n]`.
        arms: how many there are.
    """

    def __init__(
        self, values: int, covariates: Sequence[FloatArray], arm: AnyArray, *, arms: int
    ) -> None:
        k = values + len(covariates)
        self._values, self._covariates, self._arm, self._arms = values, covariates, arm, arms
        self._total = [np.zeros(arm.size) for _ in range(values)]
        self._n = np.zeros(arms, dtype=np.int64)
        self._sums = np.zeros((arms, k))
        self._products = np.zeros((arms, k, k))

    def expose(self, unit: AnyArray) -> None:
        """Take in units whose first day has come."""
        arm = self._arm[unit]
        self._n += np.bincount(arm, minlength=self._arms)
        columns = [column[unit] for column in self._covariates]
        for i, column in enumerate(columns):
            self._sums[:, self._values + i] += self._by_arm(arm, column)
            for j in range(i, len(columns)):
                self._put(self._values + i, self._values + j, arm, column * columns[j])

    def add(self, unit: AnyArray, values: Sequence[FloatArray]) -> list[Moments]:
        """Take in what units did on a day; the moments of that day alone, by arm.

        Args:
            unit: of each row, ascending.
            values: `float64 [rows]` each.
        """
        if unit.size:
            starts = np.flatnonzero(np.r_[True, unit[1:] != unit[:-1]])
            unit, values = unit[starts], [np.add.reduceat(one, starts) for one in values]
        arm = self._arm[unit]
        day_sums = np.zeros((self._arms, self._values))
        day_products = np.zeros((self._arms, self._values, self._values))
        before = [total[unit] for total in self._total]
        for i, one in enumerate(values):
            day_sums[:, i] = self._by_arm(arm, one)
            for j in range(i, len(values)):
                own = self._by_arm(arm, one * values[j])
                day_products[:, i, j] = day_products[:, j, i] = own
                self._put(i, j, arm, before[i] * values[j] + one * before[j])
            for j, column in enumerate(self._covariates, start=self._values):
                self._put(i, j, arm, one * column[unit])
            self._total[i][unit] += one
        k = self._values
        self._sums[:, :k] += day_sums
        self._products[:, :k, :k] += day_products
        return [
            Moments.from_sums(int(self._n[a]), day_sums[a], day_products[a])
            for a in range(self._arms)
        ]

    def moments(self, shift: FloatArray) -> list[Moments]:
        """Moments so far, by arm; `shift` is a guess of the means of the values."""
        k = self._sums.shape[1]
        offset = np.zeros(k)
        offset[: shift.size] = shift
        found = []
        for n, sums, products in zip(self._n, self._sums, self._products, strict=True):
            cross = np.outer(offset, sums)
            moved = products - cross - cross.T + n * np.outer(offset, offset)
            found.append(Moments.from_sums(int(n), sums - n * offset, moved, shift=offset))
        return found

    def _by_arm(self, arm: AnyArray, weights: FloatArray) -> FloatArray:
        sums = np.bincount(arm, weights=weights, minlength=self._arms)
        return sums.astype(np.float64, copy=False)

    def _put(self, i: int, j: int, arm: AnyArray, products: FloatArray) -> None:
        added = self._by_arm(arm, products)
        self._products[:, i, j] += added
        if i != j:
            self._products[:, j, i] += added


def _grouped(
    columns: Sequence[FloatArray], group: AnyArray, *, days: int, arms: int
) -> tuple[tuple[Moments, ...], ...]:
    """Moments by arm and then by day, of groups numbered `day * arms + arm`."""
    parts = moments_by_group(columns, group, groups=days * arms)
    return tuple(parts[arm::arms] for arm in range(arms))


def _days_of(day: AnyArray, days: int) -> tuple[AnyArray, AnyArray]:
    """Places in the order of their day, and where each day begins among them."""
    # Days fit 16 bits, which are sorted by counting.
    small = day.astype(np.int16) if days < 2**15 else day
    order = np.argsort(small, kind="stable")
    return order, np.searchsorted(small[order], np.arange(days + 1))


def _by_arm(looks: Sequence[Sequence[Moments]], arms: int) -> tuple[tuple[Moments, ...], ...]:
    return tuple(tuple(look[arm] for look in looks) for arm in range(arms))
