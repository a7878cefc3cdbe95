"""Removing rows of arms that learned from them, so that their replay starts anew afterwards."""

from collections.abc import Callable, Iterable

from matinee_platform.experiments.definition import HOLDOUT_ARM
from matinee_platform.maintenance.removal import Removed
from matinee_platform.storage.barrier_store import SqlBarrierStore


def remove_and_mark(
    arms: Iterable[tuple[str, str]],
    remove: Callable[[str, str], Removed],
    *,
    barriers: SqlBarrierStore,
    reason: str,
) -> dict[tuple[str, str], Removed]:
    """Remove rows of some arms, each marked for a new genesis.

    Marks come before, so that none is missing after a crash, and after, so that a barrier that was
    made while rows went is not the last word.

    Args:
        arms: experiment and arm.
        remove: removes the rows of one.
        barriers: keeps the marks.
        reason: kept with each mark.

    Returns:
        What was removed, by experiment and arm.
    """
    removed = {}
    for experiment, arm in arms:
        learns = arm != HOLDOUT_ARM
        if learns:
            barriers.mark_genesis(experiment, arm, reason=reason)
        removed[experiment, arm] = remove(experiment, arm)
        if learns:
            barriers.mark_genesis(experiment, arm, reason=reason)
    return removed
