"""A SQLite log whose file is locked, full or broken: nothing acknowledged is lost or doubled."""

import resource
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.recent_rows import RecentRows
from matinee_platform.storage.records import (
    DecisionReceipt,
    DecisionRecord,
    Outcome,
    RewardReceipt,
    RewardState,
)
from matinee_platform.storage.testing_events import (
    Told,
    asynchronous,
    example_decision,
    example_reward,
    windows,
)
from matinee_platform.storage.testing_outages import (
    FEATURES,
    Broken,
    Full,
    FullStore,
    Locked,
    append_many,
    check_log,
    file_of,
    open_log,
    until,
)

FAULTS = (Locked, Full, Broken)


@pytest.mark.parametrize("fault_kind", FAULTS)
@asynchronous
async def test_with_a_spool_answers_go_on(fault_kind: Any, tmp_path: Path) -> None:
    told = Told()
    appender, store = await open_log(tmp_path, spool=True, told=told)
    await append_many(appender, range(20), features=FEATURES * 5)
    fault = fault_kind(tmp_path, store)
    fault.begin()
    try:
        answers = await append_many(appender, range(20, 60))
        assert [one for one in answers if isinstance(one, Exception)] == []
        assert {(one.seq, one.outcome) for pair in answers for one in pair} == {
            (-1, Outcome.STORED)
        }
        assert {reward.state for _, reward in answers} == {None}
        assert appender.state == "spooling"
        assert appender.spooled == 80
        repeated = await appender.append_decision(example_decision(30, features=FEATURES, page=2))
        first = example_decision(30, features=FEATURES)
        assert repeated == DecisionReceipt(Outcome.REPEATED, -1, first)
    finally:
        fault.end()
    await until(lambda: appender.state == "ok")
    assert (appender.spooled, appender.counts.losses, appender.counts.drained) == (0, 1, 80)
    assert (appender.counts.drained_repeats, appender.counts.drained_conflicts) == (0, 0)
    await append_many(appender, range(60, 70))
    await appender.close()
    check_log(tmp_path, set(range(70)), set(range(70)))
    assert told.places == list(range(1, 141)), "each told once, in order, drained ones too"


@pytest.mark.parametrize("fault_kind", FAULTS)
@asynchronous
async def test_strict_refuses_and_recovers(fault_kind: Any, tmp_path: Path) -> None:
    appender, store = await open_log(tmp_path, spool=False)
    await append_many(appender, range(20), features=FEATURES * 5)
    fault = fault_kind(tmp_path, store)
    fault.begin()
    try:
        answers = await append_many(appender, range(20, 60))
        refused = {n for n, one in enumerate(answers, 20) if isinstance(one, LogUnavailableError)}
        assert refused, "some fitted into pages that were free"
        assert fault_kind is Full or len(refused) == 40
        assert appender.spooled == 0
    finally:
        fault.end()
    await until(lambda: appender.state == "ok")
    # What was refused can be asked again, and is stored once.
    again = await append_many(appender, range(20, 60))
    assert [one for one in again if isinstance(one, Exception)] == []
    await appender.close()
    check_log(tmp_path, set(range(60)), set(range(60)))


@pytest.mark.parametrize("fault_kind", FAULTS)
@asynchronous
async def test_a_probe_sees_what_a_batch_would_meet(fault_kind: Any, tmp_path: Path) -> None:
    store = FullStore(file_of(tmp_path), windows=windows, busy_ms=20)
    await store.open()
    await store.write([example_decision(1)])
    fault = fault_kind(tmp_path, store)
    fault.begin()
    if fault_kind is Full:
        # The bound is one of the connection.
        store._disconnect()
    try:
        with pytest.raises(LogUnavailableError):
            await store.probe()
    finally:
        fault.end()
    for _ in range(3):
        await store.probe()
    await store.write([example_decision(2)])
    await store.close()
    check_log(tmp_path, {1, 2}, set())
    with closing(sqlite3.connect(file_of(tmp_path))) as connection:
        query = "SELECT name FROM sqlite_master WHERE name LIKE 'probe%'"
        assert connection.execute(query).fetchall() == [], "it leaves nothing"
        assert connection.execute("SELECT last FROM seq").fetchall() == [(2,)]


@asynchronous
async def test_a_journal_that_is_used_again_is_no_room(tmp_path: Path) -> None:
    """Its pages can be written though nothing can grow: the next batch would fail again."""
    store = FullStore(file_of(tmp_path), windows=windows, busy_ms=20)
    await store.open()
    await store.write([example_decision(n, features=FEATURES) for n in range(40)])
    with closing(sqlite3.connect(file_of(tmp_path))) as other:
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        with pytest.raises(LogUnavailableError, match="room"):
            await store.probe()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await store.probe()
    await store.write([example_decision(40)])
    await store.close()
    check_log(tmp_path, set(range(41)), set())
    assert sorted(one.name for one in tmp_path.iterdir()) == ["events.lock", "events.sqlite"]


@asynchronous
async def test_while_away_strict_refuses_at_once(tmp_path: Path) -> None:
    appender, store = await open_log(tmp_path, spool=False)
    fault = Locked(tmp_path, store)
    fault.begin()
    with pytest.raises(LogUnavailableError, match="database is locked"):
        await appender.append_decision(example_decision(1))
    assert appender.state == "away"
    with pytest.raises(LogUnavailableError, match="away"):
        await appender.intern_items(["a"])
    fault.end()
    await until(lambda: appender.state == "ok")
    assert await appender.intern_items(["a"]) == [0]
    await appender.close()


@asynchronous
async def test_what_was_stored_before_the_outage_is_told_during_it(tmp_path: Path) -> None:
    appender, store = await open_log(tmp_path, spool=True)
    await append_many(appender, [1, 2])
    (early,) = await appender.append_rewards([example_reward(7, decision=99)])
    assert early.state is RewardState.EARLY
    first = example_decision(1, features=FEATURES)
    # As after a request that was decided anew: the same body, another slate.
    anew = replace(first, slate=first.candidates[: len(first.slate)][::-1])
    reward = example_reward(1, decision=1)
    asked = [anew, replace(anew, body_digest=b"o" * 16)]
    rewards = [reward, replace(reward, body_digest=b"o" * 16), example_reward(3, decision=1)]
    before = [await appender.append_decision(one) for one in asked]
    before_rewards = await appender.append_rewards(rewards[:2])
    assert before[0].stored == first
    fault = Locked(tmp_path, store)
    fault.begin()
    try:
        assert (await appender.append_decision(example_decision(5))).seq == -1
        assert appender.state == "spooling"
        assert [await appender.append_decision(one) for one in asked] == before
        receipts = await appender.append_rewards(rewards)
        assert receipts[:2] == before_rewards
        assert (receipts[2].outcome, receipts[2].seq) == (Outcome.STORED, -1)
        (repeated,) = await appender.append_rewards([example_reward(7, decision=99)])
        assert (repeated.outcome, repeated.seq, repeated.state) == (
            Outcome.REPEATED,
            early.seq,
            None,
        ), "its decision may have come since"
        assert appender.spooled == 2
    finally:
        fault.end()
    await until(lambda: appender.state == "ok")
    assert (appender.counts.drained_repeats, appender.counts.drained_conflicts) == (0, 0)
    await appender.close()
    check_log(tmp_path, {1, 2, 5}, {1, 2, 3, 7})


def test_what_is_remembered_is_bounded() -> None:
    size = sum(len(one) for one in _arrays(example_decision(0)))
    few, small = RecentRows(rows=3), RecentRows(max_bytes=3 * size + size // 2)
    for recent in (few, small):
        for n in range(5):
            recent.note([example_decision(n)], [DecisionReceipt(Outcome.STORED, n + 1)])
            if n == 3:
                assert recent.answer(example_decision(1)) is not None
        known = [n for n in range(5) if recent.answer(example_decision(n)) is not None]
        assert known == [1, 3, 4], "what was asked for last is kept"
    for n in range(5):
        few.note([example_reward(n, decision=1)], [RewardReceipt(Outcome.STORED, 9 + n)])
    kept = [n for n in range(5) if few.answer(example_reward(n, decision=1)) is not None]
    assert kept == [2, 3, 4]
    few.note([example_reward(8, decision=1)], [RewardReceipt(Outcome.CAPPED, -1)])
    assert few.answer(example_reward(8, decision=1)) is None, "the log does not have it"


def _arrays(one: DecisionRecord) -> list[bytes]:
    return [one.unit_state, one.candidates, one.scores, one.slate, one.propensities]


@asynchronous
async def test_conflicts_that_only_the_log_can_see_are_counted(tmp_path: Path) -> None:
    appender, _ = await open_log(tmp_path, spool=True)
    await append_many(appender, [1, 2])
    await appender.close()
    # Another process, which remembers nothing of it.
    appender, store = await open_log(tmp_path, spool=True)
    fault = Locked(tmp_path, store)
    fault.begin()
    other = example_decision(1, body_digest=b"o" * 16, features=FEATURES)
    assert (await appender.append_decision(other)).outcome is Outcome.STORED
    again = example_decision(2, features=FEATURES)
    assert (await appender.append_decision(again)).outcome is Outcome.STORED
    changed = example_reward(1, decision=1, body_digest=b"o" * 16)
    await appender.append_rewards([changed])
    fault.end()
    await until(lambda: appender.state == "ok")
    assert (appender.counts.drained_repeats, appender.counts.drained_conflicts) == (1, 2)
    receipt = await appender.append_decision(replace(other, body_digest=(1).to_bytes(16, "big")))
    assert receipt.stored is not None
    assert receipt.stored.body_digest == (1).to_bytes(16, "big")
    await appender.close()
    check_log(tmp_path, {1, 2}, {1, 2})


@asynchronous
async def test_a_spool_that_waits_is_drained_at_the_start(tmp_path: Path) -> None:
    appender, store = await open_log(tmp_path, spool=True)
    fault = Locked(tmp_path, store)
    fault.begin()
    await append_many(appender, range(30))
    await appender.close()
    fault.end()
    told = Told()
    appender, _ = await open_log(tmp_path, spool=True, told=told)
    await until(lambda: appender.state == "ok")
    assert told.places == list(range(1, 61))
    await appender.close()
    check_log(tmp_path, set(range(30)), set(range(30)))


@asynchronous
async def test_a_crash_while_draining_doubles_nothing(tmp_path: Path) -> None:
    appender, store = await open_log(tmp_path, spool=True)
    fault = Locked(tmp_path, store)
    fault.begin()
    await append_many(appender, range(30))
    file = tmp_path / "spool" / "events-0.spool"
    kept = file.read_bytes()
    fault.end()
    await until(lambda: appender.state == "ok")
    await appender.close()
    # As if the process had died after the commit and before the file was emptied.
    file.write_bytes(kept)
    appender, _ = await open_log(tmp_path, spool=True)
    await until(lambda: appender.state == "ok")
    assert appender.counts.drained_repeats == 60
    await appender.close()
    check_log(tmp_path, set(range(30)), set(range(30)))


@asynchronous
async def test_a_file_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    store = FullStore(file_of(tmp_path), windows=windows, busy_ms=20)
    await store.open()
    await store.write([example_decision(1)])
    fault = Locked(tmp_path, store)
    fault.begin()
    with pytest.raises(LogUnavailableError, match="locked"):
        await store.write([example_decision(2)])
    fault.end()
    moved = file_of(tmp_path).rename(tmp_path / "moved.sqlite")
    with pytest.raises(LogUnavailableError, match="unable to open"):
        await store.write([example_decision(3)])
    assert not file_of(tmp_path).exists()
    moved.rename(file_of(tmp_path))
    await store.write([example_decision(3)])
    await store.close()
    check_log(tmp_path, {1, 3}, set())
