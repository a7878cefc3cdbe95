"""How long units stay, counted by day: the sums that survival methods read.

Survival here is the time from exposure to a day without which nothing came after (or to a first
return): a whole number of days. Units whose data end first are censored, not dropped.
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import AnyArray, Int64Array
from matinee_policies.errors import ContextError


@dataclass(frozen=True, slots=True, eq=False)
class LifeTable:
    """Units of one arm by day since exposure.

    A unit censored on a day is at risk on that day: events of a day come before its censorings.

    Attributes:
        events: units whose event was on day 0, 1, ..., `int64 [days]`.
        censored: units last seen on that day without an event, `int64 [days]`.

    Raises:
        ContextError: on counts of different length, or below 0.
    """

    events: Int64Array
    censored: Int64Array

    def __post_init__(self) -> None:
        if self.events.shape != self.censored.shape or self.events.ndim != 1:
            raise ContextError(
                "events and censored need one count a day each, got "
                f"{list(self.events.shape)} and {list(self.censored.shape)}"
            )
        if self.events.size and min(self.events.min(), self.censored.min()) < 0:
            least = min(self.events.min(), self.censored.min())
            raise ContextError(f"events and censored must be >= 0, got {least}")

    @classmethod
    def of(cls, days: AnyArray, happened: AnyArray) -> "LifeTable":
        """Count units.

        Args:
            days: until the event or the end of the unit's data, `int [n]`, >= 0.
            happened: whether the event ended it, `bool [n]`.

        Raises:
            ContextError: on columns of different length, or days below 0 or not whole.

        Example:
            >>> table = LifeTable.of(np.array([1, 2, 2]), np.array([True, True, False]))
            >>> table.at_risk.tolist(), table.events.tolist()
            ([3, 3, 2], [0, 1, 1])
        """
        if days.shape != happened.shape or days.ndim != 1:
            raise ContextError(
                f"every unit needs days and whether it happened, got {days.size}, {happened.size}"
            )
        if days.size and (not np.issubdtype(days.dtype, np.integer) or days.min() < 0):
            raise ContextError(f"days must be whole and >= 0, got {days.dtype} from {days.min()}")
        span = int(days.max()) + 1 if days.size else 0
        ended = happened.astype(bool)
        return cls(
            np.bincount(days[ended], minlength=span),
            np.bincount(days[~ended], minlength=span),
        )

    @property
    def units(self) -> int:
        """All units."""
        return int(self.events.sum() + self.censored.sum())

    @property
    def at_risk(self) -> Int64Array:
        """Units without an event and in the data when each day begins, `int64 [days]`."""
        gone = self.events + self.censored
        found: Int64Array = self.units - (np.cumsum(gone) - gone)
        return found

    def padded(self, days: int) -> "LifeTable":
        """The same table with empty days added up to `days`."""
        more = max(days - self.events.size, 0)
        return LifeTable(np.pad(self.events, (0, more)), np.pad(self.censored, (0, more)))
