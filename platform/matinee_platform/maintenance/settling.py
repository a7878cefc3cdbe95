"""See to it that removed content leaves the files of a database, however long that takes.

A reader that stays, an analysis say, holds back the write-ahead log of SQLite and the vacuum of
PostgreSQL: what was removed is in no table any more, but in files. What is still to be done follows
from the audit alone: an entry `data.settle` comes after every removal once nothing of it is left.
So a restart forgets nothing, and any process of a service may go on with it.
"""

import threading

from matinee_platform.experiments.audit import AuditEntry
from matinee_platform.maintenance.removal import EventEraser
from matinee_platform.storage.audit_log import AuditLog

REMOVALS = ("data.forget", "data.retain")
"""Actions of the audit after which content has to leave files."""

SETTLED = "data.settle"
"""Action of the audit that says that it has left them."""

_WHO = "maintenance"


class Settling:
    """Settles removals; `settle` belongs to whoever holds the lease of maintenance.

    Args:
        eraser: of the event log.
        audit: tells what was removed, and is told of the end.
    """

    def __init__(self, eraser: EventEraser, audit: AuditLog) -> None:
        self._eraser, self._audit = eraser, audit
        self._seen = 0
        self._since: int | None = None
        self._mark = ""
        self._looking = threading.Lock()

    @property
    def since(self) -> int | None:
        """UTC milliseconds of the oldest removal that is known to be in files; None if none is."""
        return self._since

    def look(self) -> bool:
        """Read what the audit says since the last look; whether something is to be done.

        Raises:
            LogUnavailableError: the control database is away.
        """
        with self._looking:
            while found := self._audit.entries(actions=(*REMOVALS, SETTLED), after=self._seen):
                for entry in found:
                    self._take_in(entry)
            return self._since is not None

    def settle(self, *, tries: int) -> bool:
        """Do what is to be done, if the readers of the moment allow it; whether nothing is left.

        Args:
            tries: at most; between two of them a tenth of a second passes on SQLite.

        Raises:
            LogUnavailableError: a database is away.
        """
        if not self.look():
            return True
        self._mark = self._mark or self._eraser.mark()
        if self._eraser.settle(since=self._mark, tries=tries):
            self._audit.append(
                who=_WHO, action=SETTLED, subject="events", details={"upto": self._seen}
            )
            self.look()
            return True
        return False

    def _take_in(self, entry: AuditEntry) -> None:
        self._seen, self._mark = entry.number, ""
        if entry.action == SETTLED:
            self._since = None
        elif self._since is None:
            self._since = entry.at
