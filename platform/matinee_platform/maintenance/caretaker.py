"""Forgetting and retention of one service: what the admin routes and the command line call."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Engine

from matinee_platform.clock import Clock
from matinee_platform.maintenance.forget import forget_unit
from matinee_platform.maintenance.removal import EventEraser, Removed
from matinee_platform.maintenance.retention import retain_events
from matinee_platform.maintenance.settling import Settling
from matinee_platform.pseudonyms import pseudonyms
from matinee_platform.storage.audit_log import AuditLog
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.errors import LogBusyError
from matinee_platform.storage.forgotten_units import ForgottenUnits
from matinee_platform.storage.ports import Lease

MAINTENANCE = "maintenance"
"""Name of the lease that one maintenance at a time holds, backups included."""

LOOK_SECONDS = 1.0
"""Between two looks of a process for units that were forgotten."""

_TRIES = 20
"""Of a call to have removed content leave files: some two seconds. `settle` goes on later."""

_TRIES_AGAIN = 3

_AT_WORK = "other maintenance of this data is at work: try again when it ends"


def others_know(database: str) -> Callable[[], None]:
    """Waits until every process of a service has looked for forgotten units and experiments.

    Args:
        database: `ServiceSettings.database`; with SQLite there are no others.
    """
    if database == "sqlite":
        return lambda: None
    return lambda: time.sleep(2.5 * LOOK_SECONDS)


class Caretaker:
    """Removes rows for good, one call at a time, and says so in the audit.

    Args:
        eraser: of the event log.
        control: engine of the control database.
        pseudonym_secret: key of the pseudonyms of units.
        clock: tells the time.
        lease: kept while rows go.
        spooled: rows that wait in the spool, which nobody can remove.
        forgotten: told of a unit's pseudonym, and of the place in the log up to which its rows
            count no more: memory of this process must let go of it too.
        known: returns when other processes have seen the list of the forgotten.
    """

    def __init__(
        self,
        eraser: EventEraser,
        *,
        control: Engine,
        pseudonym_secret: bytes,
        clock: Clock,
        lease: Lease,
        spooled: Callable[[], int] = lambda: 0,
        forgotten: Callable[[int, int], None] = lambda unit, upto: None,
        known: Callable[[], None] = lambda: None,
    ) -> None:
        self._eraser = eraser
        self._experiments = ControlStore(control, clock=clock)
        self._barriers = SqlBarrierStore(control, clock=clock)
        self._audit = AuditLog(control, clock=clock)
        self._secret = pseudonym_secret
        self._clock = clock
        self._lease = lease
        self._lock = threading.Lock()
        self._spooled = spooled
        self._forgotten = forgotten
        self._known = known
        self._list = ForgottenUnits(control, clock=clock)
        self._settling = Settling(eraser, self._audit)

    @property
    def unsettled_since(self) -> int | None:
        """UTC milliseconds of the oldest removal whose content was still in files, when seen last.

        None if there is none.
        """
        return self._settling.since

    def forget(self, unit: str, *, who: str) -> Removed:
        """Remove everything of a unit, given by its raw id.

        Raises:
            ContextError: the id is not Unicode text.
            LogBusyError: rows wait in the spool, or other maintenance is at work.
            LogUnavailableError: a database is away.
        """
        name = int(pseudonyms([unit], secret=self._secret)[0])
        return self._alone(lambda: self._forget(name, who))

    def retain(self, *, before_ms: int, who: str) -> Removed:
        """Remove raw events from before a time.

        Raises:
            ConfigError: windows could still be open.
            LogBusyError: rows wait in the spool, or other maintenance is at work.
            LogUnavailableError: a database is away.
        """
        known = [one.definition for one in self._experiments.experiments()]
        windows = [max(one.windows_ms()) for one in known]
        return self._alone(
            lambda: self._settled(
                retain_events(
                    before_ms,
                    who=who,
                    longest_window_ms=max(windows, default=0),
                    simulated=[one.key for one in known if one.simulated is not None],
                    clock=self._clock,
                    eraser=self._eraser,
                    barriers=self._barriers,
                    audit=self._audit,
                )
            )
        )

    def settle(self) -> bool:
        """Go on where content of an earlier removal stayed in files; whether nothing is left.

        Nothing happens while other maintenance is at work.

        Raises:
            LogUnavailableError: a database is away.
        """
        if not self._settling.look():
            return True
        try:
            return self._alone(lambda: self._settled(Removed(), _TRIES_AGAIN)).settled
        except LogBusyError:
            return False

    def _settled(self, removed: Removed, tries: int = _TRIES) -> Removed:
        return replace(removed, settled=self._settling.settle(tries=tries))

    def _forget(self, unit: int, who: str) -> Removed:
        places: list[int] = []

        def tell(upto: int) -> None:
            places.append(upto)
            self._forgotten(unit, upto)
            self._known()

        removed = forget_unit(
            unit,
            who=who,
            eraser=self._eraser,
            barriers=self._barriers,
            audit=self._audit,
            forgotten=self._list,
            tell=tell,
        )
        self._forgotten(unit, places[-1])
        return self._settled(removed)

    def _alone(self, work: Callable[[], Removed]) -> Removed:
        waiting = self._spooled()
        if waiting:
            raise LogBusyError(
                f"rows can be removed when the spool is empty, {waiting} wait in it: try again"
            )
        # The lease keeps other processes out, the lock other threads of this one.
        if not self._lock.acquire(blocking=False):
            raise LogBusyError(_AT_WORK)
        try:
            if not self._lease.acquire(MAINTENANCE):
                raise LogBusyError(_AT_WORK)
            return work()
        finally:
            self._lease.release(MAINTENANCE)
            self._lock.release()
