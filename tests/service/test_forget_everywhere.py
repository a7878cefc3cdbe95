"""Forgetting with several processes on one PostgreSQL: memories and spools of all let go."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import structlog

from matinee_platform.clock import FakeClock
from matinee_platform.pseudonyms import pseudonyms
from matinee_platform.service.compose import open_parts
from matinee_platform.service.parts import ServiceParts
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.serving.asks import Ask, Decided
from matinee_platform.serving.runtime import LiveRuntime
from matinee_platform.storage.event_log import event_reader
from matinee_platform.storage.group_commit import GroupCommit
from matinee_platform.storage.spool import Spool
from matinee_platform.storage.testing_events import (
    START_MS,
    asynchronous,
    example_decision,
    example_reward,
)

EXPERIMENT: dict[str, Any] = {
    "key": "home",
    "salt": "s",
    "slots": 4,
    "candidates": 20,
    "arms": [{"name": "new", "bundle": "new"}],
}


class Process:
    """One process of a service, as far as its parts go."""

    def __init__(self, parts: ServiceParts) -> None:
        self.parts = parts
        self._number = id(self) << 8

    async def decide(self, unit: str) -> Decided:
        self._number += 1
        ask = Ask(experiment="home", unit=unit, decision_id=self._number, body_digest=bytes(16))
        found = await self.parts.runtime.decide(ask)
        assert found.record is not None
        assert found.fallback is None
        await self.parts.appender.append_decision(found.record)
        return found

    def remembered(self, pseudonym: int) -> int:
        """Decisions of a unit that it has in memory."""
        assert isinstance(self.parts.runtime, LiveRuntime)
        unit = self.parts.runtime._memories["home", "new"]._units.get(pseudonym)
        return 0 if unit is None else len(unit.slates)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@asynchronous
async def test_every_process_forgets(
    deployed: Path, tmp_path: Path, new_postgres_database: Callable[[], str]
) -> None:
    address, clock = new_postgres_database(), FakeClock(START_MS)
    opened: list[Process] = []

    def settings_of(name: str) -> ServiceSettings:
        folder = tmp_path / name
        if not folder.exists():
            shutil.copytree(deployed, folder)
        return ServiceSettings.model_validate(
            {
                "data_dir": folder,
                "database": address,
                "experiments": [EXPERIMENT],
                "decision_budget_ms": 10_000,
            }
        )

    async def open_process(name: str) -> Process:
        log = structlog.get_logger()
        opened.append(Process(await open_parts(settings_of(name), clock=clock, log=log)))
        return opened[-1]

    first, second = await open_process("first"), await open_process("second")
    ada = int(pseudonyms(["ada"], secret=first.parts.secrets.pseudonyms)[0])
    for _ in range(3):
        for process in (first, second):
            await process.decide("ada")
            await process.decide("bo")
            clock.advance(seconds=60)
    await until(lambda: [one.remembered(ada) for one in opened] == [6, 6])
    # Rows that a third process could not store before it ended.
    left = Spool(tmp_path / "third" / "spool")
    of_both: dict[str, Any] = {"arm": "new", "decided_at": clock.now_ms()}
    spooled = [example_decision(10**9 + n, unit=(ada, 5)[n % 2], **of_both) for n in range(6)]
    left.append([*spooled, *(example_reward(n, decision=10**9 + n) for n in range(6))])
    left.close()
    shutil.copytree(deployed, tmp_path / "third", dirs_exist_ok=True)

    clock.advance(seconds=60)
    maintenance = first.parts.maintenance
    removed = await asyncio.to_thread(lambda: maintenance.forget("ada", who="officer"))
    assert removed.decisions == 6
    await until(lambda: [one.remembered(ada) for one in opened] == [0, 0])
    clock.advance(seconds=60)
    again, fresh = (await second.decide("ada")).record, (await second.decide("cy")).record
    assert again is not None
    assert fresh is not None
    assert again.page == 0
    assert again.unit_state == fresh.unit_state
    bo = (await second.decide("bo")).record
    assert bo is not None
    assert bo.page == 6, "others stay in memory"

    third = await open_process("third")
    appender = third.parts.appender
    assert isinstance(appender, GroupCommit)
    await until(lambda: appender.state == "ok" and appender.spooled == 0)
    assert (appender.counts.drained, appender.counts.drained_forgotten) == (12, 6)
    with closing(event_reader(settings_of("first"))) as reader:
        rows = reader.decisions(upto=reader.last_seq())
        rewards = reader.rewards(upto=reader.last_seq())
    assert [one.record for one in rows if one.record.unit == ada] == [again]
    assert [one.record.decision_id for one in rows if one.record.unit == 5] == [
        10**9 + n for n in (1, 3, 5)
    ]
    assert [one.record.decision_id for one in rewards] == [10**9 + n for n in (1, 3, 5)]
    for process in opened:
        await process.parts.close()
