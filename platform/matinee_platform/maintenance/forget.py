"""Forget a unit: its rows go, an audit entry stays, replay of its arms starts anew."""

from matinee_platform.maintenance.genesis import remove_and_mark
from matinee_platform.maintenance.removal import EventEraser, Removed
from matinee_platform.storage.audit_log import AuditLog
from matinee_platform.storage.barrier_store import SqlBarrierStore


def forget_unit(
    unit: int,
    *,
    who: str,
    eraser: EventEraser,
    barriers: SqlBarrierStore,
    audit: AuditLog,
) -> Removed:
    """Remove every decision and reward of a unit; done again, it finds nothing.

    What arms learned of it stays in their states, as sums over many units. Exports and backups
    that were made before keep their rows.

    Args:
        unit: keyed pseudonym.
        who: who wants it.
        eraser: removes the rows.
        barriers: takes the marks of a new genesis.
        audit: says that it was done, by the pseudonym.

    Raises:
        LogUnavailableError: a database is away; what was removed so far is gone.
    """
    arms = [key for key in eraser.arms() if eraser.has_unit(*key, unit)]
    removed = remove_and_mark(
        arms,
        lambda experiment, arm: eraser.erase_unit(experiment, arm, unit),
        barriers=barriers,
        reason="forget",
    )
    total = sum(removed.values(), Removed())
    audit.append(
        who=who,
        action="data.forget",
        subject=f"{unit:016x}",
        details={
            "decisions": total.decisions,
            "rewards": total.rewards,
            "arms": sorted(f"{experiment}/{arm}" for experiment, arm in removed),
        },
    )
    eraser.settle()
    return total
