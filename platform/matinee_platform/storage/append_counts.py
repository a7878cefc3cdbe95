"""What happened to the appends of one process."""

from dataclasses import dataclass


@dataclass(slots=True)
class AppendCounts:
    """What happened since the start, for metrics.

    Attributes:
        commits: transactions.
        rows: rows stored in the database by them, drained ones too.
        busy: appends refused because the queue was full.
        losses: times that the database went away.
        spooled: rows that went to the spool.
        drained: rows that left it.
        drained_repeats: of those, rows that the log had already.
        drained_conflicts: of those, rows that the log had with another body, or could not take.
        drained_forgotten: of those, rows of units that were forgotten since, which were dropped.
    """

    commits: int = 0
    rows: int = 0
    busy: int = 0
    losses: int = 0
    spooled: int = 0
    drained: int = 0
    drained_repeats: int = 0
    drained_conflicts: int = 0
    drained_forgotten: int = 0
