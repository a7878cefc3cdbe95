"""What each unit did from its exposure on: totals, active days, and when a day of it is over.

Everything else of an analysis starts from these arrays; they are made once, when first asked for.
"""

from functools import cached_property

import numpy as np

from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray, UInt64Array
from matinee_policies.config import check_whole

SUMS = ("sessions", "pages", "impressions", "clicks", "engagement", "fallbacks")
"""Columns of `UnitDays` that are summed by unit."""


_LAST_BIT = 63
_EVERY = 2**64 - 1


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
        self._matured: dict[int, tuple[AnyArray, IndexArray]] = {}

    @cached_property
    def looks(self) -> int:
        """Days of the experiment that hold anything: one more than are over, if one has begun."""
        units = self.units
        begun = (units.exposed_on, units.row_calendar_day)
        return max(units.days, *(int(day.max(initial=-1)) + 1 for day in begun))

    def total(self, name: str) -> FloatArray:
        """Sum of one of `SUMS` for each unit, `float64 [n]`."""
        if name not in self._totals:
            self._totals[name] = self._sum(getattr(self.units, name))
        return self._totals[name]

    def active_days(self, first: int, last: int | None) -> FloatArray:
        """Days since exposure on which each unit came, `float64 [n]`.

        Args:
            first: first day that counts, within 0 and 62.
            last: last one, within `first` and 62; None for all that follow, of which those from
                day 63 on count as one.
        """
        check_whole("first day", first, low=0, high=_LAST_BIT - 1)
        if last is None:
            window = _EVERY & ~((1 << first) - 1)
        else:
            check_whole("last day", last, low=first, high=_LAST_BIT - 1)
            window = ((1 << (last + 1)) - 1) & ~((1 << first) - 1)
        found: FloatArray = np.bitwise_count(self._came & np.uint64(window)).astype(np.float64)
        return found

    def summed(self, name: str, *, last: int) -> FloatArray:
        """Sum of one of `SUMS` over days 0 to `last` since exposure, `float64 [n]`."""
        values = getattr(self.units, name).astype(np.float64)
        values[self.units.row_day > last] = 0.0
        return self._sum(values)

    def active_rows(self) -> AnyArray | slice:
        """Rows that stand for the active days of units, each day once, in their order."""
        units = self.units
        first = units.pages > 0
        same = units.row_unit[1:] == units.row_unit[:-1]
        same &= units.row_day[1:] == units.row_day[:-1]
        if first.all() and not same.any():
            # As in most logs: nothing need be copied.
            return slice(None)
        active = np.flatnonzero(first)
        unit, day = units.row_unit[active], units.row_day[active]
        first = np.ones(active.size, dtype=np.bool_)
        first[1:] = (unit[1:] != unit[:-1]) | (day[1:] != day[:-1])
        return active[first]

    def matured(self, day: int) -> BoolArray:
        """Whether the given day since its exposure is over for each unit, `bool [n]`."""
        over: BoolArray = self.units.observed > day
        return over

    def matured_units(self, day: int) -> tuple[AnyArray, IndexArray]:
        """Units for which that day is over, ascending, and when it was (`matures_on`).

        Returns:
            `int64 [k]` and `int32 [k]`, the same arrays whenever a day is asked for.
        """
        if day not in self._matured:
            rows = np.flatnonzero(self.matured(day))
            self._matured[day] = rows, self.matures_on(day)[rows]
        return self._matured[day]

    @cached_property
    def every(self) -> AnyArray:
        """All units, `int64 [n]`."""
        return np.arange(len(self.units))

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

    @cached_property
    def _came(self) -> UInt64Array:
        """A bit for each of days 0 to 62 on which a unit came, and one for all later ones."""
        units = self.units
        bits = np.minimum(units.row_day, _LAST_BIT).astype(np.uint64)
        np.left_shift(np.uint64(1), bits, out=bits)
        bits[units.pages <= 0] = 0
        return self._reduced(np.bitwise_or, bits)

    @cached_property
    def _starts(self) -> AnyArray:
        """First row of each unit, and the end of all rows, `int64 [n + 1]`."""
        return np.searchsorted(self.units.row_unit, np.arange(len(self.units) + 1))

    def _sum(self, values: AnyArray) -> FloatArray:
        return self._reduced(np.add, values.astype(np.float64, copy=False))

    def _reduced(self, reduce: np.ufunc, values: AnyArray) -> AnyArray:
        """The rows of each unit as one, 0 for a unit without rows."""
        starts, found = self._starts, np.zeros(len(self.units), dtype=values.dtype)
        with_rows = np.flatnonzero(starts[1:] > starts[:-1])
        if with_rows.size:
            found[with_rows] = reduce.reduceat(values, starts[with_rows])
        return found
