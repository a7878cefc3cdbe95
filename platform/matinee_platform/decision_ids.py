"""Identifiers of offline decisions: a bijection of (unit, day, page), so that no two ever meet."""

import numpy as np

from matinee_policies.arrays import IndexArray, Int64Array, UInt64Array

_PAGE_BITS = 12
_DAY_BITS = 12
_UNIT_BITS = 40


def decision_ids(
    seed: np.uint64, users: Int64Array, day: int, page: int | IndexArray
) -> UInt64Array:
    """Decision id of each user's page.

    Args:
        seed: of the arm, so that ids of different arms differ.
        users: simulated user numbers, `int64 [n]`, below 2^40.
        day: day of the run, below 4,096.
        page: page within the session, below 4,096; one, or one per user.

    Returns:
        `uint64 [n]`, distinct for distinct (user, day, page).

    Example:
        >>> ids = decision_ids(np.uint64(1), np.arange(1000), 3, 0)
        >>> len(set(ids.tolist()))
        1000
    """
    packed = users.astype(np.uint64) << np.uint64(_DAY_BITS + _PAGE_BITS)
    packed |= np.uint64(day << _PAGE_BITS) | np.asarray(page, dtype=np.uint64)
    return _mix(packed ^ seed)


def _mix(words: UInt64Array) -> UInt64Array:
    """Finalizer of SplitMix64 (Steele et al. 2014); each step can be undone: ids stay distinct."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: UInt64Array = words ^ (words >> np.uint64(31))
    return mixed
