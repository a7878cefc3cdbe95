"""What each unit did from its exposure on: totals, active days, and when a day of it is over.

Everything else of an analysis starts from these arrays; they are made once, when first asked for.
"""

from functools import cached_property

import numpy as np

from matinee_platform.analysis.experiment.row_sums import days_by_unit, sums_by_unit
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
        self._matured: dict[tuple[int, bool], tuple[AnyArray, IndexArray]] = {}

    @cached_property
    def looks(self) -> int:
        """Days of the experiment that hold anything: one more than are over, if one has begun."""
        units = self.units
        begun = (units.exposed_on, units.row_calendar_day)
        return max(units.days, *(int(day.max(initial=-1)) + 1 for day in begun))

    def total(self, name: str) -> FloatArray:
        """Sum of one of `SUMS` for each unit, `float64 [n]`."""
        if name not in self._totals:
            self._totals[name] = sums_by_unit(self.units, name, last=None)
        return self._totals[name]

    def arm_totals(self, name: str) -> list[float]:
        """Sum of one of `SUMS` over the units of each arm."""
        units = self.units
        sums = np.bincount(units.arm, weights=self.total(name), minlength=len(units.arms))
        told: list[float] = sums.tolist()
        return told

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
        return sums_by_unit(self.units, name, last=last)

    def active_rows(self) -> tuple[IndexArray, AnyArray]:
        """The active days of units, each once: units, ascending, and days since exposure."""
        units = self.units
        first = units.pages > 0
        same = units.row_unit[1:] == units.row_unit[:-1]
        same &= units.row_day[1:] == units.row_day[:-1]
        if first.all() and not same.any():
            # As in most logs: nothing need be copied.
            return units.row_unit, units.row_day
        active = np.flatnonzero(first)
        unit, day = units.row_unit[active], units.row_day[active]
        first = np.ones(active.size, dtype=np.bool_)
        first[1:] = (unit[1:] != unit[:-1]) | (day[1:] != day[:-1])
        return unit[first], day[first]

    def matured(self, day: int, *, rewards: bool = False) -> BoolArray:
        """Whether the given day since its exposure is over for each unit, `bool [n]`.

        Args:
            day: since exposure.
            rewards: whether no reward of that day can come any more either.
        """
        over: BoolArray = self._known_days(rewards=rewards) > day
        return over

    def matured_units(self, day: int, *, rewards: bool = False) -> tuple[AnyArray, IndexArray]:
        """Units for which that day is over, ascending, and when it was (`matures_on`).

        Returns:
            `int64 [k]` and `int32 [k]`, the same arrays whenever a day is asked for.
        """
        key = day, rewards and self.units.rewarded is not None
        if key not in self._matured:
            rows = np.flatnonzero(self.matured(day, rewards=rewards))
            self._matured[key] = rows, self.matures_on(day, rewards=rewards)[rows]
        return self._matured[key]

    @cached_property
    def every(self) -> AnyArray:
        """All units, `int64 [n]`."""
        return np.arange(len(self.units))

    def matures_on(self, day: int, *, rewards: bool = False) -> IndexArray:
        """Day of the experiment at whose end that day of each unit is over, `int32 [n]`.

        Only for units for which it has matured; others are told a day beyond the data.
        """
        units = self.units
        # Days of a run start together; those of a service 24 h from each unit's exposure, so that
        # day k ends within the calendar day after.
        late = 0 if np.array_equal(units.observed, units.days - units.exposed_on) else 1
        known = self._known_days(rewards=rewards)
        if rewards:
            # As many days more as the window of rewards may reach into.
            late += int((units.observed - known).max(initial=0))
        end = np.minimum(units.exposed_on + (day + late), self.looks - 1)
        return np.where(known > day, end, self.looks).astype(np.int32)

    def _known_days(self, *, rewards: bool) -> IndexArray:
        units = self.units
        return units.rewarded if rewards and units.rewarded is not None else units.observed

    @cached_property
    def _came(self) -> UInt64Array:
        """A bit for each of days 0 to 62 on which a unit came, and one for all later ones."""
        return days_by_unit(self.units, last_bit=_LAST_BIT)
