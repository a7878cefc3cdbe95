"""Reading the event log of a PostgreSQL."""

import re
from collections.abc import Sequence
from typing import Any, Self

import psycopg

from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.event_rows import Row, decision_from_row, reward_from_row
from matinee_platform.storage.postgres_connection import connect
from matinee_platform.storage.records import LoggedDecision, LoggedReward
from matinee_platform.storage.sql_reader import DECISIONS, REWARDS, SqlReader

_LIST = re.compile(r"IN \((:\w+)\)")
_NAME = re.compile(r"(?<!:):(\w+)")


class PostgresReader(SqlReader):
    """An `EventReader` of a PostgreSQL; it never writes.

    Args:
        address: `postgresql://USER@HOST/NAME`.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: psycopg.Connection[Row] | None = None

    def copy(self) -> Self:
        """Another reader of the same database."""
        return type(self)(self._address)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def between(
        self, *, after: int, upto: int, without: Sequence[int]
    ) -> tuple[list[LoggedDecision], list[LoggedReward]]:
        """Rows with `after < seq <= upto` but for some, decisions and rewards in log order."""
        where = (
            "WHERE seq > :after AND seq <= :upto AND seq <> ALL(:without::bigint[]) ORDER BY seq"
        )
        values = {"after": after, "upto": upto, "without": list(without)}
        return (
            [decision_from_row(row) for row in self._rows(DECISIONS + where, values)],
            [reward_from_row(row) for row in self._rows(REWARDS + where, values)],
        )

    def _rows(self, statement: str, values: dict[str, Any]) -> list[Row]:
        query = dialect(statement)
        try:
            try:
                return self._ask(query, values)
            except psycopg.OperationalError:
                # The server may have been restarted since the last question.
                self.close()
                return self._ask(query, values)
        except (psycopg.OperationalError, psycopg.errors.UndefinedTable) as error:
            # Its tables come with the first service: until then the log is as one that is away.
            self.close()
            raise LogUnavailableError(f"PostgreSQL cannot be read: {error}") from error

    def _ask(self, query: str, values: dict[str, Any]) -> list[Row]:
        if self._connection is None:
            self._connection = connect(
                self._address,
                application_name="matinee reader",
                options="-c default_transaction_read_only=on",
            )
        return self._connection.execute(query.encode(), values, binary=True).fetchall()


def dialect(statement: str) -> str:
    """A statement of `SqlReader` as psycopg takes it."""
    return _NAME.sub(r"%(\1)s", _LIST.sub(r"= ANY(\1)", statement))
