"""Take one logged decision of a service again, or explain it.

A state that was thinned out is learned again from the log, which takes long: one is, at a time, and
who asks for another one meanwhile is told to come back. States that are kept wait for nobody.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np

from matinee_platform.learning.decide_again import decide_again
from matinee_platform.learning.explain_live import arm_that_logged, explain_live
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_rows import live_rows
from matinee_platform.learning.rebuilt_state import state_of
from matinee_platform.learning.service_arms import learning_arm
from matinee_platform.service.errors import OverloadedError
from matinee_platform.service.parts import Replayed
from matinee_platform.service.secrets import Secrets
from matinee_platform.serving.bundle import BundleLoader, LoadedBundle
from matinee_platform.serving.errors import BundleError, GoneError
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.ports import BarrierStore, EventReader, SnapshotStore
from matinee_platform.storage.records import LoggedDecision, ServedBy
from matinee_policies.errors import ConfigError, ContextError, DataError, SnapshotError
from matinee_policies.policy import Policy
from matinee_policies.records import PAD
from matinee_policies.snapshot import Snapshot

_POLICIES_KEPT = 8

REBUILD_AGAIN_SECONDS = 5
"""When to come back while another state is learned again."""

_Restored = tuple[LearningArm, Policy, LoadedBundle]


class DecisionsAgain:
    """Restores the arm and the snapshot that a decision names; methods belong to threads.

    Args:
        control: experiments.
        bundles: gives a deployed bundle by its name.
        barriers: of all arms.
        snapshots: of all arms; one that was thinned out is rebuilt from the log.
        reader: gives a reader of the log.
        secrets: keys by purpose.
    """

    def __init__(
        self,
        control: ControlStore,
        *,
        bundles: BundleLoader,
        barriers: BarrierStore,
        snapshots: SnapshotStore,
        reader: Callable[[], EventReader],
        secrets: Secrets,
    ) -> None:
        self._control = control
        self._bundles = bundles
        self._barriers, self._snapshots = barriers, snapshots
        self._reader = reader
        self._secrets = secrets
        self._lock = Lock()
        self._rebuilding = Lock()
        self._kept: OrderedDict[tuple[str, str, int], _Restored] = OrderedDict()

    def replay(self, logged: LoggedDecision) -> Replayed:
        """Take it again, and compare bit for bit.

        Raises:
            GoneError: its arm, its catalogue or its snapshot is not there any more.
            OverloadedError: its snapshot must be learned again, and another one is, just now.
            UnknownExperimentError: its experiment is not there.
        """
        record = logged.record
        if record.served_by is not ServedBy.POLICY:
            return Replayed(
                equal=True,
                record=record,
                note=f"the policy did not choose this slate: {record.served_by.name.lower()}",
            )
        with _told_what_is_gone():
            arm, policy, _ = self._restored(logged)
            again = decide_again(arm, policy, live_rows([logged]))
        candidates = np.frombuffer(record.candidates, dtype="<i4")
        positions = again.slates.positions[0]
        slate = np.where(positions == PAD, PAD, candidates[positions]).astype("<i4")
        propensities = again.slates.propensities[0].astype("<f8")
        return Replayed(
            equal=bool(again.equal[0]),
            record=replace(record, slate=slate.tobytes(), propensities=propensities.tobytes()),
        )

    def explain(self, logged: LoggedDecision, reader: EventReader) -> Mapping[str, Any]:
        """Values, redundancy, probabilities and draws, as JSON values; raises like `replay`."""
        with _told_what_is_gone():
            arm, policy, bundle = self._restored(logged)
            return explain_live(
                logged, arm=arm, policy=policy, bundle=bundle, items=reader.items
            ).to_json()

    def _restored(self, logged: LoggedDecision) -> _Restored:
        record = logged.record
        # What no policy chose is held against the order of the candidates: any state will do.
        chose = record.served_by is ServedBy.POLICY
        key = (record.experiment, record.arm, record.snapshot if chose else 0)
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            # Two that make the same one at once make the same.
            found = self._made(*key)
            with self._lock:
                self._kept[key] = found
                if len(self._kept) > _POLICIES_KEPT:
                    self._kept.popitem(last=False)
        return found

    def _made(self, experiment: str, name: str, version: int) -> _Restored:
        definition = self._control.experiment(experiment).definition
        wanted = arm_that_logged(definition, name)
        bundle = self._bundles(wanted.bundle)
        arm = learning_arm(
            definition,
            wanted,
            bundle=bundle,
            secret=definition.draws(name, own=self._secrets.draws),
        )
        state = (
            arm.genesis
            if version == 0 or wanted.learning == "log_only"
            else self._state(arm, version)
        )
        return arm, arm.restored(state), bundle

    def _state(self, arm: LearningArm, version: int) -> Snapshot:
        if version in self._snapshots.versions(arm.experiment, arm.name):
            try:
                return self._snapshots.load(arm.experiment, arm.name, version)
            except SnapshotError:
                # Thinned out just now, or damaged: below it is told which.
                pass
        if not self._rebuilding.acquire(blocking=False):
            raise OverloadedError(
                "a state that was thinned out is being learned again; one is at a time",
                retry_after=REBUILD_AGAIN_SECONDS,
            )
        try:
            return self._rebuilt(arm, version)
        finally:
            self._rebuilding.release()

    def _rebuilt(self, arm: LearningArm, version: int) -> Snapshot:
        with closing(self._reader()) as reader:
            return state_of(
                arm,
                version,
                reader=reader,
                barriers=self._barriers,
                snapshots=self._snapshots,
            )


@contextmanager
def _told_what_is_gone() -> Iterator[None]:
    """What can be taken again no more is no fault of the request, and none of the service."""
    try:
        yield
    except (BundleError, ConfigError, ContextError, DataError, SnapshotError) as error:
        raise GoneError(f"this decision cannot be taken again here: {error}") from error
