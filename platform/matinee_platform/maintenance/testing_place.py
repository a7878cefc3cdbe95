"""The data of a service for tests of its maintenance: a log, control tables, their rows."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from matinee_platform.clock import FakeClock
from matinee_platform.experiments.definition import HOLDOUT_ARM
from matinee_platform.maintenance.caretaker import Caretaker
from matinee_platform.maintenance.export import ExportFacts, export_log
from matinee_platform.maintenance.removal import SqlEventEraser, open_events
from matinee_platform.pseudonyms import pseudonyms
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.control_database import control_url, open_engine, upgrade
from matinee_platform.storage.event_log import event_reader, make_event_log
from matinee_platform.storage.event_migrations import postgres_url
from matinee_platform.storage.event_migrations import upgrade as upgrade_events
from matinee_platform.storage.lease import FileLease
from matinee_platform.storage.ports import EventReader
from matinee_platform.storage.records import DecisionRecord, RewardRecord
from matinee_platform.storage.testing_events import (
    example_decision,
    example_reward,
    windows,
)

SECRET = bytes(range(32))
ADA = int(pseudonyms(["ada"], secret=SECRET)[0])


@dataclass
class Place:
    """The data of a service.

    Attributes:
        settings: where they are.
        control: engine of the control database.
        events: engine of the database of events.
        clock: tells the time.
    """

    settings: ServiceSettings
    control: Engine
    events: Engine
    clock: FakeClock

    def caretaker(self, **options: Any) -> Caretaker:
        """Who removes rows, without pauses."""
        eraser = SqlEventEraser(self.events, pause=lambda _: None)
        return Caretaker(
            eraser,
            control=self.control,
            pseudonym_secret=SECRET,
            clock=self.clock,
            lease=FileLease(self.settings.data_dir),
            **options,
        )

    def reader(self) -> EventReader:
        """Of the log."""
        return event_reader(self.settings)

    def last_seq(self) -> int:
        """Last place of the log."""
        with closing(self.reader()) as reader:
            return reader.last_seq()

    def append(self, decisions: list[DecisionRecord], rewards: list[RewardRecord]) -> None:
        """Append rows as a service would, which then stops."""

        async def main() -> None:
            log = await make_event_log(self.settings, windows=windows)
            await asyncio.gather(*(log.appender.append_decision(one) for one in decisions))
            await log.appender.append_rewards(rewards)
            await log.appender.close()
            log.reader.close()

        asyncio.run(main())

    def export(self, target: Path, *, after: int = 0) -> ExportFacts:
        """Export the log."""
        with closing(self.reader()) as reader:
            return export_log(reader, target, after=after)

    def rows(self) -> tuple[list[DecisionRecord], list[RewardRecord]]:
        """All rows of the log."""
        with closing(self.reader()) as reader:
            upto = reader.last_seq()
            decisions = [one.record for one in reader.decisions(upto=upto)]
            rewards = [one.record for one in reader.rewards(upto=upto)]
            return decisions, rewards


def opened(data_dir: Path, database: str, clock: FakeClock) -> Iterator[Place]:
    """An empty log and control tables; on PostgreSQL what was in the log goes, not the rest."""
    settings = ServiceSettings(data_dir=data_dir, database=database, experiments=[])
    url = control_url(data_dir, database)
    upgrade(url)
    control = open_engine(url)
    if database == "sqlite":
        place = Place(settings, control, control, clock)
        place.append([], [])
    else:
        upgrade_events(postgres_url(database))
        with control.begin() as connection:
            connection.exec_driver_sql("TRUNCATE decisions, rewards, items")
            connection.exec_driver_sql("UPDATE seq SET last = 0")
    events = open_events(data_dir, database)
    yield Place(settings, control, events, clock)
    control.dispose()
    events.dispose()


def some_rows(key: str) -> tuple[list[DecisionRecord], list[RewardRecord]]:
    """60 decisions of 7 units, of whom one is ada; every other one has two rewards."""
    decisions = [example_decision(number, experiment=key) for number in range(60)]
    decisions = [replace(one, unit=ADA) if one.unit == 3 else one for one in decisions]
    decisions[50] = replace(decisions[50], unit=ADA, arm=HOLDOUT_ARM)
    rewards = [
        example_reward(2 * number + slot, decision=number, slot=slot)
        for number in range(0, 60, 2)
        for slot in range(2)
    ]
    return decisions, rewards
