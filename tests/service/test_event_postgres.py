"""The event log in a real PostgreSQL."""

from typing import Any

import psycopg
import pytest

from matinee_platform.storage.event_log import postgres_appender
from matinee_platform.storage.event_migrations import postgres_url, upgrade
from matinee_platform.storage.ports import EventAppender, EventReader
from matinee_platform.storage.postgres_reader import PostgresReader
from matinee_platform.storage.testing_events import EventLogContract, windows


@pytest.fixture
def empty_log(postgres_address: str) -> str:
    upgrade(postgres_url(postgres_address))
    with psycopg.connect(postgres_address, autocommit=True) as connection:
        connection.execute("TRUNCATE decisions, rewards, items")
        connection.execute("UPDATE seq SET last = 0")
    return postgres_address


class TestPostgresLog(EventLogContract):
    rewards = 10_000

    @pytest.fixture(autouse=True)
    def new_log(self, empty_log: str) -> None:
        self.address = empty_log

    async def open_appender(self, **options: Any) -> EventAppender:
        options = {"rewards_per_decision": 1_000, "patience_seconds": 60.0, **options}
        return await postgres_appender(self.address, windows=windows, **options)

    def open_reader(self) -> EventReader:
        return PostgresReader(self.address)
