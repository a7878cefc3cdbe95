"""The learner of one arm: barrier after barrier under a lease.

All of its state is the last barrier and the snapshot that it names; whatever kills it, the next
learner reads the two and goes on. A snapshot is stored before its barrier, and the barrier makes it
true: of two learners that race, the barrier of one alone stands.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from matinee_platform.clock import Clock
from matinee_platform.learning.barrier_step import Step, barrier_step
from matinee_platform.learning.learning_arm import LearningArm, first_day, live_lessons
from matinee_platform.learning.live_outcomes import DayCount
from matinee_platform.learning.matured import Place
from matinee_platform.learning.thin_snapshots import thin_snapshots
from matinee_platform.learning.unlearned_events import unlearned_events
from matinee_platform.storage.errors import LeaseLostError, LogUnavailableError
from matinee_platform.storage.ports import BarrierStore, EventReader, Lease, SnapshotStore
from matinee_platform.storage.records import Barrier
from matinee_policies.errors import ConfigError, SnapshotError
from matinee_policies.snapshot import Snapshot

_LOG = logging.getLogger(__name__)

MARGIN_MS = 1_000
"""How long after the end of a window its rewards may take to reach the log."""

MOST_UNREAD = 200_000
"""Places of the log after which there is a barrier even if nothing has matured: a learner that
starts looks through the log from the last one on."""

THIN_EVERY = 60
"""Barriers of a learner between two times that it thins old snapshots out; the first one is one."""


class LearnerBarriers(BarrierStore, Protocol):
    """Barriers, and whether rows were removed from under them."""

    def genesis_due(self, experiment: str, arm: str) -> bool:
        """Whether the next barrier must be one where replay starts."""


class LearningAsks(Protocol):
    """How far a simulated arm is to be learned, and was."""

    def asked(self, experiment: str, arm: str) -> int | None:
        """Time up to which it is asked and was not reached, UTC milliseconds; None if none is."""

    def reach(self, experiment: str, arm: str, time_ms: int) -> None:
        """Say that every window that ended by a time was learned."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What one look at the log came to.

    Attributes:
        barrier: the newest barrier of the arm.
        is_new: whether it was made now.
        caught_up_ms: every window that ended by then has been learned.
        step: what was learned; None at the first barrier.
        unlearned: events found now that join a decision whose lesson was over, by component.
    """

    barrier: Barrier
    is_new: bool
    caught_up_ms: int
    step: Step | None = None
    unlearned: Mapping[str, int] = field(default_factory=dict)


class LiveLearner:
    """Learns one arm.

    Args:
        arm: checked (`LearningArm.check`).
        reader: of the log.
        barriers: of all arms.
        snapshots: of all arms.
        lease: asked before each barrier.
        clock: tells how far windows are closed.
        asks: of simulated arms, whose time no clock tells; None where there are none.
        margin_ms: see `MARGIN_MS`.
        keep_snapshots: newest snapshots that are not thinned out.
        keep_days: for which the first snapshot of each hour is kept.
    """

    def __init__(
        self,
        arm: LearningArm,
        *,
        reader: EventReader,
        barriers: LearnerBarriers,
        snapshots: SnapshotStore,
        lease: Lease,
        clock: Clock,
        asks: LearningAsks | None = None,
        margin_ms: int = MARGIN_MS,
        keep_snapshots: int = 720,
        keep_days: int = 90,
    ) -> None:
        self.arm = arm
        self._reader = reader
        self._barriers, self._snapshots = barriers, snapshots
        self._lease = lease
        self._clock = clock
        self._asks = asks
        self._margin_ms = margin_ms
        self._keep = keep_snapshots, keep_days
        self._until_thin = 0
        self._days: DayCount | None = None
        self._newest: tuple[str, Snapshot] | None = None
        # Place up to which no latecomer was found since the barrier of this version.
        self._scanned = (-1, 0)
        # Place up to which events were looked at for those that came too late to be learned.
        self._counted = 0

    @property
    def lease_name(self) -> str:
        """Name of the lease of the arm."""
        return lease_name(self.arm.experiment, self.arm.name)

    def advance(self) -> Progress:
        """Make the next barrier, if anything has matured.

        Raises:
            LeaseLostError: another learner holds the arm, or was faster.
            SnapshotError: the last snapshot is damaged, forged, or not the one of its barrier.
            LogUnavailableError: a database is away.
        """
        self._check_lease()
        key = self.arm.experiment, self.arm.name
        last = self._barriers.last(*key)
        if last is None:
            return self._begin()
        if self.arm.simulated_start_ms is not None:
            return self._advance_to_ask(last)
        # The time first: what was received by then had the margin to reach the log.
        return self._advance(last, max(last.time_ms, self._clock.now_ms() - self._margin_ms))

    def _advance_to_ask(self, last: Barrier) -> Progress:
        """The next barrier of a simulated arm, if one is asked for."""
        key = self.arm.experiment, self.arm.name
        now_ms = self._clock.now_ms()
        asked = None if self._asks is None else self._asks.asked(*key)
        if asked is None:
            return Progress(last, is_new=False, caught_up_ms=now_ms)
        progress = self._advance(last, max(last.time_ms, asked))
        if self._asks is not None:
            self._asks.reach(*key, asked)
        return replace(progress, caught_up_ms=now_ms)

    def _advance(self, last: Barrier, time_ms: int) -> Progress:
        """The barrier of a time, if anything has matured by then."""
        key = self.arm.experiment, self.arm.name
        genesis = self._barriers.genesis_due(*key)
        now = Place(max(last.seq, self._reader.last_seq()), time_ms)
        version, scanned = self._scanned
        step = barrier_step(
            self.arm,
            self._state(last),
            reader=self._reader,
            before=Place.of(last),
            now=now,
            days=self._day_count(),
            scanned=scanned if version == last.version else 0,
        )
        unlearned = self._unlearned(step, last, now)
        if not (step.is_due or genesis or now.seq - last.seq > MOST_UNREAD):
            self._scanned, self._counted = (last.version, now.seq), now.seq
            return Progress(
                last, is_new=False, caught_up_ms=time_ms, step=step, unlearned=unlearned
            )
        barrier = self._append(step, last.version + 1, now, genesis=genesis)
        self._counted = now.seq
        return Progress(barrier, is_new=True, caught_up_ms=time_ms, step=step, unlearned=unlearned)

    def _unlearned(self, step: Step, last: Barrier, now: Place) -> dict[str, int]:
        if not self.arm.learns(step.policy):
            return {}
        return unlearned_events(
            self.arm,
            live_lessons(step.policy, self.arm),
            reader=self._reader,
            last=Place.of(last),
            after=max(self._counted, last.seq),
            upto=now.seq,
        )

    def _begin(self) -> Progress:
        """The first barrier: the state before the first decision."""
        start_ms = self.arm.simulated_start_ms
        real_ms = self._clock.now_ms() - self._margin_ms
        now = Place(0, real_ms if start_ms is None else start_ms)
        step = Step(self.arm.genesis, self.arm.restored(self.arm.genesis))
        barrier = self._append(step, 0, now, genesis=True)
        return Progress(barrier, is_new=True, caught_up_ms=real_ms)

    def _append(self, step: Step, version: int, now: Place, *, genesis: bool) -> Barrier:
        key = self.arm.experiment, self.arm.name
        self._check_lease()
        self._snapshots.save(*key, version, step.snapshot)
        barrier = Barrier(
            experiment=key[0],
            arm=key[1],
            version=version,
            seq=now.seq,
            time_ms=now.time_ms,
            snapshot_hash=step.snapshot.content_hash,
            created_at=self._clock.now_ms(),
            genesis=genesis,
        )
        self._check_lease()
        self._barriers.append(barrier)
        self._newest = barrier.snapshot_hash, step.snapshot
        self._thin()
        return barrier

    def _thin(self) -> None:
        """Delete old snapshots, now and then; what fails is tried again, and fails no barrier."""
        if self._until_thin > 0:
            self._until_thin -= 1
            return
        self._until_thin = THIN_EVERY - 1
        keep, days = self._keep
        try:
            gone = thin_snapshots(
                self.arm.experiment,
                self.arm.name,
                barriers=self._barriers,
                snapshots=self._snapshots,
                keep=keep,
                days=days,
            )
        except (OSError, LogUnavailableError) as error:
            _LOG.warning("old snapshots of %s stay: %s", self.arm.label, error)
        else:
            _LOG.debug("%d old snapshots of %s were thinned out", gone, self.arm.label)

    def _state(self, last: Barrier) -> Snapshot:
        if self._newest is not None and self._newest[0] == last.snapshot_hash:
            return self._newest[1]
        found = self._snapshots.load(last.experiment, last.arm, last.version)
        if found.content_hash != last.snapshot_hash:
            raise SnapshotError(
                f"snapshot {last.version} of {self.arm.label} must be {last.snapshot_hash}, as its "
                f"barrier says, got {found.content_hash}"
            )
        self._newest = last.snapshot_hash, found
        return found

    def _day_count(self) -> DayCount:
        if self._days is None:
            self._days = day_count(self.arm, self._barriers.all(self.arm.experiment, self.arm.name))
        return self._days

    def _check_lease(self) -> None:
        if not self._lease.held(self.lease_name):
            raise LeaseLostError(f"{self.arm.label} is learned by another process")


def day_count(arm: LearningArm, barriers: Sequence[Barrier]) -> DayCount:
    """How an arm counts days.

    Args:
        arm: which.
        barriers: of the arm, from version 0.

    Raises:
        ConfigError: if the arm did not begin with the state of its bundle.
    """
    if barriers[0].version != 0 or barriers[0].snapshot_hash != arm.genesis.content_hash:
        raise ConfigError(
            f"{arm.label} began with the snapshot {barriers[0].snapshot_hash}, and its bundle now "
            f"holds {arm.genesis.content_hash}: another state needs another arm"
        )
    return DayCount(barriers[0].time_ms, first_day(arm.genesis))


def lease_name(experiment: str, arm: str) -> str:
    """Name of the lease of an arm."""
    return f"learner-{experiment}-{arm}"
