"""Forgetting, retention, backup and export on real databases, beside a log at work."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.clock import FakeClock
from matinee_platform.experiments.definition import HOLDOUT_ARM
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.maintenance.backup import back_up, check_backup
from matinee_platform.maintenance.caretaker import MAINTENANCE
from matinee_platform.maintenance.removal import Removed, SqlEventEraser, open_events
from matinee_platform.maintenance.testing_place import ADA, SECRET, Place, opened, some_rows
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.audit_log import AuditLog
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.errors import LogBusyError, LogUnavailableError
from matinee_platform.storage.event_log import make_event_log
from matinee_platform.storage.lease import FileLease
from matinee_platform.storage.snapshot_store import FolderSnapshotStore
from matinee_platform.storage.testing_control import (
    example_barrier,
    example_experiment,
    example_snapshot,
)
from matinee_platform.storage.testing_events import (
    START_MS,
    example_decision,
    example_reward,
    windows,
)
from matinee_policies.errors import ConfigError, DataError
from matinee_policies.snapshot_signature import SigningKeys

KEYS = SigningKeys({"ours": SECRET})
DAY_MS = 86_400_000


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Place]:
    database = "sqlite"
    if request.param == "postgres":
        database = request.getfixturevalue("postgres_address")
    yield from opened(tmp_path, database, clock)


@pytest.fixture
def local(tmp_path: Path, clock: FakeClock) -> Iterator[Place]:
    yield from opened(tmp_path, "sqlite", clock)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START_MS + 100 * DAY_MS)


def test_forgetting_removes_a_unit_and_nothing_else(place: Place) -> None:
    decisions, rewards = some_rows("forget")
    place.append(decisions, rewards)
    last_seq = place.last_seq()
    barriers = SqlBarrierStore(place.control, clock=place.clock)
    for arm in ("new", "old"):
        barriers.append(example_barrier("forget", version=0, arm=arm, genesis=True))
    gone: list[tuple[int, int]] = []
    removed = place.caretaker(forgotten=lambda *one: gone.append(one)).forget("ada", who="officer")
    hers = {one.decision_id for one in decisions if one.unit == ADA}
    assert removed == Removed(len(hers), sum(one.decision_id in hers for one in rewards))
    assert removed.rewards > 0
    kept = [one for one in decisions if one.unit != ADA]
    assert place.rows() == (kept, [one for one in rewards if one.decision_id not in hers])
    assert gone == [(ADA, last_seq)] * 2, "before and after"
    # Places are never given again.
    assert place.last_seq() == last_seq
    assert barriers.genesis_due("forget", "new")
    assert barriers.genesis_due("forget", "old")
    assert not barriers.genesis_due("forget", HOLDOUT_ARM)
    audit = AuditLog(place.control, clock=place.clock)
    (entry,) = audit.entries(subject=f"{ADA:016x}")
    assert audit.entries()[-1].action == "data.settle"
    assert (entry.who, entry.action, entry.at) == ("officer", "data.forget", place.clock.now_ms())
    assert entry.details == {
        "decisions": removed.decisions,
        "rewards": removed.rewards,
        "arms": ["forget/holdout", "forget/new", "forget/old"],
    }
    assert "ada" not in repr(audit.entries())


def test_forgetting_twice_finds_nothing(place: Place) -> None:
    place.append(*some_rows("twice"))
    barriers = SqlBarrierStore(place.control, clock=place.clock)
    barriers.append(example_barrier("twice", version=0, arm="new", genesis=True))
    caretaker = place.caretaker()
    caretaker.forget("ada", who="officer")
    barriers.append(example_barrier("twice", version=1, arm="new", genesis=True))
    rows = place.rows()
    assert caretaker.forget("ada", who="officer") == Removed()
    assert caretaker.forget("nobody", who="officer") == Removed()
    assert place.rows() == rows
    assert not barriers.genesis_due("twice", "new")


def test_retention_keeps_to_the_day(place: Place) -> None:
    decisions, rewards = some_rows("retain")
    stray = example_reward(900, decision=999, received_at=START_MS)
    late = example_reward(901, decision=998, received_at=START_MS + 60_000)
    early = example_reward(902, decision=50, slot=2, received_at=START_MS)
    place.append(decisions, [*rewards, stray, late, early])
    ControlStore(place.control, clock=place.clock).create(example_experiment(), who="ada")
    caretaker = place.caretaker()
    before_ms = decisions[20].decided_at
    removed = caretaker.retain(before_ms=before_ms, who="cron")
    assert removed == Removed(20, 21)
    kept = [one for one in rewards if one.decision_id >= 20]
    assert place.rows() == (decisions[20:], [*kept, late, early])
    barriers = SqlBarrierStore(place.control, clock=place.clock)
    assert barriers.genesis_due("retain", "new")
    assert barriers.genesis_due("retain", "old")
    audit = AuditLog(place.control, clock=place.clock)
    told = [one for one in audit.entries() if one.details.get("before_ms") == before_ms]
    assert [(one.who, one.action) for one in told] == [("cron", "data.retain")]
    for version in (0, 1):
        barriers.append(example_barrier("retain", version=version, genesis=True))
    assert caretaker.retain(before_ms=before_ms, who="cron") == Removed()
    assert not barriers.genesis_due("retain", "new")
    assert [one.action for one in audit.entries()[-2:]] == ["data.retain", "data.settle"]
    # A day later the same number of days reaches further.
    assert caretaker.retain(before_ms=before_ms + 10_000, who="cron") == Removed(10, 10)


def test_open_windows_are_kept(local: Place) -> None:
    control = ControlStore(local.control, clock=local.clock)
    definition = example_experiment()
    control.create(definition, who="ada")
    days = max(definition.windows_ms()) // DAY_MS + 1
    latest = local.clock.now_ms() - days * DAY_MS
    with pytest.raises(ConfigError, match=f"{days} days, got"):
        local.caretaker().retain(before_ms=latest + 1, who="cron")
    # Somebody asked for a day .9 seconds ago.
    with pytest.raises(ConfigError, match=f"{days} days, got 1$"):
        local.caretaker().retain(before_ms=local.clock.now_ms() - DAY_MS - 900, who="cron")
    assert local.caretaker().retain(before_ms=latest, who="cron") == Removed()


def test_one_maintenance_at_a_time(local: Place) -> None:
    lease = FileLease(local.settings.data_dir)
    assert lease.acquire(MAINTENANCE)
    with pytest.raises(LogBusyError, match="at work"):
        local.caretaker().forget("ada", who="officer")
    lease.release(MAINTENANCE)
    with pytest.raises(LogBusyError, match="3 wait"):
        local.caretaker(spooled=lambda: 3).forget("ada", who="officer")
    assert local.caretaker().forget("ada", who="officer") == Removed()


class Load:
    """Appends decisions and rewards from a thread, until told to stop."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stop = threading.Event()
        self.begun = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    def __enter__(self) -> "Load":
        self._thread.start()
        assert self.begun.wait(60)
        return self

    def goes_on(self) -> None:
        """Wait for another round, which failed if it never comes."""
        self.begun.clear()
        assert self.begun.wait(60)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    async def _main(self) -> None:
        log = await make_event_log(self._place.settings, windows=windows)
        number = 0
        while not self._stop.is_set():
            some = range(number, number + 50)
            await asyncio.gather(
                *(log.appender.append_decision(example_decision(one)) for one in some)
            )
            await log.appender.append_rewards([example_reward(one, decision=one) for one in some])
            number += 50
            self.begun.set()
        await log.appender.close()
        log.reader.close()


def test_forgetting_beside_the_appender(local: Place) -> None:
    """As the admin route does it: in the process that appends, which goes on undisturbed."""
    local.append([example_decision(number, unit=ADA) for number in range(10**6, 10**6 + 500)], [])
    eraser = SqlEventEraser(local.events)
    with Load(local) as load:
        before = local.last_seq()
        removed = eraser.erase_unit("home", "new", ADA) + eraser.erase_unit("home", "old", ADA)
        load.goes_on()
    assert removed == Removed(500, 0)
    assert local.last_seq() > before
    decisions, rewards = local.rows()
    assert ADA not in {one.unit for one in decisions}
    assert len(decisions) + len(rewards) == local.last_seq() - 500


def test_backup_under_load_is_consistent(local: Place, tmp_path: Path) -> None:
    snapshots = FolderSnapshotStore(local.settings.data_dir / "snapshots", keys=KEYS)
    barriers = SqlBarrierStore(local.control, clock=local.clock)
    bundle = local.settings.data_dir / "bundles" / "new" / "bundle.json"
    bundle.parent.mkdir(parents=True)
    bundle.write_text("{}")
    (local.settings.data_dir / "secret").write_text("00" * 32)
    reader = local.reader()
    with Load(local):
        for version in range(3):
            snapshot = example_snapshot(version)
            snapshots.save("home", "new", version, snapshot)
            barrier = example_barrier("home", version=version, seq=reader.last_seq())
            barriers.append(replace(barrier, snapshot_hash=snapshot.content_hash))
            before = reader.last_seq()
            target = tmp_path / f"backup{version}"
            facts = back_up(local.settings.data_dir, target, clock=local.clock)
            assert before <= facts.last_seq <= reader.last_seq()
            assert facts.decisions + facts.rewards == facts.last_seq
            assert check_backup(target, keys=KEYS) == facts
    assert not list(tmp_path.glob("*/secret"))
    assert (target / "bundles" / "new" / "bundle.json").is_file()
    # A service starts on the copy, and goes on where it ends.
    copy = Place(
        ServiceSettings(data_dir=target, experiments=[]), local.control, local.events, local.clock
    )
    decisions, rewards = copy.rows()
    own = local.rows()
    assert decisions == own[0][: len(decisions)]
    assert rewards == own[1][: len(rewards)]
    copy.append([example_decision(10**6)], [])
    assert copy.last_seq() == facts.last_seq + 1
    reader.close()


def test_a_bad_backup_is_told(local: Place, tmp_path: Path) -> None:
    local.append(*some_rows("backup"))
    target = tmp_path / "backup"
    back_up(local.settings.data_dir, target, clock=local.clock)
    with pytest.raises(ConfigError, match="must be new"):
        back_up(local.settings.data_dir, target, clock=local.clock)
    with pytest.raises(ConfigError, match=r"must hold events\.sqlite"):
        back_up(tmp_path / "nowhere", tmp_path / "other", clock=local.clock)

    def damaged(name: str, change: Callable[[bytes], bytes], reason: str) -> None:
        path = target / name
        content = path.read_bytes()
        path.write_bytes(change(content))
        with pytest.raises(DataError, match=reason):
            check_backup(target)
        path.write_bytes(content)
        check_backup(target)

    damaged("events.sqlite", lambda old: old[:5_000] + b"x" + old[5_001:], "SHA-256")
    damaged("control.sqlite", lambda old: old[:-1], "SHA-256")
    damaged("backup.json", lambda old: old.replace(b"decisions", b"derisions"), "list alike|tell")
    (target / "more").write_text("x")
    with pytest.raises(DataError, match="more"):
        check_backup(target)
    (target / "more").unlink()
    (target / "control.sqlite").unlink()
    with pytest.raises(DataError, match=r"control\.sqlite"):
        check_backup(target)


def test_a_snapshot_that_is_not_its_barriers_is_told(local: Place, tmp_path: Path) -> None:
    folder = local.settings.data_dir / "snapshots"
    FolderSnapshotStore(folder, keys=KEYS).save("home", "new", 0, example_snapshot(0.0))
    barriers = SqlBarrierStore(local.control, clock=local.clock)
    barriers.append(example_barrier("home", version=0, seq=0))
    back_up(local.settings.data_dir, tmp_path / "backup", clock=local.clock)
    check_backup(tmp_path / "backup")
    with pytest.raises(DataError, match="of its barrier"):
        check_backup(tmp_path / "backup", keys=KEYS)


def test_export_while_running_equals_the_log(local: Place, tmp_path: Path) -> None:
    with Load(local):
        facts = local.export(tmp_path / "export")
    more = local.export(tmp_path / "more", after=facts.upto)
    decisions, rewards = local.rows()
    assert facts.upto == more.after
    assert facts.decisions + facts.rewards == facts.upto
    assert facts.decisions + more.decisions == len(decisions)
    parts = [tmp_path / "export", tmp_path / "more"]
    told = [row for part in parts for row in pq.read_table(part / "decisions.parquet").to_pylist()]
    events = [row for part in parts for row in pq.read_table(part / "rewards.parquet").to_pylist()]
    assert len(told) == len(decisions)
    assert len(events) == len(rewards)
    for row, one in list(zip(told, decisions, strict=True))[:100]:
        for name in ("decision_id", "unit", "catalogue_version", "arm", "page", "bucket"):
            assert row[name] == getattr(one, name)
        assert row["served_by"] == "policy"
        assert row["decided_at"].timestamp() * 1_000 == one.decided_at
        assert row["features"] is None
        kinds = {"candidates": "<i4", "scores": "<f4", "propensities": "<f8", "slate": "<i4"}
        for name, kind in kinds.items():
            assert row[name] == np.frombuffer(getattr(one, name), kind).tolist()
    for row, event in list(zip(events, rewards, strict=True))[:100]:
        assert row["component"] == COMPONENTS[event.component]
        assert (row["decision_id"], row["slot"]) == (event.decision_id, event.slot)
        assert row["occurred_at"] is None


def test_export_names_items_and_keeps_features(local: Place, tmp_path: Path) -> None:
    features = np.arange(24, dtype="<f4").tobytes()
    names = [f"film-{number}" for number in range(100)]

    async def main() -> None:
        log = await make_event_log(local.settings, windows=windows)
        assert await log.appender.intern_items(names) == list(range(100))
        one = example_decision(1, catalogue_version=0, features=features, base=2)
        await log.appender.append_decision(replace(one, base_propensity=0.25))
        await log.appender.append_decision(example_decision(2))
        await log.appender.close()
        log.reader.close()

    asyncio.run(main())
    facts = local.export(tmp_path / "export")
    first, second = pq.read_table(tmp_path / "export" / "decisions.parquet").to_pylist()
    assert (first["base"], first["base_propensity"]) == (2, 0.25)
    assert first["features"] == np.frombuffer(features, "<f4").tolist()
    assert second["features"] is None
    items = pq.read_table(tmp_path / "export" / "items.parquet").to_pylist()
    assert facts.items == len(items) == 12
    assert {row["item_row"] for row in items} == set(first["candidates"])
    assert all(row["item_id"] == names[row["item_row"]] for row in items)
    with pytest.raises(ConfigError, match="must be new"):
        local.export(tmp_path / "export")


def test_commands(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    clock = FakeClock()
    for place in opened(data_dir, "sqlite", clock):
        place.append(*some_rows("commands"))

        def run(*words: str) -> Any:
            result = CliRunner().invoke(app, ["maintain", *words, "--json"])
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            return json.loads(result.stdout)

        where = ("--data-dir", str(data_dir))
        backup, export = str(tmp_path / "backup"), str(tmp_path / "export")
        # START_MS lies in the past of the machine's clock by more than any window.
        with_service = FileLease(data_dir)
        assert with_service.acquire("events")
        for words, route in (
            (("forget", "ada"), "/v1/admin/forget"),
            (("retention", "--days", "30"), "/v1/admin/retention"),
        ):
            with pytest.raises(ConfigError, match=f"POST {route}"):
                run(*words, *where)
        made = run("backup", "--out", backup, *where)
        assert made["decisions"] == 60
        assert run("restore-check", backup, *where) == made
        assert run("export", "--out", export, *where)["rewards"] == 60
        with_service.release("events")
        assert run("forget", "ada", *where) == {"decisions": 0, "rewards": 0, "settled": True}
        assert set(run("retention", "--days", "36000", *where).values()) == {0, True}
        spool = data_dir / "spool" / "events-0.spool"
        spool.parent.mkdir(exist_ok=True)
        spool.with_name("events-0.spool.damaged").write_bytes(b"rows")
        assert run("forget", "ada", *where) == {"decisions": 0, "rewards": 0, "settled": True}
        spool.write_bytes(b"rows")
        with pytest.raises(LogBusyError, match="spool"):
            run("forget", "ada", *where)
        with pytest.raises(LogUnavailableError):
            open_events(tmp_path, "sqlite")
