"""Keep raw events for so long and no longer."""

import math
from collections.abc import Collection

from matinee_platform.clock import Clock
from matinee_platform.maintenance.genesis import remove_and_mark
from matinee_platform.maintenance.removal import EventEraser, Removed
from matinee_platform.storage.audit_log import AuditLog
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_policies.errors import ConfigError

_DAY_MS = 86_400_000


def retain_events(
    before_ms: int,
    *,
    who: str,
    longest_window_ms: int,
    simulated: Collection[str] = (),
    clock: Clock,
    eraser: EventEraser,
    barriers: SqlBarrierStore,
    audit: AuditLog,
) -> Removed:
    """Remove decisions from before a time with their rewards; done again, it finds nothing.

    Args:
        before_ms: UTC milliseconds; what was decided then or later stays.
        who: who wants it.
        longest_window_ms: of a reward component of any experiment; a day more must have passed, so
            that everything was learned that could be.
        simulated: experiments of simulated users, whose events stay: their time is no age.
        clock: tells the time.
        eraser: removes the rows.
        barriers: takes the marks of a new genesis.
        audit: says that it was done, unless there was nothing to remove.

    Raises:
        ConfigError: windows could still be open.
        LogUnavailableError: a database is away; what was removed so far is gone.
    """
    latest = clock.now_ms() - longest_window_ms - _DAY_MS
    if before_ms > latest:
        # The clock has gone on since somebody asked for a number of days.
        asked = math.floor((clock.now_ms() - before_ms) / _DAY_MS * 100.0) / 100.0
        raise ConfigError(
            "raw events must be kept for the longest window and a day, "
            f"{(longest_window_ms + _DAY_MS) / _DAY_MS:g} days, got {asked:g}"
        )
    removed = remove_and_mark(
        [
            key
            for key in eraser.arms()
            if key[0] not in simulated and eraser.has_before(*key, before_ms)
        ],
        lambda experiment, arm: eraser.erase_before(experiment, arm, before_ms),
        barriers=barriers,
        reason="retention",
    )
    stray = eraser.erase_stray_rewards(before_ms)
    total = sum(removed.values(), stray)
    if total != Removed():
        audit.append(
            who=who,
            action="data.retain",
            subject="events",
            details={
                "before_ms": before_ms,
                "decisions": total.decisions,
                "rewards": total.rewards,
                "arms": sorted(f"{experiment}/{arm}" for experiment, arm in removed),
            },
        )
    return total
