"""The event log in memory."""

from typing import Any

import pytest

from matinee_platform.storage.memory_log import MemoryAppender, MemoryLog, MemoryReader
from matinee_platform.storage.ports import EventAppender, EventReader
from matinee_platform.storage.testing_event_log import EventLogContract
from matinee_platform.storage.testing_events import windows


class TestMemoryLog(EventLogContract):
    @pytest.fixture(autouse=True)
    def new_log(self) -> None:
        self.log = MemoryLog()

    async def open_appender(self, **options: Any) -> EventAppender:
        options = {"rewards_per_decision": 1_000, **options}
        return MemoryAppender(self.log, windows=windows, **options)

    def open_reader(self) -> EventReader:
        return MemoryReader(self.log)
