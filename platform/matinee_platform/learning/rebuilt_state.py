"""The state of one version of an arm: stored, or learned again from the nearest one that is.

Each step that is learned again must reach, to the last bit, the state that its barrier names.
"""

from itertools import pairwise

from matinee_platform.learning.barrier_step import barrier_step
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_learner import day_count
from matinee_platform.learning.matured import Place
from matinee_platform.storage.ports import BarrierStore, EventReader, SnapshotStore
from matinee_platform.storage.records import Barrier
from matinee_policies.errors import SnapshotError
from matinee_policies.snapshot import Snapshot

MOST_STEPS = 2_000
"""Barriers that are learned again for one state; with more, `matinee replay --verify` does it."""


def state_of(
    arm: LearningArm,
    version: int,
    *,
    reader: EventReader,
    barriers: BarrierStore,
    snapshots: SnapshotStore,
) -> Snapshot:
    """The state of a version.

    Args:
        arm: checked.
        version: of its snapshot; 0 is the state of the bundle.
        reader: of the log.
        barriers: of all arms.
        snapshots: of all arms.

    Raises:
        SnapshotError: it is damaged or not signed; or it was thinned out and is too far from the
            one before it, or rows that it learned from are gone.
        MatineeError: the log cannot be learned.
    """
    if version == 0:
        return arm.genesis
    kept = snapshots.versions(arm.experiment, arm.name)
    if version in kept:
        return snapshots.load(arm.experiment, arm.name, version)
    start = max([one for one in kept if one < version], default=0)
    if version - start > MOST_STEPS:
        raise _gone(arm, version, f"the one kept before it is {start}")
    found = barriers.named(arm.experiment, arm.name, [0, *range(start, version + 1)])
    made = [one for one in found if one.version >= start]
    if not made or made[-1].version != version:
        raise _gone(arm, version, "no barrier names it")
    state = arm.genesis
    if start > 0:
        state = snapshots.load(arm.experiment, arm.name, start)
    _check(arm, made[0], state, version)
    days = day_count(arm, found)
    for before, now in pairwise(made):
        state = barrier_step(
            arm,
            state,
            reader=reader,
            before=Place.of(before),
            now=Place.of(now),
            days=days,
        ).snapshot
        _check(arm, now, state, version)
    return state


def _check(arm: LearningArm, barrier: Barrier, state: Snapshot, wanted: int) -> None:
    if state.content_hash != barrier.snapshot_hash:
        raise _gone(
            arm,
            wanted,
            f"version {barrier.version} comes out otherwise now: rows that it learned from were "
            "removed, or its file is another",
        )


def _gone(arm: LearningArm, version: int, why: str) -> SnapshotError:
    return SnapshotError(
        f"snapshot {version} of {arm.label} was thinned out and cannot be rebuilt here ({why}); "
        "matinee replay --verify rebuilds all since the last genesis"
    )
