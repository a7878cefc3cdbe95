"""What sums that forget share: the days of their rows, and the checks of those rows."""

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray, Int64Array
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


def check_features(outcomes: OutcomeBatch, *, dimension: int) -> None:
    """Refuse features of another dimension, or not finite where something was shown.

    Raises:
        ContextError: with the value.
    """
    got = outcomes.features.shape[2]
    if got != dimension:
        raise ContextError(f"features must have dimension {dimension}, got {got}")
    shown = outcomes.features[outcomes.shown]
    bad = ~np.isfinite(shown)
    if bad.any():
        raise ContextError(f"features of shown slots must be finite, got {shown[bad][0]}")


def inverse_root(precision: FloatArray) -> FloatArray:
    """A matrix `H` with `H' H` the inverse of a symmetric positive definite one.

    Raises:
        ContextError: if rounding has lost the prior, so that the matrix is no longer definite.
    """
    try:
        return np.linalg.inv(np.linalg.cholesky(precision))
    except np.linalg.LinAlgError:
        raise ContextError(
            "features and rewards must be of moderate size, "
            f"got sums up to {np.abs(precision).max():.3g}"
        ) from None


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
