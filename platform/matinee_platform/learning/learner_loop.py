"""The learner process: look after look at every arm, one after another.

An arm whose learning fails is left alone for a while and holds up no other. What is learned, and
when, is for `live_learner.py`.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event

from matinee_platform.clock import Clock
from matinee_platform.learning.barrier_step import Step
from matinee_platform.learning.learner_status import ArmState, ArmStatus, LearnerStatus
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_learner import LiveLearner, Progress, lease_name
from matinee_platform.reward_events import EventCounts
from matinee_platform.storage.errors import LeaseLostError, LogUnavailableError
from matinee_platform.storage.ports import Lease
from matinee_policies.errors import MatineeError

_LOG = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds for which an arm that failed is left alone: they double from the first to the longest."""

_BEATS_SECONDS = 1.0
_ASKED_SECONDS = 0.05
"""Between two questions for barriers that are asked for, where there are simulated arms."""


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """An arm to learn.

    Attributes:
        experiment: key.
        name: of the arm.
        load: gives it, bundle and all; called once it is ours to learn.
        is_simulated: whether its barriers are asked for, and no clock tells when.
    """

    experiment: str
    name: str
    load: Callable[[], LearningArm]
    is_simulated: bool = False


@dataclass(slots=True)
class _Seat:
    """An arm in this process.

    Attributes:
        learner: None until the lease is ours.
        progress: of the last look.
        pause: seconds, 0 while all is well.
        retry_at: when to look again, monotonic seconds.
    """

    learner: LiveLearner | None = None
    progress: Progress | None = None
    learned: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    refused_noted: int = 0
    refused_ranges: int = 0
    events: dict[str, EventCounts] = field(default_factory=dict)
    unlearned: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    delay_seconds: float = 0.0
    state: ArmState = "waiting"
    reason: str = ""
    pause: float = 0.0
    retry_at: float = 0.0


class LearnerLoop:
    """Learns all arms that nobody else learns.

    Args:
        plans: the arms as they are now, asked before each look.
        make: makes the learner of an arm.
        leases: of this process; one per arm, taken before its bundle is loaded.
        report: told how things are, after each arm.
        clock: of the service, for what others read.
        asked: whether barriers of simulated arms are asked for; only asked where there are any.
        now: monotonic seconds, for pauses and beats: a clock that is set makes none longer.
    """

    def __init__(
        self,
        *,
        plans: Callable[[], Sequence[ArmPlan]],
        make: Callable[[LearningArm, Callable[[], None]], LiveLearner],
        leases: Lease,
        report: Callable[[LearnerStatus], None],
        clock: Clock,
        asked: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plans, self._make = plans, make
        self._leases = leases
        self._report = report
        self._clock = clock
        self._now = now
        self._asked = asked
        self._simulated: list[ArmPlan] = []
        self._seats: dict[tuple[str, str], _Seat] = {}
        self._beats = 0
        self._beat_at = -_BEATS_SECONDS

    def run(self, stop: Event, *, every_seconds: float) -> None:
        """Look again and again until `stop` is set."""
        while not stop.is_set():
            started = time.monotonic()
            self.look()
            until = started + every_seconds
            while not stop.is_set() and (left := until - time.monotonic()) > 0.0:
                stop.wait(min(left, _ASKED_SECONDS) if self._simulated else left)
                self._look_if_asked()

    def look(self) -> LearnerStatus:
        """Look at every arm once."""
        try:
            plans = self._plans()
        except LogUnavailableError as error:
            _LOG.warning("the arms cannot be read: %s", error)
            return self._tell()
        wanted = {(plan.experiment, plan.name) for plan in plans}
        for key in [key for key in self._seats if key not in wanted]:
            self._leases.release(lease_name(*key))
            del self._seats[key]
        self._simulated = [plan for plan in plans if plan.is_simulated]
        self._look_at_all(plans)
        return self._tell()

    def release(self) -> None:
        """Give all leases back."""
        for key in self._seats:
            self._leases.release(lease_name(*key))
        self._seats.clear()

    def _look_if_asked(self) -> None:
        """Look at simulated arms between two looks: whoever drives their users waits."""
        try:
            if self._simulated and self._asked():
                self._look_at_all(self._simulated)
        except LogUnavailableError as error:
            _LOG.warning("what is asked of simulated arms cannot be read: %s", error)

    def _look_at_all(self, plans: Sequence[ArmPlan]) -> None:
        for plan in plans:
            seat = self._seats.setdefault((plan.experiment, plan.name), _Seat())
            if seat.pause == 0.0 or self._now() >= seat.retry_at:
                self._look_at(plan, seat)
            self._tell()

    def _look_at(self, plan: ArmPlan, seat: _Seat) -> None:
        label = f"{plan.experiment}/{plan.name}"
        try:
            if not self._take(plan, seat):
                seat.state = "waiting"
                return
            assert seat.learner is not None  # noqa: S101 - for the type checker
            started = time.monotonic()
            progress = seat.learner.advance()
            _note(
                seat,
                progress,
                seconds=time.monotonic() - started,
                is_simulated=plan.is_simulated,
            )
            _tell_refused(label, progress)
        except LeaseLostError as error:
            _LOG.warning("%s: %s", label, error)
            seat.learner, seat.state = None, "waiting"
            self._leases.release(lease_name(plan.experiment, plan.name))
        except LogUnavailableError as error:
            _LOG.warning("%s: %s", label, error)
            self._pause(seat, str(error), longest=FIRST_PAUSE)
        except MatineeError as error:
            # It says what is wrong and where: a missing bundle, say.
            self._pause(seat, str(error), longest=LONGEST_PAUSE)
            _LOG.warning("%s cannot be learned, next try in %.0f s: %s", label, seat.pause, error)
        except Exception as error:
            # A policy of the user's own may raise anything; the other arms go on.
            _LOG.exception("%s cannot be learned", label)
            self._pause(seat, f"{type(error).__name__}: {error}", longest=LONGEST_PAUSE)

    def _take(self, plan: ArmPlan, seat: _Seat) -> bool:
        """Whether the arm is ours, with its learner at hand.

        What cannot be loaded here, where its bundle may be missing, is left to others.
        """
        if seat.learner is not None:
            return True
        lease = lease_name(plan.experiment, plan.name)
        if not self._leases.acquire(lease):
            return False
        try:
            arm = plan.load()
            arm.check()
            seat.learner = self._make(arm, self.beat)
        except Exception:
            self._leases.release(lease)
            raise
        return True

    def _pause(self, seat: _Seat, reason: str, *, longest: float) -> None:
        seat.state, seat.reason = "failed", reason
        seat.pause = min(longest, max(FIRST_PAUSE, 2.0 * seat.pause))
        seat.retry_at = self._now() + seat.pause

    def beat(self) -> None:
        """Tell of life, once a second at most."""
        if self._now() - self._beat_at >= _BEATS_SECONDS:
            self._tell()

    def _tell(self) -> LearnerStatus:
        self._beats += 1
        self._beat_at = self._now()
        arms = tuple(_status(key, seat) for key, seat in sorted(self._seats.items()))
        status = LearnerStatus(
            process=os.getpid(), beat_ms=self._clock.now_ms(), beats=self._beats, arms=arms
        )
        self._report(status)
        return status


def _note(seat: _Seat, progress: Progress, *, seconds: float, is_simulated: bool) -> None:
    """Take down what a look came to."""
    seat.progress, seat.state, seat.reason = progress, "learning", ""
    seat.pause = 0.0
    step: Step | None = progress.step
    seat.unlearned.update(progress.unlearned)
    if not progress.is_new or step is None:
        return
    seat.seconds = seconds
    seat.learned.update(step.learned)
    seat.refused.update(step.refused)
    seat.refused_noted, seat.refused_ranges = step.noted, step.ranges
    for component, counts in step.counts.items():
        seat.events[component] = seat.events.get(component, EventCounts()) + counts
    # From a time of simulated users to a time of the clock there is no delay to tell of.
    if step.oldest_close is not None and not is_simulated:
        seat.delay_seconds = (progress.barrier.created_at - step.oldest_close) / 1_000.0


def _tell_refused(label: str, progress: Progress) -> None:
    """A line for each barrier that left decisions out; what they held is for the log to show."""
    step = progress.step
    if not progress.is_new or step is None or not step.refusal:
        return
    found = ", ".join(f"{n} of {name}" for name, n in step.refused.items() if n)
    _LOG.warning("%s left out decisions that cannot be learned: %s: %s", label, found, step.refusal)


def _status(key: tuple[str, str], seat: _Seat) -> ArmStatus:
    progress = seat.progress
    return ArmStatus(
        experiment=key[0],
        arm=key[1],
        state=seat.state,
        version=-1 if progress is None else progress.barrier.version,
        caught_up_ms=0 if progress is None else progress.caught_up_ms,
        learned=dict(seat.learned),
        refused=dict(seat.refused),
        refused_noted=seat.refused_noted,
        refused_ranges=seat.refused_ranges,
        events={
            name: {
                "joined": one.joined,
                "late": one.late,
                "duplicate": one.duplicate,
                "orphan": one.orphan,
                "early": one.early,
                "unlearned": seat.unlearned[name],
            }
            for name in sorted(seat.events.keys() | seat.unlearned.keys())
            for one in (seat.events.get(name, EventCounts()),)
        },
        seconds=seat.seconds,
        delay_seconds=seat.delay_seconds,
        reason=seat.reason,
    )
