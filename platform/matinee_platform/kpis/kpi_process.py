"""The process that makes the key figures of a service, at a low priority, under a supervisor.

Of several services of one database one makes them, under a lease; the others wait for it.
"""

import logging
import os
import signal
import threading
from pathlib import Path

from matinee_platform.clock import Clock, SystemClock
from matinee_platform.engine import catalogue_number
from matinee_platform.experiments.lifecycle import State, StoredExperiment
from matinee_platform.kpis.kpi_job import JobStores, KpiJob
from matinee_platform.kpis.kpi_status import STATUS_FILE, ExperimentKpis, KpiStatus, write_status
from matinee_platform.kpis.page_sums import ArmCatalogue, Catalogues
from matinee_platform.learning.supervisor import leave_with_parent, read_line
from matinee_platform.quick_exit import quick_exit
from matinee_platform.service.secrets import Secrets
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.service.settings_file import settings_of_line
from matinee_platform.serving.bundle import load_bundle
from matinee_platform.storage.control_database import control_url, open_engine
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.event_log import SQLITE_FILE
from matinee_platform.storage.forgotten_units import ForgottenUnits
from matinee_platform.storage.learning_asks import SqlLearningAsks
from matinee_platform.storage.lease import FileLease, PostgresLease
from matinee_platform.storage.ports import Lease
from matinee_policies.errors import MatineeError

_LOG = logging.getLogger(__name__)
LEASE = "key-figures"
"""Name of the lease."""


class _StopError(Exception):
    """The process was told to end."""


class _Beats:
    """Writes the status file; its beats rise."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        self._told: tuple[ExperimentKpis, ...] = ()
        self._holds = False

    def tell(self, told: tuple[ExperimentKpis, ...], *, holds: bool) -> None:
        """What there is to show from now on."""
        self._told, self._holds = told, holds
        self.beat()

    def beat(self) -> None:
        """A sign of life."""
        self._count += 1
        status = KpiStatus(
            process=os.getpid(), beats=self._count, holds=self._holds, experiments=self._told
        )
        try:
            write_status(self._path, status)
        except OSError as error:
            _LOG.warning("key figures cannot be told: %s", error)


def main() -> None:
    """Work for the service that the first line of the standard input names, until its end."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = settings_of_line(read_line())
    leave_with_parent(stop)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    run(settings, stop, clock=SystemClock())
    # The thread that reads the standard input would hold Python up.
    quick_exit(0)


def run(settings: ServiceSettings, stop: threading.Event, *, clock: Clock) -> None:
    """Look again and again until `stop`.

    Args:
        settings: of the service.
        stop: ends it, between two ranges of the log.
        clock: tells up to when figures are.
    """
    engine = open_engine(control_url(settings.data_dir, settings.database))
    control = ControlStore(engine, clock=clock)
    local = settings.database == "sqlite"
    lease: Lease = FileLease(settings.data_dir) if local else PostgresLease(settings.database)
    beats = _Beats(settings.data_dir / STATUS_FILE)

    def rest(seconds: float) -> None:
        if stop.wait(seconds):
            raise _StopError

    def check(key: str, since_ms: int) -> None:
        from matinee_platform.analysis.experiment.removed_rows import refuse_removed_rows

        refuse_removed_rows(engine, key, since_ms=since_ms)

    stores = JobStores(
        data_dir=settings.data_dir,
        events=settings.data_dir / SQLITE_FILE if local else settings.database,
        running=lambda: control.experiments(state=State.RUNNING),
        check=check,
        forgotten=ForgottenUnits(engine, clock=clock),
        catalogues=lambda one: catalogues_of(settings, one),
        lived_ms=SqlLearningAsks(engine).now_ms,
    )
    job = KpiJob(stores, clock=clock, rest=rest, beat=beats.beat)
    failed = ""
    try:
        while not stop.is_set():
            pause = settings.kpi_every_seconds
            try:
                holds = lease.acquire(LEASE)
                if not holds:
                    job.stand_by()
                told = job.look() if holds else ()
                beats.tell(told, holds=holds)
                if any(one.unread and not one.reason for one in told):
                    pause = 0.0
                failed = ""
            except MatineeError as error:
                # The control database is away; what was told stays, and grows old.
                if failed != type(error).__name__:
                    failed = type(error).__name__
                    _LOG.warning("no look at the log for key figures: %s", failed)
                beats.beat()
            rest(pause)
    except _StopError:
        pass
    finally:
        job.close()
        lease.release(LEASE)
        engine.dispose()


def catalogues_of(settings: ServiceSettings, one: StoredExperiment) -> Catalogues:
    """Catalogues of an experiment's arms; one that cannot be read is as if there were none."""
    keys = Secrets.load(settings).signing
    found: dict[str, ArmCatalogue] = {}
    by_bundle: dict[str, ArmCatalogue | None] = {}
    for arm in one.definition.arms:
        if arm.bundle not in by_bundle:
            try:
                model = load_bundle(settings.data_dir, arm.bundle, keys=keys).model
            except MatineeError as error:
                _LOG.warning("no catalogue of %s: %s", arm.bundle, error)
                model = None
            by_bundle[arm.bundle] = (
                None if model is None else ArmCatalogue(catalogue_number(model.items), model.items)
            )
        catalogue = by_bundle[arm.bundle]
        if catalogue is not None:
            found[arm.name] = catalogue
    return found


if __name__ == "__main__":
    main()
