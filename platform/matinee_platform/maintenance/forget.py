"""Forget a unit: its rows go, an audit entry stays, replay of its arms starts anew."""

from collections.abc import Callable

from matinee_platform.maintenance.genesis import remove_and_mark
from matinee_platform.maintenance.removal import EventEraser, Removed
from matinee_platform.storage.audit_log import AuditLog
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_platform.storage.forgotten_units import ForgottenUnits


def forget_unit(
    unit: int,
    *,
    who: str,
    eraser: EventEraser,
    barriers: SqlBarrierStore,
    audit: AuditLog,
    forgotten: ForgottenUnits,
    tell: Callable[[int], None],
) -> Removed:
    """Remove every decision and reward of a unit; done again, it finds nothing.

    The unit is put on the list of the forgotten before, so that no process takes its state from
    rows that are about to go, and after, so that none keeps what it folded meanwhile, and rows that
    wait in a spool are dropped when they leave it.

    What arms learned of it stays in their states, as sums over many units. Exports and backups
    that were made before keep their rows.

    Args:
        unit: keyed pseudonym.
        who: who wants it.
        eraser: removes the rows.
        barriers: takes the marks of a new genesis.
        audit: says that it was done, by the pseudonym.
        forgotten: tells other processes.
        tell: returns when every process knows what the list says; told of the place in the log up
            to which the unit's rows count no more.

    Raises:
        LogUnavailableError: a database is away; what was removed so far is gone.
    """
    upto = eraser.last_seq()
    forgotten.add(unit, seq=upto)
    tell(upto)
    arms = [key for key in eraser.arms() if eraser.has_unit(*key, unit)]
    removed = remove_and_mark(
        arms,
        lambda experiment, arm: eraser.erase_unit(experiment, arm, unit),
        barriers=barriers,
        reason="forget",
    )
    forgotten.add(unit, seq=upto)
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
    return total
