"""Whether retention removed rows of an experiment since its start.

Exposure is a unit's first row: where first rows are gone, later ones would pass for them, and days,
retention and covariates would be those of somebody else. Units that were forgotten took all of
their rows with them, and leave the exposure of the others as it was.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlmodel import col, select

from matinee_platform.clock import SystemClock
from matinee_platform.experiments.audit import AuditEntry
from matinee_platform.storage.audit_log import AuditLog
from matinee_platform.storage.control_database import reading
from matinee_platform.storage.control_tables import GenesisMarkRow
from matinee_policies.errors import DataError


def refuse_removed_rows(control: Engine, experiment: str, *, since_ms: int) -> None:
    """Refuse an experiment whose first rows retention may have removed.

    A mark of each arm is set before its rows go, the audit is written when all are gone: a removal
    that was broken off has no entry, and is taken to have reached into the experiment.

    Args:
        control: the control database.
        experiment: its key.
        since_ms: its present start, UTC milliseconds.

    Raises:
        DataError: rows from after the start were removed, or may have been.
        LogUnavailableError: the database is away.
    """
    query = select(GenesisMarkRow.arm, GenesisMarkRow.marked_at).where(
        GenesisMarkRow.experiment == experiment,
        GenesisMarkRow.reason == "retention",
        col(GenesisMarkRow.marked_at) > since_ms,
    )
    with reading(control) as session:
        marks = session.exec(query).all()
    if not marks:
        return
    told = [one for one in _audited(control) if one.action == "data.retain"]
    for arm, at in marks:
        name = f"{experiment}/{arm}"
        entry = next((one for one in told if one.at >= at and name in one.details["arms"]), None)
        if entry is None or entry.details["before_ms"] > since_ms:
            upto = "" if entry is None else f" from before {_time(entry.details['before_ms'])}"
            raise DataError(
                f"log of experiment {experiment!r}",
                rule=f"rows of the experiment{upto} were removed by retention since its start at "
                f"{_time(since_ms)}, so nobody knows any more when its units were exposed: raw "
                "events must be kept for longer than an experiment is analysed",
            )


def _audited(control: Engine) -> Iterator[AuditEntry]:
    log, after = AuditLog(control, clock=SystemClock()), 0
    while more := log.entries(subject="events", after=after):
        yield from more
        after = more[-1].number


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="seconds")
