"""Refuse a page that cannot be shown, before anything changes."""

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, IndexArray, Int64Array
from matinee_policies.compiled import lean_kernel
from matinee_policies.errors import ContextError
from matinee_simulator.catalogue_calendar import NEVER, CatalogueCalendar

_FINE = 0
_NO_UNIT = 1
_NOT_BROWSING = 2
_UNIT_TWICE = 3
_WRONG_PAGE = 4
_NO_ITEM = 5
_ITEM_TWICE = 6


class PageCheck:
    """Checks pages of `n_users` users over `n_items` items.

    Args:
        n_users: number of users.
        n_items: number of items of the world.
    """

    def __init__(self, n_users: int, n_items: int) -> None:
        self._n_items = n_items
        self._stamps: Int64Array = np.zeros(n_users, dtype=np.int64)
        self._checks = 0

    def check(
        self,
        units: IndexArray,
        slates: IndexArray,
        page: int,
        *,
        browsing: BoolArray,
        pages: IndexArray,
    ) -> None:
        """Check one page.

        Args:
            units: as given to `Simulation.step_page`.
            slates: as given to `Simulation.step_page`.
            page: as given to `Simulation.step_page`.
            browsing: who is in a session, `bool [n_users]`.
            pages: pages of each user's session so far, `int32 [n_users]`.

        Raises:
            ContextError: naming the rule and the value.
        """
        _check_type("units", units, 1)
        _check_type("slates", slates, 2)
        if slates.shape[0] != units.size or slates.shape[1] == 0:
            raise ContextError(
                f"slates must have one row of at least one slot per unit ({units.size}), "
                f"got {slates.shape}"
            )
        self._checks += 1
        code, row, slot = find_fault(
            units, slates, page, self._n_items, browsing, pages, self._stamps, self._checks
        )
        if code != _FINE:
            raise ContextError(self._message(code, units, slates, page, row, slot, pages))

    @staticmethod
    def check_available(slates: IndexArray, calendar: CatalogueCalendar, day: int) -> None:
        """Refuse items that the catalogue does not hold on a day; `slates` were checked before.

        Raises:
            ContextError: naming the item and the day.
        """
        item = first_outside(slates, calendar.arrival, calendar.retirement, day)
        if item < 0:
            return
        arrival, retirement = int(calendar.arrival[item]), int(calendar.retirement[item])
        if retirement <= day:
            when = f"retired on day {retirement}"
        else:
            when = "never arrives" if arrival == NEVER else f"arrives on day {arrival}"
        raise ContextError(f"items must be available on day {day}, got {item}, which {when}")

    def _message(
        self,
        code: int,
        units: IndexArray,
        slates: IndexArray,
        page: int,
        row: int,
        slot: int,
        pages: IndexArray,
    ) -> str:
        unit, item = int(units[row]), int(slates[row, slot])
        if code == _NO_UNIT:
            return f"units must be within 0 and {pages.size - 1}, got {unit}"
        if code == _NOT_BROWSING:
            return f"units must be visiting today and not have left, got unit {unit}"
        if code == _UNIT_TWICE:
            return f"units must be distinct, got {unit} twice"
        if code == _WRONG_PAGE:
            return f"page must be {int(pages[unit])} for unit {unit}, got {page}"
        if code == _NO_ITEM:
            return f"items must be within 0 and {self._n_items - 1}, or -1, got {item}"
        return f"items of a slate must be distinct, got {item} twice for unit {unit}"


@lean_kernel
def find_fault(
    units: IndexArray,
    slates: IndexArray,
    page: int,
    n_items: int,
    browsing: BoolArray,
    pages: IndexArray,
    stamps: Int64Array,
    stamp: int,
) -> tuple[int, int, int]:
    """The first fault: its code (0 for none), the row and the slot.

    `stamps`, `int64 [n_users]`, marks the units met in this check with `stamp`, a new number each
    time; all else as `PageCheck.check`.
    """
    for row in range(units.shape[0]):
        unit = units[row]
        if unit < 0 or unit >= browsing.shape[0]:
            return _NO_UNIT, row, 0
        if not browsing[unit]:
            return _NOT_BROWSING, row, 0
        if stamps[unit] == stamp:
            return _UNIT_TWICE, row, 0
        if pages[unit] != page:
            return _WRONG_PAGE, row, 0
        stamps[unit] = stamp
        for slot in range(slates.shape[1]):
            item = slates[row, slot]
            if item < -1 or item >= n_items:
                return _NO_ITEM, row, slot
            for above in range(slot):
                if item >= 0 and slates[row, above] == item:
                    return _ITEM_TWICE, row, slot
    return _FINE, 0, 0


@lean_kernel
def first_outside(slates: IndexArray, arrival: IndexArray, retirement: IndexArray, day: int) -> int:
    """The first item that is not available on `day`, -1 if all are.

    Args:
        slates: item rows, -1 for empty slots, `int32 [n, L]`.
        arrival: of `CatalogueCalendar`, `int32 [M]`.
        retirement: likewise.
        day: the day.
    """
    for row in range(slates.shape[0]):
        for slot in range(slates.shape[1]):
            item = slates[row, slot]
            if item >= 0 and (day < arrival[item] or day >= retirement[item]):
                return int(item)
    return -1


def _check_type(name: str, array: AnyArray, dimensions: int) -> None:
    if array.dtype != np.int32 or array.ndim != dimensions:
        raise ContextError(
            f"{name} must be int32 with {dimensions} dimensions, "
            f"got {array.dtype} with {array.ndim}"
        )
