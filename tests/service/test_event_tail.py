"""The tail of a PostgreSQL log: every row once and in order, own rows without reading them."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from matinee_platform.storage import postgres_tail
from matinee_platform.storage.append_plan import Plan
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.ports import Skipped
from matinee_platform.storage.postgres_tail import PostgresTail
from matinee_platform.storage.records import LoggedDecision, LoggedReward
from matinee_platform.storage.testing_events import Told, asynchronous, example_decision


class Log:
    """Rows that are there, and what was asked for."""

    def __init__(self) -> None:
        self.away = False
        self.rows: list[LoggedDecision] = []
        self.read: list[int] = []
        self.looks = 0

    def commit(self, rows: int) -> Plan:
        """All rows at once, as a database does: the tail looks from a thread of its own."""
        plan = Plan(len(self.rows) + rows)
        first = len(self.rows) + 1
        for seq in range(first, first + rows):
            plan.decisions.append(LoggedDecision(seq, example_decision(seq)))
        self.rows += plan.decisions
        return plan

    def last_seq(self) -> int:
        if self.away:
            raise LogUnavailableError("away")
        return len(self.rows)

    def between(
        self, *, after: int, upto: int, without: Sequence[int]
    ) -> tuple[list[LoggedDecision], list[LoggedReward]]:
        found = [one for one in self.rows[after:upto] if one.seq not in without]
        self.looks += 1
        self.read += [one.seq for one in found]
        return found, []

    def close(self) -> None: ...


def tail_of(log: Log, told: Told, skipped: Skipped | None = None) -> PostgresTail:
    return PostgresTail(log, published=told, skipped=skipped)


@asynchronous
async def test_own_rows_are_told_without_reading_them() -> None:
    log, told = Log(), Told()
    tail = tail_of(log, told)
    await tail._look()
    tail.committed(log.commit(3))
    assert told.places == [1, 2, 3], "nobody was before them"
    log.commit(2)
    tail.committed(log.commit(4))
    log.commit(1)
    tail.committed(log.commit(2))
    assert told.places == [1, 2, 3], "others were before them"
    await tail._look()
    assert told.places == list(range(1, 13))
    assert (log.looks, log.read) == (1, [4, 5, 10])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("most_own", [0, 2, 1_000])
@asynchronous
async def test_every_row_is_told_once_whatever_comes_between(
    monkeypatch: pytest.MonkeyPatch, seed: int, most_own: int
) -> None:
    monkeypatch.setattr(postgres_tail, "MOST_OWN", most_own)
    monkeypatch.setattr(postgres_tail, "_CHUNK", 3)
    luck = random.Random(seed)  # noqa: S311
    log, told = Log(), Told()
    tail = tail_of(log, told)
    await tail._look()
    looking = asyncio.create_task(tail._look())
    late: list[Plan] = []
    for _ in range(200):
        step = luck.random()
        if step < 0.3:
            log.commit(luck.randint(1, 5))
        elif step < 0.6:
            # In the log a while before this process knows.
            late.append(log.commit(luck.randint(1, 5)))
        elif step < 0.8 and late:
            tail.committed(late.pop(0))
        elif looking.done():
            looking = asyncio.create_task(tail._look())
        await asyncio.sleep(0)
    for plan in late:
        tail.committed(plan)
    await looking
    await tail._look()
    assert told.places == list(range(1, len(log.rows) + 1))


@asynchronous
async def test_settled_waits_until_own_rows_are_told() -> None:
    log, told = Log(), Told()
    tail = tail_of(log, told)
    await tail.settled()
    await tail._look()
    looking = asyncio.create_task(tail._look())
    await asyncio.sleep(0)
    tail.committed(log.commit(3))
    assert told.places == [], "a look is going on"
    await tail.settled()
    assert told.places == [1, 2, 3]
    await looking
    log.commit(2)
    tail.committed(log.commit(1))
    waiting = asyncio.create_task(tail.settled())
    await asyncio.sleep(0.01)
    assert not waiting.done(), "others were before them"
    await tail._look()
    await waiting
    assert told.places == [1, 2, 3, 4, 5, 6]
    log.commit(1)
    tail.committed(log.commit(1))
    waiting = asyncio.create_task(tail.settled())
    await asyncio.sleep(0)
    await tail.close()
    await waiting


@pytest.mark.parametrize("own", [True, False])
@asynchronous
async def test_a_late_first_look_says_that_rows_were_skipped(own: bool) -> None:
    """What was stored until then may be missing in units that were read before."""
    log, told, skipped = Log(), Told(), list[int]()
    log.away = True
    tail = tail_of(log, told, lambda: skipped.append(len(log.rows)))
    await tail._look()
    log.commit(3)
    assert skipped == []
    log.away = False
    if own:
        tail.committed(log.commit(2))
        assert (skipped, told.places) == ([5], [4, 5])
    else:
        log.commit(2)
        await tail._look()
        assert (skipped, told.places) == ([5], [])
    tail.committed(log.commit(1))
    await tail._look()
    assert skipped == [5]
    assert told.places[-1] == 6
