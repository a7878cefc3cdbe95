"""Have a simulated experiment learned up to a time, and served as learned, before it goes on.

The learner is another process, as ever: it is asked by the control database, and what it made is
taken up here at once, not when the next look would find it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from matinee_platform.experiments.lifecycle import State
from matinee_platform.service.errors import ConflictError, InvalidError
from matinee_platform.service.parts import ExperimentState
from matinee_platform.storage.learning_asks import LearningAsk
from matinee_platform.storage.ports import BarrierStore

WAIT_SECONDS = 2.0
"""How long a request waits; who asks again waits on."""

_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class LearnedArm:
    """An arm of a simulated experiment.

    Attributes:
        arm: name.
        reached: whether every window that ended by the time was learned.
        version: of its newest snapshot by that time, -1 before any.
        snapshot_hash: of its content.
    """

    arm: str
    reached: bool
    version: int
    snapshot_hash: str


class Asks(Protocol):
    """Of `SqlLearningAsks`, what is asked here; its calls belong to threads."""

    def ask(self, experiment: str, arms: Sequence[str], time_ms: int) -> None:
        """See `SqlLearningAsks`."""

    def of(self, experiment: str) -> list[LearningAsk]:
        """See `SqlLearningAsks`."""


class LearnUntil:
    """Asks the learner, waits for it, and has its snapshots taken up.

    Args:
        experiment: reads an experiment; called in a thread.
        asks: to the learner.
        barriers: of the learner.
        take_up: serves the newest snapshots of an experiment from now on.
        wait_seconds: see `WAIT_SECONDS`.
    """

    def __init__(
        self,
        experiment: Callable[[str], ExperimentState],
        *,
        asks: Asks,
        barriers: BarrierStore,
        take_up: Callable[[str], Awaitable[None]],
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._experiment = experiment
        self._asks, self._barriers = asks, barriers
        self._take_up = take_up
        self._wait = wait_seconds

    async def __call__(self, key: str, time_ms: int) -> list[LearnedArm]:
        """The arms of an experiment, learned up to a time or, if that takes long, not yet.

        Raises:
            UnknownExperimentError: there is none of this key.
            InvalidError: it is not simulated, or the time is before its first day.
            ConflictError: it has never run.
        """
        found = await asyncio.to_thread(self._experiment, key)
        check_time(found, time_ms)
        names = [arm.name for arm in found.definition.arms]
        await asyncio.to_thread(self._asks.ask, key, names, time_ms)
        until = time.monotonic() + self._wait
        while not await asyncio.to_thread(self._reached, key, time_ms):
            if time.monotonic() >= until:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        else:
            await self._take_up(key)
        return await asyncio.to_thread(self._told, key, names, time_ms)

    def _reached(self, key: str, time_ms: int) -> bool:
        return all(_is_reached(one, time_ms) for one in self._asks.of(key))

    def _told(self, key: str, names: Sequence[str], time_ms: int) -> list[LearnedArm]:
        reached = {one.arm: _is_reached(one, time_ms) for one in self._asks.of(key)}
        told = []
        for name in names:
            # Of that time: whoever lives a day again is told what he was told before.
            by_then = [one for one in self._barriers.all(key, name) if one.time_ms <= time_ms]
            last = by_then[-1] if by_then else None
            told.append(
                LearnedArm(
                    name,
                    reached[name],
                    -1 if last is None else last.version,
                    "" if last is None else last.snapshot_hash,
                )
            )
        return told


def check_time(found: ExperimentState, time_ms: int) -> None:
    """Refuse to learn up to a time that is none of the experiment's.

    Raises:
        InvalidError: it is not simulated, or the time is before its first day.
        ConflictError: it has never run.
    """
    definition = found.definition
    if definition.simulated is None:
        raise InvalidError(
            f"at: experiment {definition.key!r} is not marked simulated, so its learner goes by "
            "the clock"
        )
    if time_ms < definition.simulated.start_ms:
        raise InvalidError(
            f"at: it must not be before the first day of experiment {definition.key!r}, "
            f"{definition.simulated.start_ms} in UTC milliseconds, got {time_ms}"
        )
    if found.state == State.CREATED:
        raise ConflictError(f"experiment {definition.key!r} must be started before it learns")


def _is_reached(ask: LearningAsk, time_ms: int) -> bool:
    return ask.reached_ms is not None and ask.reached_ms >= time_ms
