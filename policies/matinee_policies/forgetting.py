"""What sums that forget share: the days of their rows."""

import numpy as np

from matinee_policies.arrays import AnyArray, Int64Array
from matinee_policies.errors import ContextError, SnapshotError
from matinee_policies.records import OutcomeBatch
from matinee_policies.snapshot import Snapshot

NO_DAY = -1
"""Stands for the day of sums that hold nothing yet."""


def days_of(outcomes: OutcomeBatch) -> Int64Array:
    """The day of each slate, `int64 [n]`.

    Raises:
        ContextError: if there are none, or one lies before day 0.
    """
    if outcomes.days is None:
        raise ContextError("days of outcomes must be given to a policy that forgets, got None")
    if outcomes.days.size and int(outcomes.days.min()) < 0:
        raise ContextError(f"days must be at least 0, got {int(outcomes.days.min())}")
    return outcomes.days


def days_in(snapshot: Snapshot, name: str, *, shape: tuple[int, ...]) -> Int64Array:
    """A writable copy of an array of days of a snapshot.

    Raises:
        SnapshotError: if it is missing, of another type or shape, or holds no days.
    """
    array: AnyArray | None = snapshot.arrays.get(name)
    if array is None or array.dtype != np.int64 or array.shape != shape:
        got = "none" if array is None else f"{array.dtype} {array.shape}"
        raise SnapshotError(f"snapshot array {name!r} must be int64 {shape}, got {got}")
    if array.size and int(array.min()) < NO_DAY:
        raise SnapshotError(f"snapshot array {name!r} must hold days, got {int(array.min())}")
    return array.copy()
