"""Faults that storage meets now and then: damage, silence, a busy file, an address that is none."""

import asyncio
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matinee_platform.maintenance import removal
from matinee_platform.maintenance.removal import SqlEventEraser, open_events
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.event_log import make_event_log
from matinee_platform.storage.lease import PostgresLease
from matinee_platform.storage.postgres_appender import PostgresStore
from matinee_platform.storage.postgres_reader import PostgresReader
from matinee_platform.storage.sqlite_reader import SqliteReader
from matinee_platform.storage.testing_events import example_decision


async def _fill(data_dir: Path, rows: int) -> None:
    settings = ServiceSettings.model_validate({"data_dir": data_dir})
    log = await make_event_log(settings, windows=lambda _: (0, 0, 0, 0))
    for number in range(rows):
        await log.appender.append_decision(example_decision(number))
    await log.appender.close()
    log.reader.close()


@pytest.mark.parametrize(
    "address", ["postgresql://ada:Hid%zzden@127.0.0.1:1/db", "postgresql://ada:Hidden@[::1/db"]
)
def test_an_address_that_is_none_is_not_told(address: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: PostgresReader(address).last_seq(),
        lambda: PostgresLease(address).acquire("learner"),
    ]
    for call in calls:
        with pytest.raises(LogUnavailableError) as caught:
            call()
        assert "Hid" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.fixture
def silent_server() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield server.getsockname()[1]


def test_a_server_that_is_silent_from_the_start_is_away(silent_server: int) -> None:
    store = PostgresStore(f"postgresql://ada@127.0.0.1:{silent_server}/db", windows=lambda _: ())

    async def opened() -> None:
        async with asyncio.timeout(60):
            await store.open()

    with pytest.raises(LogUnavailableError):
        asyncio.run(opened())


def test_a_damaged_file_is_told_as_a_log_that_is_away(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    asyncio.run(_fill(tmp_path, 200))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(LogUnavailableError):
        SqliteReader(path).decisions(upto=1_000)


def test_maintenance_looks_without_the_lock_of_writers(tmp_path: Path) -> None:
    asyncio.run(_fill(tmp_path, 20))
    writer = sqlite3.connect(tmp_path / "events.sqlite", isolation_level=None)
    engine = open_events(tmp_path, "sqlite")
    eraser = SqlEventEraser(engine)
    writer.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    try:
        assert eraser.arms() == [("home", "new"), ("home", "old")]
        assert eraser.has_unit("home", "new", 2)
        assert not eraser.has_before("home", "new", 0)
    finally:
        writer.close()
        engine.dispose()
    # A writer would be waited for: half a minute, then an error.
    assert time.monotonic() - began < 25


def test_a_slow_step_of_removal_is_followed_by_a_longer_pause_and_a_smaller_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(_fill(tmp_path, 60))
    monkeypatch.setattr(removal, "_STEP_ROWS", 20)
    monkeypatch.setattr(removal, "_LEAST_STEP_ROWS", 1)
    # Each step takes 80 ms, four times what it may; then 1 ms.
    held = iter([0.08, 0.08] + [0.001] * 60)
    now = [0.0]

    def counter() -> float:
        counter.ends = not getattr(counter, "ends", True)  # type: ignore[attr-defined]
        now[0] += next(held) if counter.ends else 0.0  # type: ignore[attr-defined]
        return now[0]

    left: list[int] = []
    pauses: list[float] = []
    engine = open_events(tmp_path, "sqlite")

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        with sqlite3.connect(tmp_path / "events.sqlite", timeout=0.0) as other:
            # The appender has its turn: nobody holds the lock.
            other.execute("BEGIN IMMEDIATE")
            (rows,) = other.execute("SELECT count(*) FROM decisions WHERE arm = 'new'").fetchone()
            left.append(rows)
        other.close()

    eraser = SqlEventEraser(engine, pause=pause)
    total = sqlite3.connect(tmp_path / "events.sqlite")
    (before,) = total.execute("SELECT count(*) FROM decisions WHERE arm = 'new'").fetchone()
    total.close()
    monkeypatch.setattr("matinee_platform.maintenance.removal.time.perf_counter", counter)
    assert eraser.erase_before("home", "new", 2**60).decisions == before
    engine.dispose()
    steps = [a - b for a, b in zip([before, *left], left, strict=False)]
    assert steps == [20, 5, 1, 2, 2], "30 rows"
    assert pauses[:4] == pytest.approx([0.16, 0.16, 0.01, 0.01])
    assert left[-1] == 0
