"""Which items a user has been shown lately and did not click.

A ring of the newest impressions per user: `int32` item and `int16` day, 6 bytes an impression, item
-1 where nothing was written yet. A user who sees more within the window than the ring holds
forgets the oldest early.
"""

import numpy as np
from numpy.typing import NDArray

from matinee_policies.arrays import IndexArray
from matinee_policies.compiled import lean_kernel


@lean_kernel
def count_impressions(
    items: IndexArray, days: NDArray[np.int16], item: int, today: int, window: int
) -> int:
    """How many impressions of `item` lie less than `window` days back.

    Args:
        items: item of each place of the ring, `int32 [C]`.
        days: day of each place, `int16 [C]`.
        item: item row, >= 0.
        today: the day.
        window: days after which an impression is forgotten.
    """
    wanted, oldest = np.int32(item), np.int16(today - window)
    # Narrow types and no early exit: the whole ring is compared with vector instructions.
    found = np.int32(0)
    for place in range(items.shape[0]):
        found += np.int32((items[place] == wanted) & (days[place] > oldest))
    return int(found)


def count_impressions_reference(
    impressions: list[tuple[int, int]], item: int, today: int, window: int
) -> int:
    """Plain twin over a list of (item, day): impressions of `item` within the window."""
    return sum(shown == item and today - day < window for shown, day in impressions)
