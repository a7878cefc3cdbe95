"""Which snapshots of an arm stay: enough to serve, to replay, and to rebuild any other soon.

A learner makes one every few seconds. Kept are version 0, every one where replay starts, the newest
ones, and of older ones the first of each hour for as long as decisions are kept. From these and the
log every other is rebuilt (`rebuilt_state.py`). One that no barrier names is left alone: another
learner may be about to name it.
"""

from collections.abc import Sequence

from matinee_platform.storage.ports import BarrierStore, SnapshotStore
from matinee_platform.storage.records import Barrier
from matinee_policies.errors import ConfigError

_HOUR_MS = 3_600_000
_DAY_MS = 86_400_000
_AT_ONCE = 500


def thin_snapshots(
    experiment: str,
    arm: str,
    *,
    barriers: BarrierStore,
    snapshots: SnapshotStore,
    keep: int,
    days: int,
) -> int:
    """Delete what need not stay, oldest first; whatever interrupts it, the next call goes on.

    Args:
        experiment: key.
        arm: name.
        barriers: of all arms.
        snapshots: of all arms.
        keep: newest versions that stay, >= 1.
        days: for which the first of each hour stays.

    Returns:
        How many were deleted.

    Raises:
        ConfigError: if not even the newest would stay.
        LogUnavailableError: a database is away.
    """
    if keep < 1:
        raise ConfigError(f"snapshots to keep must be >= 1, got {keep}")
    last = barriers.last(experiment, arm)
    if last is None:
        return 0
    stored = [n for n in snapshots.versions(experiment, arm) if n <= last.version - keep]
    named = barriers.named(experiment, arm, stored)
    spare = spare_versions(named, now_ms=last.created_at, days=days)
    for at in range(0, len(spare), _AT_ONCE):
        snapshots.delete(experiment, arm, spare[at : at + _AT_ONCE])
    return len(spare)


def spare_versions(barriers: Sequence[Barrier], *, now_ms: int, days: int) -> list[int]:
    """Versions to delete, rising.

    Args:
        barriers: those whose snapshots are stored and are not among the newest, by version.
        now_ms: UTC milliseconds.
        days: for which the first of each hour stays.
    """
    spare: list[int] = []
    hours: set[int] = set()
    for one in barriers:
        hour = one.created_at // _HOUR_MS
        first = hour not in hours
        hours.add(hour)
        young = one.created_at > now_ms - days * _DAY_MS
        if not (one.version == 0 or one.genesis or (first and young)):
            spare.append(one.version)
    return spare
