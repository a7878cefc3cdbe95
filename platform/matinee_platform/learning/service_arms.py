"""The arms of a service as learning and replay need them, and the stores that they read.

The one file of this package that knows bundles, experiments, secrets and databases.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from matinee_platform.clock import Clock
from matinee_platform.experiments.definition import LiveArm, LiveExperiment
from matinee_platform.experiments.lifecycle import State, StoredExperiment
from matinee_platform.learning.beating_reader import BeatingReader
from matinee_platform.learning.learner_loop import ArmPlan
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_contexts import CallerContexts, CatalogueContexts, LiveContexts
from matinee_platform.learning.live_learner import LearnerBarriers, LiveLearner
from matinee_platform.service.secrets import Secrets
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.serving.bundle import LoadedBundle, load_bundle
from matinee_platform.serving.given_features import given_contexts
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_platform.storage.control_database import (
    control_url,
    open_engine,
    open_to_read,
    upgrade,
)
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.event_log import event_reader
from matinee_platform.storage.learning_asks import SqlLearningAsks
from matinee_platform.storage.lease import FileLease, PostgresLease
from matinee_platform.storage.ports import EventReader, Lease, SnapshotStore
from matinee_platform.storage.private_files import private_folder
from matinee_platform.storage.snapshot_store import FolderSnapshotStore, SqlSnapshotStore

SNAPSHOTS = "snapshots"
"""Folder of the snapshots within the data folder, where they are files."""

_STOPPED_MS = 7 * 86_400_000
"""How long after its last window a stopped experiment is still learned: a learner that was away
learns its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStores:
    """What a service keeps, as its learner sees it.

    Attributes:
        settings: of the service.
        reader: of the log.
        barriers: of all arms.
        asks: how far simulated experiments ask to be learned.
        snapshots: of all arms.
        leases: of this process.
        control: experiments.
        secrets: keys by purpose.
        clock: of the service.
    """

    settings: ServiceSettings
    reader: EventReader
    barriers: LearnerBarriers
    asks: SqlLearningAsks
    snapshots: SnapshotStore
    leases: Lease
    control: ControlStore
    secrets: Secrets
    clock: Clock

    def experiments(self) -> list[LiveExperiment]:
        """Experiments that ran."""
        return [one.definition for one in self._ran()]

    def arm_names(self) -> list[str]:
        """`EXPERIMENT/ARM` of every arm that ran."""
        return [f"{one.key}/{arm.name}" for one in self.experiments() for arm in one.arms]

    def bundle(self, arm: LiveArm) -> LoadedBundle:
        """What an arm starts from.

        Raises:
            BundleError: the bundle cannot be read.
        """
        return load_bundle(self.settings.data_dir, arm.bundle, keys=self.secrets.signing)

    def arm(self, experiment: LiveExperiment, arm: LiveArm) -> LearningArm:
        """An arm with its bundle.

        Raises:
            BundleError: the bundle cannot be read.
            MatineeError: its policy cannot be restored.
        """
        secret = experiment.draws(arm.name, own=self.secrets.draws)
        return learning_arm(experiment, arm, bundle=self.bundle(arm), secret=secret)

    def plans(self, only: Sequence[str] = ()) -> list[ArmPlan]:
        """The arms there is something to learn of, or those named `EXPERIMENT/ARM`.

        Those of an experiment that was stopped are left when its windows have been closed for a
        while, whatever was learned of them; they are taken up again when it is started again.
        """
        return [
            ArmPlan(
                experiment.key,
                arm.name,
                _loader(self, experiment, arm),
                is_simulated=experiment.simulated is not None,
            )
            for one in self._ran()
            for experiment in (one.definition,)
            for arm in experiment.arms
            if (f"{experiment.key}/{arm.name}" in only if only else not self._is_over(one))
        ]

    def _ran(self) -> list[StoredExperiment]:
        return [one for one in self.control.experiments() if one.state is not State.CREATED]

    def _is_over(self, one: StoredExperiment) -> bool:
        closed_ms = one.changed_at + max(one.definition.windows_ms())
        return one.state is State.STOPPED and self.clock.now_ms() >= closed_ms + _STOPPED_MS

    def learner(self, arm: LearningArm, beat: Callable[[], None]) -> LiveLearner:
        """The learner of an arm."""
        return LiveLearner(
            arm,
            reader=BeatingReader(self.reader, beat),
            barriers=self.barriers,
            snapshots=self.snapshots,
            lease=self.leases,
            clock=self.clock,
            asks=self.asks,
            keep_snapshots=self.settings.keep_snapshots,
            keep_days=self.settings.retention_days,
        )


@contextmanager
def open_stores(
    settings: ServiceSettings, *, clock: Clock, to_read: bool = False
) -> Iterator[ServiceStores]:
    """Open what a service keeps; it may be running, or not yet.

    Args:
        settings: of the service.
        clock: tells the time.
        to_read: whether nothing is changed; else tables are brought up to date.

    Raises:
        ConfigError: on settings that do not go together, or without a master secret; to read also
            on tables of another version.
        LogUnavailableError: the database is away.
    """
    private_folder(settings.data_dir)
    secrets = Secrets.load(settings)
    url = control_url(settings.data_dir, settings.database)
    if not to_read:
        upgrade(url)
    engine = open_to_read(url) if to_read else open_engine(url)
    reader = event_reader(settings)
    local = settings.database == "sqlite"
    snapshots: SnapshotStore
    if local:
        snapshots = FolderSnapshotStore(settings.data_dir / SNAPSHOTS, keys=secrets.signing)
    else:
        snapshots = SqlSnapshotStore(engine, keys=secrets.signing)
    held = None if local else PostgresLease(settings.database)
    leases: Lease = FileLease(settings.data_dir) if held is None else held
    try:
        yield ServiceStores(
            settings=settings,
            reader=reader,
            barriers=SqlBarrierStore(engine, clock=clock),
            asks=SqlLearningAsks(engine),
            snapshots=snapshots,
            leases=leases,
            control=ControlStore(engine, clock=clock),
            secrets=secrets,
            clock=clock,
        )
    finally:
        if held is not None:
            held.close()
        reader.close()
        engine.dispose()


def learning_arm(
    experiment: LiveExperiment, arm: LiveArm, *, bundle: LoadedBundle, secret: bytes
) -> LearningArm:
    """What learning and replay need of an arm.

    Args:
        experiment: with its rewards, windows and slots.
        arm: one of its arms.
        bundle: that the arm names.
        secret: 16 bytes that key its draws.

    Raises:
        MatineeError: if the policy of the bundle cannot be restored, or may not be imported.
    """
    policy = bundle.policy()
    contexts: LiveContexts
    if bundle.model is None:
        contexts = CallerContexts(given_contexts(policy, dimension=bundle.manifest.dimension))
    else:
        contexts = CatalogueContexts(bundle.model.contexts(bundle.manifest.arm or ""))
    return LearningArm(
        experiment=experiment.key,
        name=arm.name,
        policy=bundle.manifest.policy,
        genesis=bundle.snapshot,
        contexts=contexts,
        slots=experiment.slots,
        rewards=experiment.reward,
        windows_ms=experiment.windows_ms(),
        secret=secret,
        learning=arm.learning,
        simulated_start_ms=None if experiment.simulated is None else experiment.simulated.start_ms,
    )


def _loader(
    stores: ServiceStores, experiment: LiveExperiment, arm: LiveArm
) -> Callable[[], LearningArm]:
    return lambda: stores.arm(experiment, arm)
