"""The event log in a SQLite file."""

from pathlib import Path
from typing import Any

import pytest

from matinee_platform.storage.event_log import sqlite_appender
from matinee_platform.storage.ports import EventAppender, EventReader
from matinee_platform.storage.sqlite_reader import SqliteReader
from matinee_platform.storage.testing_events import EventLogContract, windows


class TestSqliteLog(EventLogContract):
    rewards = 10_000

    @pytest.fixture(autouse=True)
    def new_log(self, tmp_path: Path) -> None:
        self.path = tmp_path / "events.sqlite"

    async def open_appender(self, **options: Any) -> EventAppender:
        options = {"rewards_per_decision": 1_000, **options}
        return await sqlite_appender(self.path, windows=windows, **options)

    def open_reader(self) -> EventReader:
        return SqliteReader(self.path)
