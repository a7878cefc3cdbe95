"""Build the parts of a service by its settings: the one file that knows every implementation."""

import asyncio
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from structlog.typing import FilteringBoundLogger

from matinee_platform.auth.api_keys import ApiKeys
from matinee_platform.auth.decision_tokens import DecisionTokens
from matinee_platform.clock import Clock, SystemClock
from matinee_platform.experiments.lifecycle import State
from matinee_platform.kpis.kpi_status import STATUS_FILE as KPI_FILE
from matinee_platform.kpis.kpi_status import KpiStatus
from matinee_platform.kpis.kpi_status import read_status as read_kpi_status
from matinee_platform.learning.learner_metrics import LearnerCollector
from matinee_platform.learning.learner_status import STATUS_FILE, LearnerStatus, read_status
from matinee_platform.maintenance.caretaker import Caretaker, others_know
from matinee_platform.maintenance.removal import SqlEventEraser, open_events
from matinee_platform.service.analysis_metrics import AnalysisCollector
from matinee_platform.service.analysis_process import AnalysisProcess
from matinee_platform.service.arm_info import ArmInfoCollector
from matinee_platform.service.background_task import BackgroundTask
from matinee_platform.service.follow_forgotten import FollowForgotten
from matinee_platform.service.in_thread import in_thread
from matinee_platform.service.key_holder import KeyHolder
from matinee_platform.service.kpi_metrics import KpiCollector
from matinee_platform.service.learn_until import LearnUntil
from matinee_platform.service.learner_condition import learner_condition
from matinee_platform.service.live_analysis import AnalysisRenewal, LiveAnalyses
from matinee_platform.service.live_control import ExperimentFeed, LiveControl
from matinee_platform.service.live_observer import LiveObserver
from matinee_platform.service.loopback import is_loopback
from matinee_platform.service.parts import Conditions, ServiceParts
from matinee_platform.service.secrets import Secrets
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.service.settle_removed import RemovedCollector, SettleRemoved
from matinee_platform.service.snapshot_age import SnapshotAgeCollector
from matinee_platform.serving.arm_runtime import ArmRuntime
from matinee_platform.serving.bundle import LoadedBundle, load_bundle
from matinee_platform.serving.runtime import LiveRuntime
from matinee_platform.serving.swap import SnapshotPoller
from matinee_platform.storage.arm_counts import SqlArmCounter
from matinee_platform.storage.audit_log import AuditLog
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_platform.storage.control_database import control_url, open_engine, upgrade
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.event_log import event_reader, make_event_log
from matinee_platform.storage.forgotten_units import ForgottenUnits
from matinee_platform.storage.last_place import last_place
from matinee_platform.storage.learning_asks import SqlLearningAsks
from matinee_platform.storage.lease import FileLease, PostgresLease
from matinee_platform.storage.ports import Lease, SnapshotStore
from matinee_platform.storage.private_files import private_folder
from matinee_platform.storage.records import LoggedDecision, LoggedReward
from matinee_platform.storage.snapshot_store import FolderSnapshotStore, SqlSnapshotStore
from matinee_policies.errors import ConfigError, MatineeError

if TYPE_CHECKING:
    from matinee_platform.service.live_replay import DecisionsAgain

LOOK_EVERY_SECONDS = 1.0
"""Between looks for changed experiments and keys, and for new snapshots."""

STALE_AFTER_LOOKS = 10
"""Looks that may fail before readiness tells of it."""

_SNAPSHOTS = "snapshots"
_WHO = "settings"


async def open_parts(
    settings: ServiceSettings, *, clock: Clock, log: FilteringBoundLogger
) -> ServiceParts:
    """Open everything that the settings name.

    Args:
        settings: of the service.
        clock: tells the time.
        log: takes the service's lines.

    Raises:
        ConfigError: on settings that do not go together.
        LogHeldError: another process writes this SQLite log.
        LogUnavailableError: the control database is away.
    """
    private_folder(settings.data_dir)
    secrets = Secrets.load(settings)
    url = control_url(settings.data_dir, settings.database)
    await asyncio.to_thread(upgrade, url)
    engine = open_engine(url)
    control = ControlStore(
        engine, clock=clock, last_seq=partial(last_place, settings.data_dir, settings.database)
    )
    api_keys = ApiKeys(engine, pepper=secrets.api_keys, clock=clock)
    keys = KeyHolder(await asyncio.to_thread(api_keys.ring))
    check_exposure(settings, without_keys=keys.empty)
    await asyncio.to_thread(_ensure, control, settings)
    bundles = _bundles(settings.data_dir, secrets)
    observer = LiveObserver(clock)
    runtime_of: list[LiveRuntime] = []

    def published(decisions: Sequence[LoggedDecision], rewards: Sequence[LoggedReward]) -> None:
        if runtime_of:
            runtime_of[0].published(decisions, rewards)

    def skipped() -> None:
        if runtime_of:
            runtime_of[0].skipped()

    forgotten = ForgottenUnits(engine, clock=clock)
    # What was forgotten before is in no memory: it starts empty.
    forgotten_before = await asyncio.to_thread(forgotten.last)
    windows: dict[str, tuple[int, ...]] = {
        one.definition.key: one.definition.windows_ms()
        for one in await asyncio.to_thread(control.experiments)
    }
    events = await make_event_log(
        settings,
        windows=lambda key: windows.get(key, (0, 0, 0, 0)),
        published=published,
        skipped=skipped,
        forgotten_at=forgotten.times,
    )

    def forget(unit: int, upto: int) -> None:
        runtime.forget_pseudonym(unit, upto=upto)
        events.appender.forget(unit)

    snapshots = _snapshots(settings, engine, secrets)
    poller = SnapshotPoller(SqlBarrierStore(engine, clock=clock), snapshots, observer=observer)
    runtime = LiveRuntime(
        bundles=bundles,
        pseudonym_secret=secrets.pseudonyms,
        draws=secrets.draws,
        clock=clock,
        reader=events.reader,
        names=events.appender,
        budget_ms=settings.decision_budget_ms,
        units_in_memory=settings.units_in_memory,
        observer=observer,
        newest=poller.take_up,
        settled=events.appender.settled,
    )
    runtime_of.append(runtime)
    feed = ExperimentFeed(
        control, runtime, bundles=bundles, holdout=settings.holdout, log=log, windows=windows
    )
    following = FollowForgotten(forgotten, forget=forget, after=forgotten_before, log=log)
    looks = _Looks(feed, poller, runtime, keys, api_keys, log=log)
    try:
        await looks.look()
    except MatineeError:
        await events.appender.close()
        raise
    looks.start()
    following.start()
    process = AnalysisProcess(settings.data_dir, settings.database, log=log)
    analyses = LiveAnalyses(process.analyse, close=process.close, clock=clock)
    renewal = AnalysisRenewal(
        analyses,
        keys=lambda: [one.definition.key for one in control.experiments(state=State.RUNNING)],
        every_seconds=settings.analyse_every_seconds,
        log=log,
    )
    renewal.start()
    events_engine = open_events(settings.data_dir, settings.database)
    lease: Lease = (
        FileLease(settings.data_dir)
        if settings.database == "sqlite"
        else PostgresLease(settings.database)
    )
    caretaker = Caretaker(
        SqlEventEraser(events_engine),
        control=engine,
        pseudonym_secret=secrets.pseudonyms,
        clock=clock,
        lease=lease,
        spooled=lambda: events.appender.spooled,
        forgotten=_on_loop(forget),
        known=others_know(settings.database),
    )
    settling = SettleRemoved(caretaker, log=log)
    settling.start()
    status = _status(settings)
    started_ms = clock.now_ms()

    def conditions() -> Conditions:
        return Conditions(
            log=events.appender.state,
            policies="fallback" if observer.falling_back else "ok",
            learner=learner_condition(
                status(),
                supervised=settings.supervise_learner,
                started_ms=started_ms,
                now_ms=clock.now_ms(),
            ),
            control="stale" if looks.failed >= STALE_AFTER_LOOKS else "ok",
            bundles="ok" if feed.whole else "missing",
        )

    async def close() -> None:
        await looks.stop()
        await following.stop()
        await settling.stop()
        await renewal.stop()
        await analyses.close()
        await events.appender.close()
        await runtime.close()
        if isinstance(lease, PostgresLease):
            lease.close()
        events_engine.dispose()
        engine.dispose()

    @cache
    def again() -> "DecisionsAgain":
        # Imported when first asked for: it needs what the learner is made of, and is asked rarely.
        from matinee_platform.service.live_replay import DecisionsAgain

        return DecisionsAgain(
            control,
            bundles=bundles,
            barriers=SqlBarrierStore(engine, clock=clock),
            snapshots=snapshots,
            reader=lambda: event_reader(settings),
            secrets=secrets,
        )

    return ServiceParts(
        secrets=secrets,
        appender=events.appender,
        reader=lambda: event_reader(settings),
        runtime=runtime,
        control=LiveControl(
            control,
            AuditLog(engine, clock=clock),
            bundles=bundles,
            known=others_know(settings.database),
        ),
        counts=SqlArmCounter(events_engine),
        keys=keys,
        maintenance=caretaker,
        tokens=DecisionTokens(secrets.tokens) if settings.signed_tokens else None,
        replay=lambda logged: again().replay(logged),
        explain=lambda logged, reader: again().explain(logged, reader),
        analysis=analyses.soon,
        conditions=conditions,
        collectors=(
            *observer.collectors,
            LearnerCollector(status, clock=clock),
            RemovedCollector(caretaker, clock=clock),
            AnalysisCollector(lambda: analyses.shown),
            KpiCollector(_kpi_status(settings), clock=clock),
            SnapshotAgeCollector(lambda: runtime.arms, poller, clock=clock),
            ArmInfoCollector(lambda: runtime.arms),
        ),
        is_simulated=lambda key: key in feed.simulated,
        has_simulated=lambda: bool(feed.simulated),
        learn_until=LearnUntil(
            control.experiment,
            asks=SqlLearningAsks(engine),
            barriers=SqlBarrierStore(engine, clock=clock),
            take_up=looks.take_up,
        ),
        changed=feed.refresh,
        close=close,
    )


def check_exposure(settings: ServiceSettings, *, without_keys: bool) -> None:
    """Refuse to listen beyond this machine without API keys.

    Raises:
        ConfigError: with the way out.
    """
    if without_keys and not is_loopback(settings.host):
        raise ConfigError(
            f"a service without API keys listens on this machine alone, got host {settings.host}: "
            "make a key first (matinee keys create), or use host 127.0.0.1"
        )


def prepare(settings: ServiceSettings) -> bool:
    """Make data folder, secret and control tables; whether callers need API keys.

    Raises:
        ConfigError: if the service must not listen where the settings say.
        LogUnavailableError: the control database is away.
    """
    private_folder(settings.data_dir)
    secrets = Secrets.load(settings)
    url = control_url(settings.data_dir, settings.database)
    upgrade(url)
    engine = open_engine(url)
    try:
        keys = ApiKeys(engine, pepper=secrets.api_keys, clock=SystemClock()).ring()
    finally:
        engine.dispose()
    check_exposure(settings, without_keys=keys.empty)
    return not keys.empty


class _Looks(BackgroundTask):
    """Looks again and again for changes: experiments, keys, snapshots."""

    def __init__(
        self,
        feed: ExperimentFeed,
        poller: SnapshotPoller,
        runtime: LiveRuntime,
        keys: KeyHolder,
        api_keys: ApiKeys,
        *,
        log: FilteringBoundLogger,
    ) -> None:
        super().__init__()
        self._feed = feed
        self._poller = poller
        self._runtime = runtime
        self._keys = keys
        self._api_keys = api_keys
        self._log = log
        self._polling = asyncio.Lock()
        self.failed = 0

    async def look(self) -> None:
        self._keys.take(await in_thread(self._api_keys.ring))
        await self._feed.refresh()
        await self._swap(self._runtime.arms)

    async def take_up(self, key: str) -> None:
        """Serve the newest snapshots of an experiment from now on."""
        await self._swap([arm for arm in self._runtime.arms if arm.experiment == key])

    async def _swap(self, arms: Sequence[ArmRuntime]) -> None:
        async with self._polling:
            for swap in await in_thread(self._poller.poll, arms):
                swap.take()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            try:
                await self.look()
                self.failed = 0
            except Exception as error:  # whatever it is, the next look may do better
                self.failed += 1
                if self.failed in (1, STALE_AFTER_LOOKS):
                    self._log.warning("look_failed", error=type(error).__name__, times=self.failed)


def _ensure(control: ControlStore, settings: ServiceSettings) -> None:
    for definition in settings.experiments:
        control.ensure(definition, who=_WHO)


def _bundles(data_dir: Path, secrets: Secrets) -> Callable[[str], LoadedBundle]:
    """Loads bundles, each once as long as its files are the same."""

    @lru_cache(maxsize=64)
    def load(name: str, _: int) -> LoadedBundle:
        return load_bundle(data_dir, name, keys=secrets.signing)

    def bundle(name: str) -> LoadedBundle:
        manifest = data_dir / "bundles" / name / "bundle.json"
        try:
            changed = manifest.stat().st_mtime_ns
        except OSError:
            changed = 0
        return load(name, changed)

    return bundle


def _snapshots(settings: ServiceSettings, engine: Engine, secrets: Secrets) -> SnapshotStore:
    if settings.database == "sqlite":
        return FolderSnapshotStore(settings.data_dir / _SNAPSHOTS, keys=secrets.signing)
    return SqlSnapshotStore(engine, keys=secrets.signing)


def _status(settings: ServiceSettings) -> Callable[[], LearnerStatus | None]:
    path = settings.data_dir / STATUS_FILE
    return lambda: read_status(path)


def _kpi_status(settings: ServiceSettings) -> Callable[[], KpiStatus | None]:
    path = settings.data_dir / KPI_FILE
    return lambda: read_kpi_status(path)


def _on_loop(forget: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """The same call from any thread, made on this loop."""
    loop = asyncio.get_running_loop()

    def forgotten(unit: int, upto: int) -> None:
        loop.call_soon_threadsafe(forget, unit, upto)

    return forgotten
