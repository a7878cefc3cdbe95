"""An experiment that is started anew, with another salt: what counts from then on."""

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import text

from matinee_platform.clock import FakeClock
from matinee_platform.service.compose import open_parts
from matinee_platform.service.parts import ServiceParts
from matinee_platform.service.secrets import Secrets
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.serving.asks import Ask
from matinee_platform.serving.bundle import load_bundle
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_platform.storage.control_database import control_url, open_engine, upgrade
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.records import Barrier, DecisionRecord
from matinee_platform.storage.snapshot_store import FolderSnapshotStore
from matinee_platform.storage.testing_control import example_experiment
from matinee_platform.storage.testing_events import START_MS, asynchronous, example_reward

WEEK_SECONDS = 7 * 86_400


@asynchronous
async def test_a_new_start_begins_anew(deployed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(deployed, folder)
    clock = FakeClock(START_MS)
    settings = _settings(folder)
    parts = await open_parts(settings, clock=clock, log=structlog.get_logger())
    before = [await _decide(parts, "ada", number) for number in range(3)]
    await parts.appender.append_rewards([_click(n, at=clock.now_ms()) for n in range(3)])
    assert _counts(parts, since_ms=START_MS) == (1, 3, 3)
    parts.control.stop("home", who="test")
    clock.advance(seconds=WEEK_SECONDS)
    started = parts.control.start("home", salt="second", coverage=None, who="test")
    assert started.started_at == clock.now_ms()
    await parts.changed()
    assert _counts(parts, since_ms=clock.now_ms()) == (0, 0, 0)
    # A late rating of the first run comes in meanwhile, and is folded into no state.
    rating = example_reward(9, decision=0, component=2, value=5.0, received_at=clock.now_ms())
    await parts.appender.append_rewards([rating])
    again = await _decide(parts, "ada", 10)
    fresh = await _decide(parts, "bo", 11)
    assert (again.page, again.unit_state) == (0, fresh.unit_state)
    assert before[2].page == 2
    await parts.appender.append_rewards([_click(10, at=clock.now_ms())])
    assert _counts(parts, since_ms=clock.now_ms()) == (2, 2, 1)
    # What the first run logged is what it was: the state as seen is in the row.
    assert parts.replay is not None
    with closing(parts.reader()) as reader:
        rows = reader.decisions(upto=reader.last_seq())
        assert len(rows) == 5
        assert all(parts.replay(row).equal for row in rows)
    await parts.close()


@asynchronous
async def test_a_new_start_goes_on_with_what_was_learned(deployed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(deployed, folder)
    clock, settings = FakeClock(START_MS), _settings(folder)
    parts = await open_parts(settings, clock=clock, log=structlog.get_logger())
    assert (await _decide(parts, "ada", 0)).snapshot == 0
    keys = Secrets.load(settings).signing
    snapshot = load_bundle(folder, "new", keys=keys).snapshot
    FolderSnapshotStore(folder / "snapshots", keys=keys).save("home", "new", 0, snapshot)
    FolderSnapshotStore(folder / "snapshots", keys=keys).save("home", "new", 1, snapshot)
    engine = open_engine(control_url(folder, "sqlite"))
    barriers = SqlBarrierStore(engine, clock=clock)
    first = Barrier(
        experiment="home",
        arm="new",
        version=0,
        seq=0,
        time_ms=START_MS,
        snapshot_hash=snapshot.content_hash,
        created_at=START_MS,
        genesis=True,
    )
    barriers.append(first)
    barriers.append(replace(first, version=1, seq=1, genesis=False))
    parts.control.stop("home", who="test")
    parts.control.start("home", salt="second", coverage=None, who="test")
    await parts.changed()
    # The first page after the start, not one a look later.
    assert (await _decide(parts, "ada", 1)).snapshot == 1
    engine.dispose()
    await parts.close()


def _settings(folder: Path) -> ServiceSettings:
    return ServiceSettings.model_validate(
        {
            "data_dir": folder,
            "decision_budget_ms": 10_000,
            "experiments": [
                {
                    "key": "home",
                    "salt": "first",
                    "slots": 4,
                    "candidates": 20,
                    "arms": [{"name": "new", "bundle": "new"}],
                }
            ],
        }
    )


def test_the_last_start_is_taken_from_the_audit(tmp_path: Path) -> None:
    """Of a database that a former version made."""
    url = control_url(tmp_path, "sqlite")
    upgrade(url)
    engine = open_engine(url)
    clock = FakeClock(START_MS)
    store = ControlStore(engine, clock=clock)
    ran, waits = example_experiment(), example_experiment()
    store.create(waits, who="ada")
    store.create(ran, who="ada")
    store.start(ran.key, who="ada")
    store.stop(ran.key, who="ada")
    clock.advance(seconds=60)
    store.start(ran.key, who="ada", salt=f"{ran.salt}-b")
    clock.advance(seconds=60)
    store.stop(ran.key, who="ada")
    with engine.begin() as connection:
        for column in ("started_at", "started_seq"):
            connection.execute(text(f"ALTER TABLE experiments DROP COLUMN {column}"))
        connection.execute(text("DROP TABLE forgotten"))
        connection.execute(text("DROP TABLE learning_asks"))
        connection.execute(text("UPDATE alembic_version_control SET version_num = '0001'"))
    upgrade(url)
    assert store.experiment(ran.key).started_at == START_MS + 60_000
    assert store.experiment(ran.key).started_seq is None
    assert store.experiment(waits.key).started_at is None
    engine.dispose()


async def _decide(parts: ServiceParts, unit: str, number: int) -> DecisionRecord:
    ask = Ask(experiment="home", unit=unit, decision_id=number, body_digest=bytes(16))
    found = await parts.runtime.decide(ask)
    assert found.record is not None
    assert found.fallback is None
    await parts.appender.append_decision(found.record)
    return found.record


def _click(decision: int, *, at: int) -> Any:
    return example_reward(decision, decision=decision, received_at=at)


def _counts(parts: ServiceParts, *, since_ms: int) -> tuple[int, int, int]:
    """Units, decisions and clicks, as the route of results counts them."""
    experiment = parts.control.experiment("home")
    assert experiment.started_at == since_ms
    windows = experiment.definition.windows_ms()
    found = parts.counts.arm_counts("home", windows=windows, upto=2**40, since_ms=since_ms)
    return (
        sum(one.units for one in found),
        sum(sum(one.served_by.values()) for one in found),
        sum(one.rewards.get(0, 0) for one in found),
    )
