"""Log, stores and traffic of one arm, and learners of it that can die at any call, for tests."""

# ruff: noqa: D102, S101 -- names say what they are for; they assert

import asyncio
from typing import Any

import numpy as np

from matinee_platform.clock import FakeClock
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_learner import LiveLearner, lease_name
from matinee_platform.learning.replay_arm import replay_live_arm
from matinee_platform.learning.testing_live import (
    ExampleTraffic,
    MemoryBarriers,
    MemoryLeases,
    MemorySnapshots,
)
from matinee_platform.storage.memory_log import MemoryAppender, MemoryLog, MemoryReader
from matinee_platform.storage.records import ServedBy


class Died(BaseException):
    """Nothing in the learner may catch this, as nothing catches kill -9."""


class Fragile:
    """Passes calls on until it dies, before or after a call took effect."""

    def __init__(self, inner: Any, fuse: "Fuse") -> None:
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*args: Any, **options: Any) -> Any:
            self._fuse.burn()
            answer = method(*args, **options)
            self._fuse.burn()
            return answer

        return call


class Fuse:
    """Burns down with each call; `left` is None for one that does not burn."""

    def __init__(self) -> None:
        self.left: int | None = None

    def burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Died


class World:
    """Log, stores and traffic of one arm."""

    def __init__(self, arm: LearningArm, *, seed: int) -> None:
        self.arm, self.clock = arm, FakeClock()
        self.log, self.barriers = MemoryLog(), MemoryBarriers()
        self.snapshots, self.leases = MemorySnapshots(), MemoryLeases()
        self.traffic = ExampleTraffic(arm, clock=self.clock, seed=seed)
        self.fuse = Fuse()
        self._appender = MemoryAppender(self.log, windows=lambda _: arm.windows_ms)

    def learner(self, *, lease: Any = None) -> LiveLearner:
        """A learner in a process of its own; it holds the lease unless it is given another."""
        if lease is None:
            self.leases.holder.clear()
            lease = self.leases.of()
            assert lease.acquire(lease_name(self.arm.experiment, self.arm.name))
        return LiveLearner(
            self.arm,
            reader=Fragile(MemoryReader(self.log), self.fuse),
            barriers=Fragile(self.barriers, self.fuse),
            snapshots=Fragile(self.snapshots, self.fuse),
            lease=lease,
            clock=self.clock,
        )

    def go_on(self, n: int = 5, *, seconds: float = 20.0) -> None:
        """Some traffic, and time."""

        async def append() -> None:
            for record in self.traffic.decide(n):
                await self._appender.append_decision(record)
            await self._appender.append_rewards(self.traffic.rewards(2 * n))

        asyncio.run(append())
        self.clock.advance(seconds=seconds)

    def everything_is_learned_once(self) -> None:
        """Every window is closed: rows count each item shown once, and replay gives the same."""
        rows = [
            np.frombuffer(one.record.slate, dtype=np.int32)
            for one in self.log.decisions
            if one.record.served_by != ServedBy.FALLBACK
        ]
        items = sum(int((slate >= 0).sum()) for slate in rows)
        last = self.barriers.last("home", "new")
        assert last is not None
        state = self.snapshots.load("home", "new", last.version)
        assert state.content_hash == last.snapshot_hash
        assert state.manifest["rows"] == items
        found = replay_live_arm(
            self.arm,
            reader=MemoryReader(self.log),
            barriers=self.barriers,
            snapshots=self.snapshots,
        )
        assert found.passed, found
