"""Old snapshots are thinned out; what stays serves, replays, and rebuilds every other."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from matinee_platform.clock import FakeClock
from matinee_platform.learning.decide_again import decide_one_again
from matinee_platform.learning.live_learner import THIN_EVERY, LiveLearner, lease_name
from matinee_platform.learning.rebuilt_state import state_of
from matinee_platform.learning.replay_arm import replay_live_arm
from matinee_platform.learning.testing_live import (
    ExampleTraffic,
    MemoryBarriers,
    MemoryLeases,
    MemorySnapshots,
    example_arm,
)
from matinee_platform.learning.thin_snapshots import spare_versions, thin_snapshots
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_platform.storage.control_database import control_url, open_engine, upgrade
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.memory_log import MemoryAppender, MemoryLog, MemoryReader
from matinee_platform.storage.ports import SnapshotStore
from matinee_platform.storage.records import Barrier, LoggedDecision, ServedBy
from matinee_platform.storage.snapshot_store import FolderSnapshotStore, SqlSnapshotStore
from matinee_platform.storage.testing_control import example_barrier, example_snapshot
from matinee_policies.errors import ConfigError, SnapshotError
from matinee_policies.snapshot_signature import SigningKeys

_HOUR = 3_600_000
_START = 491_000 * _HOUR
_KEYS = SigningKeys({"ours": bytes(range(32))})


def _barrier(version: int, *, minutes: float, genesis: bool = False) -> Barrier:
    made = example_barrier("home", version=version, genesis=genesis or version == 0)
    return replace(made, created_at=_START + round(60_000 * minutes))


def test_first_of_each_hour_and_every_genesis_stay() -> None:
    made = [_barrier(n, minutes=20.0 * n, genesis=n == 4) for n in range(9)]
    now = made[-1].created_at
    assert spare_versions(made, now_ms=now, days=90) == [1, 2, 5, 7, 8]
    # What is left gives the same answer again.
    left = [one for one in made if one.version in (0, 3, 4, 6)]
    assert spare_versions(left, now_ms=now, days=90) == []
    assert spare_versions(left, now_ms=_START + 90 * 24 * _HOUR + 7_000_000, days=90) == [3]
    assert spare_versions(left, now_ms=now + 91 * 24 * _HOUR, days=90) == [3, 6]


class Died(BaseException):
    """Nothing may catch this."""


class _Frail:
    """A snapshot store whose process dies within a deletion, after some files."""

    def __init__(self, inner: SnapshotStore) -> None:
        self.save, self.load, self.versions = inner.save, inner.load, inner.versions
        self._inner = inner

    def delete(self, experiment: str, arm: str, versions: Iterable[int]) -> None:
        self._inner.delete(experiment, arm, list(versions)[:2])
        raise Died


@pytest.mark.parametrize("kind", ["folder", "sql"])
def test_a_store_keeps_what_must_stay(kind: str, tmp_path: Path) -> None:
    url = control_url(tmp_path, "sqlite")
    upgrade(url)
    engine = open_engine(url)
    barriers = SqlBarrierStore(engine, clock=FakeClock())
    store: SnapshotStore = SqlSnapshotStore(engine, keys=_KEYS)
    if kind == "folder":
        store = FolderSnapshotStore(tmp_path / "snapshots", keys=_KEYS)

    def thin(keep: int, snapshots: SnapshotStore = store) -> int:
        return thin_snapshots(
            "home", "new", barriers=barriers, snapshots=snapshots, keep=keep, days=90
        )

    assert thin(1) == 0
    for version in range(12):
        snapshot = example_snapshot(version)
        store.save("home", "new", version, snapshot)
        barrier = _barrier(version, minutes=20.0 * version, genesis=version == 4)
        barriers.append(replace(barrier, snapshot_hash=snapshot.content_hash))
    # Of another arm; and one that a learner has stored and not named yet.
    store.save("home", "old", 1, example_snapshot(0.0))
    store.save("home", "new", 12, example_snapshot(12.0))
    with pytest.raises(ConfigError, match=">= 1, got 0"):
        thin(0)
    assert thin(12) == 0
    with pytest.raises(Died):
        thin(3, _Frail(store))
    assert store.versions("home", "new") == [0, *range(3, 13)], "oldest first"
    assert thin(3) == 3
    assert thin(3) == 0
    assert store.versions("home", "new") == [0, 3, 4, 6, 9, 10, 11, 12]
    assert store.versions("home", "old") == [1]
    for version in (0, 11):
        found = store.load("home", "new", version)
        assert found.content_hash == barriers.named("home", "new", [version])[0].snapshot_hash
    assert [one.version for one in barriers.named("home", "new", [5, 1, 99, 1])] == [1, 5]
    engine.dispose()


class _Service:
    """One arm under traffic, whose learner thins."""

    def __init__(self, *, seed: int) -> None:
        self.arm, self.clock = example_arm(), FakeClock(_START)
        self.log, self.barriers = MemoryLog(), MemoryBarriers()
        self.snapshots = MemorySnapshots()
        self.traffic = ExampleTraffic(self.arm, clock=self.clock, seed=seed)
        self.learner = self.start()
        self.learner.advance()

    def start(self) -> LiveLearner:
        lease = MemoryLeases().of()
        assert lease.acquire(lease_name(self.arm.experiment, self.arm.name))
        return LiveLearner(
            self.arm,
            reader=MemoryReader(self.log),
            barriers=self.barriers,
            snapshots=self.snapshots,
            lease=lease,
            clock=self.clock,
            keep_snapshots=4,
            keep_days=1,
        )

    def serve(self, barriers: int, *, seconds: float) -> None:
        """Traffic with a barrier after each, in the newest state."""
        appender = MemoryAppender(self.log, windows=lambda _: self.arm.windows_ms)

        async def append() -> None:
            for record in self.traffic.decide(3):
                await appender.append_decision(record)
            await appender.append_rewards(self.traffic.rewards(6))

        for _ in range(barriers):
            asyncio.run(append())
            self.clock.advance(seconds=seconds)
            made = self.learner.advance().barrier
            state = self.snapshots.load("home", "new", made.version)
            self.traffic.swap(made.version, state)

    def state(self, version: int) -> str:
        found = state_of(
            self.arm,
            version,
            reader=MemoryReader(self.log),
            barriers=self.barriers,
            snapshots=self.snapshots,
        )
        return found.content_hash

    def again(self, decision: LoggedDecision) -> bool:
        found = decide_one_again(
            self.arm,
            decision,
            reader=MemoryReader(self.log),
            barriers=self.barriers,
            snapshots=self.snapshots,
        )
        return bool(found.equal.all())


def test_a_thinned_state_is_rebuilt_and_its_decisions_come_out_again() -> None:
    service = _Service(seed=3)
    service.serve(30, seconds=600.0)
    assert len(service.snapshots.kept) == len(service.barriers.all("home", "new")) > 25, (
        "none was old at the learner's first barrier"
    )
    service.learner = service.start()
    service.serve(1, seconds=600.0)
    made = service.barriers.all("home", "new")
    kept = service.snapshots.versions("home", "new")
    assert kept[-4:] == [one.version for one in made[-4:]]
    hours = {one.created_at // _HOUR for one in made[:-4]}
    assert len(kept) == 4 + len(hours), "version 0 is the first of its hour"
    gone = sorted({one.version for one in made} - set(kept))
    assert len(gone) > 15
    assert [service.state(one) for one in gone] == [made[one].snapshot_hash for one in gone]
    assert service.state(kept[2]) == made[kept[2]].snapshot_hash
    chosen = [
        one
        for one in service.log.decisions
        if one.record.served_by == ServedBy.POLICY and one.record.snapshot in gone
    ]
    assert len(chosen) > 20
    assert all(service.again(one) for one in chosen[::4])
    found = replay_live_arm(
        service.arm,
        reader=MemoryReader(service.log),
        barriers=service.barriers,
        snapshots=service.snapshots,
    )
    assert found.passed, found
    assert found.equal == found.barriers == len(made)


def test_a_state_that_cannot_be_rebuilt_is_told_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    service = _Service(seed=4)
    service.serve(12, seconds=600.0)
    last = service.barriers.last("home", "new")
    assert last is not None
    service.snapshots.delete("home", "new", range(1, last.version))
    with pytest.raises(SnapshotError, match=r"snapshot 99 of home/new was thinned .*no barrier"):
        service.state(99)
    monkeypatch.setattr("matinee_platform.learning.rebuilt_state.MOST_STEPS", 5)
    with pytest.raises(SnapshotError, match=r"kept before it is 0.*replay --verify"):
        service.state(6)
    assert service.state(5) == service.barriers.named("home", "new", [5])[0].snapshot_hash
    learned = next(
        n for n, one in enumerate(service.log.decisions) if one.record.served_by == ServedBy.POLICY
    )
    row = service.log.decisions[learned]
    other = np.frombuffer(row.record.unit_state, dtype=np.float32) + np.float32(0.5)
    service.log.decisions[learned] = replace(
        row, record=replace(row.record, unit_state=other.tobytes())
    )
    with pytest.raises(SnapshotError, match="comes out otherwise now"):
        service.state(5)


def test_thinning_that_fails_fails_no_barrier_and_is_tried_again() -> None:
    service = _Service(seed=5)
    tries: list[int] = []

    class Away(MemorySnapshots):
        def versions(self, experiment: str, arm: str) -> list[int]:
            tries.append(1)
            raise LogUnavailableError("the database is away")

    away = Away()
    away.kept = service.snapshots.kept
    service.snapshots = away
    service.learner = service.start()
    service.serve(THIN_EVERY + 2, seconds=40.0)
    last = service.barriers.last("home", "new")
    assert last is not None
    assert last.version > THIN_EVERY
    assert len(tries) == 2
