"""Rows on their way to a commit: a full queue, a row that fails, a second process, listeners."""

import asyncio
import os
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.append_plan import Plan, Record
from matinee_platform.storage.errors import LogBusyError, LogHeldError
from matinee_platform.storage.event_log import make_event_log, sqlite_appender
from matinee_platform.storage.group_commit import GroupCommit
from matinee_platform.storage.records import (
    DecisionReceipt,
)
from matinee_platform.storage.sqlite_appender import SqliteStore
from matinee_platform.storage.testing_events import (
    Told,
    asynchronous,
    example_decision,
    windows,
)
from matinee_platform.storage.testing_outages import (
    check_log,
    file_of,
    until,
)


class SlowStore(SqliteStore):
    """A store whose transactions wait for a signal."""

    def __init__(self, path: Path, go: asyncio.Event) -> None:
        super().__init__(path, windows=windows)
        self.waits = False
        self._go = go

    async def write(self, batch: Sequence[Record]) -> Plan:
        self.waits = True
        await self._go.wait()
        return await super().write(batch)


@asynchronous
async def test_a_full_queue_refuses_at_once(tmp_path: Path) -> None:
    go = asyncio.Event()
    store = SlowStore(file_of(tmp_path), go)
    appender = await GroupCommit(store, committed=lambda plan: None, queue_rows=10).start()
    first = asyncio.create_task(appender.append_decision(example_decision(0)))
    await until(lambda: store.waits)
    tasks = [
        asyncio.create_task(appender.append_decision(example_decision(n))) for n in range(1, 12)
    ]
    await until(lambda: tasks[-1].done())
    with pytest.raises(LogBusyError, match="at most 10 may"):
        await tasks[-1]
    assert appender.queued == 10
    go.set()
    receipts = await asyncio.gather(first, *tasks[:-1])
    assert [one.seq for one in receipts] == list(range(1, 12))
    assert appender.counts.busy == 1
    await appender.close()


@asynchronous
async def test_a_row_that_the_database_cannot_take_fails_no_other(tmp_path: Path) -> None:
    go = asyncio.Event()
    store = SlowStore(file_of(tmp_path), go)
    appender = await GroupCommit(store, committed=lambda plan: None).start()
    rows = [example_decision(n, bucket=2**70 if n == 3 else 5) for n in range(6)]
    tasks = [asyncio.create_task(appender.append_decision(one)) for one in rows]
    go.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[3], OverflowError)
    assert sum(isinstance(one, DecisionReceipt) for one in answers) == 5
    await appender.close()
    check_log(tmp_path, {0, 1, 2, 4, 5}, set())


@asynchronous
async def test_a_second_process_is_refused_with_the_reason(tmp_path: Path) -> None:
    appender = await sqlite_appender(file_of(tmp_path), windows=windows)
    with pytest.raises(LogHeldError, match=rf"by process {os.getpid()}, .*postgresql://"):
        await sqlite_appender(file_of(tmp_path), windows=windows)
    await appender.append_decision(example_decision(1))
    await appender.close()
    appender = await sqlite_appender(file_of(tmp_path), windows=windows)
    await appender.close()


@pytest.mark.parametrize(("mode", "folders"), [("spool", 1), ("strict", 0)])
@asynchronous
async def test_settings_name_the_log(mode: Any, folders: int, tmp_path: Path) -> None:
    settings = ServiceSettings.model_validate(
        {"data_dir": tmp_path / "data", "on_database_loss": mode}
    )
    told = Told()
    log = await make_event_log(settings, windows=windows, published=told)
    await log.appender.append_decision(example_decision(1))
    assert log.reader.last_seq() == 1
    assert told.places == [1]
    assert len(list((tmp_path / "data").glob("spool"))) == folders
    log.reader.close()
    await log.appender.close()


@asynchronous
async def test_a_listener_that_raises_stops_nothing(tmp_path: Path) -> None:
    def broken(decisions: Any, rewards: Any) -> None:
        raise RuntimeError("no")

    appender = await sqlite_appender(file_of(tmp_path), windows=windows, published=broken)
    calls: list[Awaitable[DecisionReceipt]] = [
        appender.append_decision(example_decision(n)) for n in range(2)
    ]
    assert [one.seq for one in await asyncio.gather(*calls)] == [1, 2]
    await appender.close()


@asynchronous
async def test_rows_of_callers_under_way_share_a_commit(tmp_path: Path) -> None:
    """Requests that are read in the next turns of the loop do not wait for a transaction."""
    appender = await sqlite_appender(file_of(tmp_path), windows=windows)

    async def after(turns: int) -> DecisionReceipt:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await appender.append_decision(example_decision(turns))

    before = appender.counts.commits
    receipts = await asyncio.gather(*map(after, range(8)))
    assert [one.seq for one in receipts] == list(range(1, 9))
    assert appender.counts.commits == before + 1
    await appender.close()


@asynchronous
async def test_an_endless_stream_of_others_keeps_nobody_waiting(tmp_path: Path) -> None:
    go = asyncio.Event()
    go.set()
    store = SlowStore(file_of(tmp_path), go)
    appender = await GroupCommit(store, committed=lambda plan: None).start()
    tasks: list[asyncio.Task[DecisionReceipt]] = []
    while not store.waits and len(tasks) < 500:
        tasks.append(asyncio.create_task(appender.append_decision(example_decision(len(tasks)))))
        await asyncio.sleep(0)
    assert len(tasks) < 30
    await asyncio.gather(*tasks)
    await appender.close()
