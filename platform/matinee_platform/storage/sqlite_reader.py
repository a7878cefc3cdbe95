"""Reading the event log of a SQLite file, from any process."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any, Self

from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.event_rows import Row
from matinee_platform.storage.sql_reader import SqlReader

_LIST = re.compile(r"IN \((:\w+)\)")
_BUSY_SECONDS = 5.0


class SqliteReader(SqlReader):
    """An `EventReader` of a SQLite file; it never writes.

    Args:
        path: the file; it may be made later.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def copy(self) -> Self:
        """Another reader of the same file."""
        return type(self)(self._path)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, statement: str, values: dict[str, Any]) -> list[Row]:
        bound = {
            name: json.dumps(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        try:
            return self._connected().execute(dialect(statement), bound).fetchall()
        except sqlite3.DatabaseError as error:
            # A damaged file is no OperationalError.
            self.close()
            raise LogUnavailableError(f"{self._path} cannot be read: {error}") from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            self._connection.execute("PRAGMA query_only = ON")
        return self._connection


def dialect(statement: str) -> str:
    """A statement of `SqlReader` as SQLite takes it: lists come as JSON."""
    return _LIST.sub(r"IN (SELECT value FROM json_each(\1))", statement)
