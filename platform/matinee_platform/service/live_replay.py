"""Take one logged decision of a service again, or explain it."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import closing
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
from matinee_platform.service.parts import Replayed
from matinee_platform.service.secrets import Secrets
from matinee_platform.serving.bundle import BundleLoader, LoadedBundle
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.ports import BarrierStore, EventReader, SnapshotStore
from matinee_platform.storage.records import LoggedDecision, ServedBy
from matinee_policies.policy import Policy
from matinee_policies.records import PAD
from matinee_policies.snapshot import Snapshot

_POLICIES_KEPT = 8

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
        self._kept: OrderedDict[tuple[str, str, int], _Restored] = OrderedDict()

    def replay(self, logged: LoggedDecision) -> Replayed:
        """Take it again, and compare bit for bit.

        Raises:
            ConfigError: its arm is in no experiment.
            SnapshotError: the snapshot that it names is damaged, or cannot be rebuilt.
        """
        record = logged.record
        if record.served_by is not ServedBy.POLICY:
            return Replayed(
                equal=True,
                record=record,
                note=f"the policy did not choose this slate: {record.served_by.name.lower()}",
            )
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
                found = self._kept[key] = self._made(*key)
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
            secret=self._secrets.draws(experiment, name),
        )
        state = (
            arm.genesis
            if version == 0 or wanted.learning == "log_only"
            else self._state(arm, version)
        )
        return arm, arm.restored(state), bundle

    def _state(self, arm: LearningArm, version: int) -> Snapshot:
        with closing(self._reader()) as reader:
            return state_of(
                arm,
                version,
                reader=reader,
                barriers=self._barriers,
                snapshots=self._snapshots,
            )
