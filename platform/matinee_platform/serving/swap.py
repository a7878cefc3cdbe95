"""Take up the snapshots that a learner made, without pausing decisions.

Barriers are polled in a thread; a new snapshot is read, verified and restored there, and the event
loop only exchanges the policy. A snapshot that is damaged, forged, of another policy or not the one
that its barrier names is refused and told of; the one before serves on, and the next barrier is
tried as it comes.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from matinee_platform.serving.arm_runtime import ArmRuntime
from matinee_platform.serving.observer import Observer
from matinee_platform.storage.ports import BarrierStore, SnapshotStore
from matinee_policies.errors import MatineeError, SnapshotError
from matinee_policies.policy import Policy

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Swap:
    """A policy that is ready to serve."""

    arm: ArmRuntime
    policy: Policy
    version: int

    def take(self) -> None:
        """Serve it; belongs to the event loop's thread once the arm is asked."""
        if self.version > self.arm.version:
            self.arm.swap(self.policy, version=self.version)


class SnapshotPoller:
    """Looks for new snapshots of some arms.

    Args:
        barriers: of the learner.
        snapshots: of the learner; its keys decide what is trusted.
        observer: told of refusals.
    """

    def __init__(
        self, barriers: BarrierStore, snapshots: SnapshotStore, *, observer: Observer
    ) -> None:
        self._barriers = barriers
        self._snapshots = snapshots
        self._observer = observer
        self._refused: dict[tuple[str, str], int] = {}
        self._made: dict[tuple[str, str], tuple[int, int]] = {}
        self._one_at_a_time = threading.Lock()

    def made_ms(self, experiment: str, arm: str, *, version: int) -> int | None:
        """When the snapshot that an arm serves was made, UTC milliseconds; None if not known."""
        found = self._made.get((experiment, arm))
        return found[1] if found is not None and found[0] == version else None

    def poll(self, arms: Sequence[ArmRuntime]) -> list[Swap]:
        """New states of these arms; belongs to a thread.

        Raises:
            MatineeError: the stores cannot be read at all.
        """
        with self._one_at_a_time:
            return self._poll(arms)

    def take_up(self, arms: Sequence[ArmRuntime]) -> None:
        """Have arms that nobody asks yet serve what was learned so far; belongs to a thread.

        Where nothing can be read they begin with what they have, and a later poll does better.
        """
        try:
            swaps = self.poll(arms)
        except MatineeError as error:
            _log.warning("snapshots_not_read", error=type(error).__name__)
            return
        for swap in swaps:
            swap.take()

    def _poll(self, arms: Sequence[ArmRuntime]) -> list[Swap]:
        found = []
        for arm in arms:
            if arm.learning == "log_only":
                continue
            barrier = self._barriers.last(arm.experiment, arm.name)
            if barrier is None or barrier.version < arm.version:
                continue
            made = barrier.version, barrier.created_at
            if barrier.version == arm.version:
                self._made[arm.experiment, arm.name] = made
                continue
            try:
                policy = self._restored(arm, barrier.version, barrier.snapshot_hash)
            except (
                Exception
            ) as error:  # whatever a damaged file or a class of the user's own raises
                self._refuse(arm, barrier.version, error)
                continue
            self._made[arm.experiment, arm.name] = made
            found.append(Swap(arm, policy, barrier.version))
        return found

    def _restored(self, arm: ArmRuntime, version: int, wanted: str) -> Policy:
        snapshot = self._snapshots.load(arm.experiment, arm.name, version)
        if snapshot.content_hash != wanted:
            raise SnapshotError(
                f"snapshot {version} of arm {arm.name!r} must be the one that its barrier names, "
                f"{wanted}, got {snapshot.content_hash}"
            )
        return arm.bundle.policy(snapshot)

    def _refuse(self, arm: ArmRuntime, version: int, error: Exception) -> None:
        """Tell of a refusal, once for each version."""
        key = (arm.experiment, arm.name)
        if self._refused.get(key) == version:
            return
        self._refused[key] = version
        _log.error(
            "snapshot_refused",
            experiment=arm.experiment,
            arm=arm.name,
            version=version,
            serving=arm.version,
            reason=str(error),
        )
        self._observer.refused_snapshot(
            arm.experiment, arm.name, version=version, reason=type(error).__name__
        )
