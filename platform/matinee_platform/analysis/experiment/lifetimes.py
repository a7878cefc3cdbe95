"""How long units stay before they fall silent, from their active days.

A unit has left on the first day of `silence` days in a row without a visit. Whether it has can only
be told once those days are over: so a unit is followed up to the last day on which its leaving
could have been seen, whatever it did since, and censored there.
"""

import numpy as np

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.inference.life_table import LifeTable


def life_tables(found: Activity, *, silence: int) -> tuple[LifeTable, ...]:
    """Units by the day since exposure on which they left, for each arm.

    Args:
        found: what units did.
        silence: days without a visit that count as having left, at least 1.
    """
    units = found.units
    unit, day = found.active_rows()
    never = np.iinfo(np.int64).max
    left = np.full(len(units), never)
    # Nothing follows a unit's last visit; an earlier silence that was long enough comes first.
    same = unit[1:] == unit[:-1]
    ends = np.flatnonzero(~same)
    left[unit[ends]] = day[ends].astype(np.int64) + 1
    left[unit[-1:]] = day[-1:].astype(np.int64) + 1
    silent = np.flatnonzero((np.diff(day) > silence) & same)
    first_of, place = np.unique(unit[silent], return_index=True)
    left[first_of] = day[silent[place]].astype(np.int64) + 1
    followed = units.observed.astype(np.int64) - silence
    counted = followed >= 1
    happened = left <= followed
    days = np.where(happened, left, followed)
    return tuple(
        LifeTable.of(days[of_arm], happened[of_arm])
        for of_arm in (counted & (units.arm == arm) for arm in range(len(units.arms)))
    )
