"""Experiments of a running service: changed in the control database, taken up by the runtime."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from structlog.typing import FilteringBoundLogger

from matinee_platform.experiments.audit import AuditEntry
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.layers import Assigner
from matinee_platform.experiments.lifecycle import State, StoredExperiment
from matinee_platform.service.in_thread import in_thread
from matinee_platform.service.settings import Holdout
from matinee_platform.serving.bundle import BundleLoader, Manifest
from matinee_platform.serving.errors import BundleError
from matinee_platform.serving.runtime import LiveRuntime, Running
from matinee_platform.storage.audit_log import AuditLog
from matinee_platform.storage.control_store import ControlStore
from matinee_policies.errors import MatineeError


class LiveControl:
    """A `parts.ExperimentControl` that starts only what can be served.

    Args:
        store: of the experiments.
        audit: of all changes.
        bundles: gives a deployed bundle by its name.
        known: returns once every process of the service has looked for changes; called in a thread.
    """

    def __init__(
        self,
        store: ControlStore,
        audit: AuditLog,
        *,
        bundles: BundleLoader,
        known: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._audit = audit
        self._bundles = bundles
        self._known = known

    def experiments(self) -> Sequence[StoredExperiment]:
        """All of them, by key."""
        return self._store.experiments()

    def experiment(self, key: str) -> StoredExperiment:
        """One."""
        return self._store.experiment(key)

    def create(self, definition: LiveExperiment, *, who: str) -> StoredExperiment:
        """Add one that does not run yet.

        Raises:
            BundleError: it is of simulated users, and could not be started. They have their key and
                their salt from their run, and a salt is used once: it would be lost.
        """
        if definition.simulated is not None:
            check_bundles(definition, self._bundles)
        return self._store.create(definition, who=who)

    def start(
        self, key: str, *, salt: str | None, coverage: float | None, who: str
    ) -> StoredExperiment:
        """Let units in.

        Raises:
            BundleError: an arm's bundle cannot be served, or not beside those of the others.
            StaleVersionError: somebody else changed it in the meantime.
        """
        found = self._store.experiment(key)
        check_bundles(found.definition, self._bundles)
        if found.state is State.STOPPED:
            # A process that has not noticed the stop would go on to assign by the old salt, and
            # what it logs after the new start would count for it.
            self._known()
        return self._store.start(key, salt=salt, coverage=coverage, who=who, version=found.version)

    def ramp(self, key: str, *, coverage: float, who: str) -> StoredExperiment:
        """Let more units in."""
        return self._store.ramp(key, coverage=coverage, who=who)

    def stop(self, key: str, *, who: str) -> StoredExperiment:
        """Let no unit in any more."""
        return self._store.stop(key, who=who)

    def audit(self, *, after: int, limit: int) -> Sequence[AuditEntry]:
        """Entries with numbers above `after`, oldest first."""
        return self._audit.entries(after=after, limit=limit)


class ExperimentFeed:
    """Keeps a runtime at what the control database says.

    Args:
        store: of the experiments.
        runtime: serves them.
        bundles: gives a deployed bundle by its name.
        holdout: units that no experiment touches.
        windows: window of each component by key, kept up to date here.
        log: takes lines.

    Attributes:
        simulated: keys of the experiments that are marked so, running or not.
    """

    def __init__(
        self,
        store: ControlStore,
        runtime: LiveRuntime,
        *,
        bundles: BundleLoader,
        holdout: Holdout,
        windows: dict[str, tuple[int, ...]],
        log: FilteringBoundLogger,
    ) -> None:
        self._store = store
        self._runtime = runtime
        self._bundles = bundles
        self._holdout = holdout
        self._log = log
        self._seen: tuple[tuple[str, int], ...] | None = None
        self._broken: Mapping[str, str] = {}
        self._one_at_a_time = asyncio.Lock()
        self._windows = windows
        self.simulated: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether everything that runs is served."""
        return not self._broken

    def read(self) -> list[StoredExperiment]:
        """All experiments; belongs to a thread."""
        return self._store.experiments()

    async def refresh(self) -> None:
        """Read the experiments, and serve those that run.

        Raises:
            MatineeError: the database cannot be read; everything stays as it was.
        """
        async with self._one_at_a_time:
            await self.take(await in_thread(self.read))

    async def take(self, found: Sequence[StoredExperiment]) -> None:
        """Serve those of these that run and whose bundles can be served."""
        self._windows.update({one.definition.key: one.definition.windows_ms() for one in found})
        self._runtime.know([one.definition for one in found])
        self.simulated = frozenset(
            one.definition.key for one in found if one.definition.simulated is not None
        )
        versions = tuple((one.definition.key, one.version) for one in found)
        if versions == self._seen and not self._broken:
            return
        running = [one.definition for one in found if one.state is State.RUNNING]
        broken = await in_thread(_broken, running, self._bundles)
        if broken != self._broken:
            for key, reason in broken.items():
                self._log.error("experiment_not_served", experiment=key, reason=reason)
        if versions != self._seen or broken != self._broken:
            served = [one for one in running if one.key not in broken]
            starts = {one.definition.key: (one.started_at or 0, one.started_seq) for one in found}
            assigner = Assigner(served, self._holdout)
            await in_thread(_warm_up, assigner, [one.key for one in served])
            await self._runtime.apply([Running(one, *starts[one.key]) for one in served], assigner)
        self._seen, self._broken = versions, broken


def check_bundles(definition: LiveExperiment, bundles: BundleLoader) -> None:
    """Refuse an experiment whose arms cannot be served by the same requests.

    Raises:
        BundleError: a bundle cannot be read, takes other features than another arm's, or knows the
            past of simulated users who are not those of the experiment.
        MatineeError: its policy cannot be restored.
    """
    wanted: dict[str, int | None] = {}
    for arm in definition.arms:
        bundle = bundles(arm.bundle)
        bundle.policy()
        manifest = bundle.manifest
        check_past(definition, manifest)
        wanted[arm.name] = None if manifest.has_catalogue else manifest.dimension
    if len(set(wanted.values())) > 1:
        told = ", ".join(
            f"{name}: {'a catalogue' if d is None else f'{d} features of the caller'}"
            for name, d in wanted.items()
        )
        raise BundleError(
            f"arms of experiment {definition.key!r} must take the same requests, got {told}"
        )


def check_past(definition: LiveExperiment, manifest: Manifest) -> None:
    """Refuse the past of simulated users in an experiment of others.

    Raises:
        BundleError: naming whose past it is.
    """
    past, simulated = manifest.past, definition.simulated
    if past is None:
        return
    if simulated is None or (past.run, past.seed) != (simulated.run, simulated.seed):
        raise BundleError(
            f"bundle {manifest.name!r} knows the past of the simulated users of run {past.run!r} "
            f"with seed {past.seed}: experiment {definition.key!r} must be marked as simulated "
            "with the same"
        )


def _warm_up(assigner: Assigner, keys: Sequence[str]) -> None:
    """Have the kernel of assignment compiled before a caller waits for it."""
    for key in keys[:1]:
        assigner.assign(key, "nobody")


def _broken(running: Sequence[LiveExperiment], bundles: BundleLoader) -> dict[str, str]:
    """Why experiments cannot be served, by key."""
    reasons = {}
    for one in running:
        try:
            check_bundles(one, bundles)
        except MatineeError as error:
            reasons[one.key] = str(error)
    return reasons
