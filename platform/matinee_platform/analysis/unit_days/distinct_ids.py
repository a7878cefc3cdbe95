"""Whether the decision ids of a whole log are distinct, in bounded memory.

A log of up to `IDS_AT_ONCE` decisions is sorted at once. A longer one is read again, as often as
it is longer, and of each pass the ids of one residue are sorted.
"""

from collections.abc import Callable, Iterable

import numpy as np

from matinee_platform.analysis.unit_days.bad_log import EXAMPLES, BadLog
from matinee_policies.arrays import UInt64Array

IDS_AT_ONCE = 2**25
"""Ids in memory at once, 8 bytes each."""


class DistinctIds:
    """Takes in the ids of a log part by part.

    Args:
        total: ids of the log.
        at_once: how many to hold.
    """

    def __init__(self, total: int, *, at_once: int = IDS_AT_ONCE) -> None:
        self._passes = max(1, -(-total // at_once))
        # Residues of a hash have about equal shares, but not exactly.
        self._ids = np.empty(total if self._passes == 1 else 0, dtype=np.uint64)
        self._some: list[UInt64Array] = []
        self._size = 0

    def add(self, ids: UInt64Array) -> None:
        """Take in the ids of a part."""
        if self._passes == 1:
            self._ids[self._size : self._size + ids.size] = ids
            self._size += ids.size
        else:
            self._some.append(self._of_pass(ids, 0))

    def check(self, found: BadLog, again: Callable[[], Iterable[UInt64Array]]) -> None:
        """Find ids that occur more than once, after all parts were taken in.

        Args:
            found: takes what is wrong.
            again: reads the ids of all parts once more.
        """
        if self._passes == 1:
            _find_twice(self._ids[: self._size], found)
        else:
            _find_twice(np.concatenate(self._some), found)
        self._ids, self._some = np.empty(0, dtype=np.uint64), []
        for number in range(1, self._passes):
            some = [self._of_pass(ids, number) for ids in again()]
            _find_twice(np.concatenate(some), found)

    def _of_pass(self, ids: UInt64Array, number: int) -> UInt64Array:
        mixed = (ids * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
        chosen: UInt64Array = ids[mixed % np.uint64(self._passes) == number]
        return chosen


def _find_twice(ids: UInt64Array, found: BadLog) -> None:
    ids.sort()
    twice = np.flatnonzero(ids[1:] == ids[:-1])
    found.add(
        "decision_id must occur once in the log, rows too many",
        int(twice.size),
        [f"decision {one}" for one in np.unique(ids[twice])[:EXAMPLES]],
    )
