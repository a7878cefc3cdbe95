"""What each unit did from its exposure on: totals, active days, and when a day of it is over.

Everything else of an analysis starts from these arrays; they are made once, when first asked for.
"""

from functools import cached_property

import numpy as np

from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray
from matinee_policies.config import check_whole

SUMS = ("sessions", "pages", "impressions", "clicks", "engagement", "fallbacks")
"""Columns of `UnitDays` that are summed by unit."""


class Activity:
    """Sums over the rows of `UnitDays`.

    Args:
        units: of the experiment.

    Attributes:
        units: as given.
    """

    def __init__(self, units: UnitDays) -> None:
        self.units = units
        self._totals: dict[str, FloatArray] = {}

    @cached_property
    def looks(self) -> int:
        """Days of the experiment that hold anything: one more than are over, if one has begun."""
        units = self.units
        begun = (units.exposed_on, units.row_calendar_day)
        return max(units.days, *(int(day.max(initial=-1)) + 1 for day in begun))

    def total(self, name: str) -> FloatArray:
        """Sum of one of `SUMS` for each unit, `float64 [n]`."""
        if name not in self._totals:
            values = getattr(self.units, name)
            self._totals[name] = self._sum(self.units.row_unit, values)
        return self._totals[name]

    @cached_property
    def active_rows(self) -> AnyArray:
        """Rows that stand for the active days of units, each day once, ascending, `int64 [r]`."""
        units = self.units
        active = np.flatnonzero(units.pages > 0)
        unit, day = units.row_unit[active], units.row_day[active]
        first = np.ones(active.size, dtype=np.bool_)
        first[1:] = (unit[1:] != unit[:-1]) | (day[1:] != day[:-1])
        return active[first]

    def active_days(self, first: int, last: int) -> FloatArray:
        """Days, of `first` to `last` since exposure, on which each unit came, `float64 [n]`."""
        check_whole("first day", first, low=0)
        check_whole("last day", last, low=first)
        rows = self.active_rows
        day = self.units.row_day[rows]
        within = (day >= first) & (day <= last)
        return self._count(self.units.row_unit[rows[within]])

    def active_since(self, calendar_day: int) -> FloatArray:
        """Days of the experiment, from one on, on which each unit came, `float64 [n]`."""
        units = self.units
        rows = np.flatnonzero((units.row_calendar_day >= calendar_day) & (units.pages > 0))
        unit, day = units.row_unit[rows], units.row_calendar_day[rows]
        first = np.ones(rows.size, dtype=np.bool_)
        first[1:] = (unit[1:] != unit[:-1]) | (day[1:] != day[:-1])
        return self._count(unit[first])

    def summed(self, name: str, *, last: int) -> FloatArray:
        """Sum of one of `SUMS` over days 0 to `last` since exposure, `float64 [n]`."""
        units = self.units
        within = units.row_day <= last
        values = getattr(units, name)[within]
        return self._sum(units.row_unit[within], values)

    def matured(self, day: int) -> BoolArray:
        """Whether the given day since its exposure is over for each unit, `bool [n]`."""
        over: BoolArray = self.units.observed > day
        return over

    def matures_on(self, day: int) -> IndexArray:
        """Day of the experiment at whose end that day of each unit is over, `int32 [n]`.

        Only for units for which it has matured; others are told a day beyond the data.
        """
        units = self.units
        # Days of a run start together; those of a service 24 h from each unit's exposure, so that
        # day k ends within the calendar day after.
        late = 0 if np.array_equal(units.observed, units.days - units.exposed_on) else 1
        end = np.minimum(units.exposed_on + (day + late), self.looks - 1)
        return np.where(units.observed > day, end, self.looks).astype(np.int32)

    def _sum(self, unit: AnyArray, values: AnyArray) -> FloatArray:
        sums = np.bincount(unit, weights=values, minlength=len(self.units))
        return sums.astype(np.float64, copy=False)

    def _count(self, unit: AnyArray) -> FloatArray:
        return np.bincount(unit, minlength=len(self.units)).astype(np.float64)
