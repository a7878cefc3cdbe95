"""Ask a service's database, SQLite or PostgreSQL, without a lock that its writers would feel.

Every answer of one `reading` is of the same moment. Rows come some thousand at a time.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.event_rows import Row

AT_ONCE = 20_000
"""Rows of an answer in memory at once."""

Ask = Callable[[str, Mapping[str, Any]], Iterator[list[Row]]]
"""Asks a statement with `:name` for bound values and `{hex}` for the digits of a slate."""

_BUSY_SECONDS = 5.0


@contextmanager
def reading(database: Path | str) -> Iterator[Ask]:
    """Ask a database.

    Args:
        database: a SQLite file, or `postgresql://USER@HOST/NAME`.

    Raises:
        LogUnavailableError: it cannot be read.
    """
    if isinstance(database, str) and "://" in database:
        with _postgres(database) as ask:
            yield ask
    else:
        with _sqlite(Path(database)) as ask:
            yield ask


@contextmanager
def _sqlite(path: Path) -> Iterator[Ask]:
    try:
        with closing(
            sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
            )
        ) as connection:
            connection.execute("PRAGMA query_only = ON")
            # Readers and the writer of a log in WAL mode do not wait for each other.
            connection.execute("BEGIN")

            def ask(statement: str, values: Mapping[str, Any]) -> Iterator[list[Row]]:
                cursor = connection.execute(statement.replace("{hex}", "hex(slate)"), values)
                while rows := cursor.fetchmany(AT_ONCE):
                    yield rows

            yield ask
    except sqlite3.DatabaseError as error:
        raise LogUnavailableError(f"{path} cannot be read: {error}") from error


@contextmanager
def _postgres(address: str) -> Iterator[Ask]:
    import psycopg

    from matinee_platform.storage.postgres_connection import connect
    from matinee_platform.storage.postgres_reader import dialect

    try:
        with connect(address, application_name="matinee analysis") as connection:
            connection.execute(b"SET default_transaction_isolation = 'repeatable read'")
            connection.execute(b"SET default_transaction_read_only = on")
            with connection.transaction():

                def ask(statement: str, values: Mapping[str, Any]) -> Iterator[list[Row]]:
                    spelled = statement.replace("{hex}", "upper(encode(slate, 'hex'))")
                    with connection.cursor(name="analysis") as cursor:
                        cursor.execute(dialect(spelled).encode(), dict(values))
                        while rows := cursor.fetchmany(AT_ONCE):
                            yield rows

                yield ask
    except psycopg.OperationalError as error:
        raise LogUnavailableError(f"PostgreSQL cannot be read: {error}") from error
