"""The database of the control data: where it is, how it is opened, how writes go one after another.

Several processes write now and then: the API, the learner, the command line. Each write is a short
transaction that excludes the others from its first statement on, so that a rule that was checked
still holds when the row is written.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import NullPool
from sqlmodel import Session
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.private_files import private_file
from matinee_platform.storage.schema_version import is_newest, refuse_other_versions
from matinee_policies.errors import ConfigError

CONTROL_FILE = "control.sqlite"
"""The file of the SQLite tier, in the service's data folder."""

BUSY_SECONDS = 30.0
"""How long a write waits for another one."""

_POSTGRES = "postgresql+psycopg://"
_WRITE_LOCK = 0x6D61_7469_6E65_0101
"""The advisory lock of PostgreSQL that writers of control data hold."""


def control_url(data_dir: Path, database: str) -> str:
    """The address of the control data, from `ServiceSettings.data_dir` and `.database`.

    Raises:
        ConfigError: on a database that is neither `sqlite` nor a PostgreSQL.

    Example:
        >>> control_url(Path("/data"), "sqlite")
        'sqlite:////data/control.sqlite'
        >>> control_url(Path("/data"), "postgresql://ada@db/matinee")
        'postgresql+psycopg://ada@db/matinee'
    """
    if database == "sqlite":
        return f"sqlite:///{(data_dir / CONTROL_FILE).absolute()}"
    scheme, _, rest = database.partition("://")
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg") or not rest:
        # It may hold a password.
        raise ConfigError(
            "database must be 'sqlite' or 'postgresql://USER@HOST/NAME', "
            f"got one that begins with {scheme[:20]!r}"
        )
    return _POSTGRES + rest


def open_engine(url: str, *, secure_delete: bool = False) -> Engine:
    """Open the control database; nothing is made or read yet.

    Args:
        url: as `control_url` gives it.
        secure_delete: whether SQLite overwrites what is deleted.
    """
    if url.startswith("sqlite"):
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        if secure_delete:
            event.listen(engine, "connect", _overwrite_deleted)
        return engine
    return create_engine(url, hide_parameters=True, pool_pre_ping=True, pool_size=2)


def open_to_read(url: str) -> Engine:
    """Open the control database for whoever changes nothing of it, its tables neither.

    Args:
        url: as `control_url` gives it.

    Raises:
        ConfigError: its tables are of an older or a newer version than this one reads.
        LogUnavailableError: the database is away, or not there.
    """
    engine = open_engine(url)
    if engine.dialect.name == "sqlite":
        engine.dispose()
        engine = _to_read_file(url.removeprefix("sqlite:///"))
    else:
        event.listen(engine, "connect", _read_only_session)
    try:
        with _unavailable(), engine.connect() as connection:
            refuse_other_versions(connection, "control")
    except BaseException:
        engine.dispose()
        raise
    return engine


def upgrade(url: str) -> None:
    """Bring the control tables to their newest form; safe from several processes at once.

    Args:
        url: as `control_url` gives it.

    Raises:
        LogUnavailableError: the database is away.
    """
    engine = open_engine(url)
    if engine.url.database is not None and engine.dialect.name == "sqlite":
        with suppress(OSError):  # SQLite says better what is wrong
            private_file(Path(engine.url.database))
    try:
        with _unavailable():
            with engine.connect() as connection:
                if is_newest(connection, "control"):
                    return
            _migrate(engine)
    finally:
        engine.dispose()


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A transaction that no other writer overlaps; committed at the end, undone by an exception.

    Raises:
        LogUnavailableError: the database is away.
    """
    with _unavailable(), Session(_exclusive(engine)) as session, session.begin():
        _lock(session.connection())
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A transaction that only reads.

    Raises:
        LogUnavailableError: the database is away.
    """
    with _unavailable(), Session(engine) as session:
        yield session


def _migrate(engine: Engine) -> None:
    # Imported when there is something to do: a start need not wait for it.
    from matinee_platform.storage.migrate import upgrade_tree

    with _exclusive(engine).begin() as connection:
        _lock(connection)
        upgrade_tree(connection, "control")


def _exclusive(engine: Engine) -> Engine:
    return engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITE_LOCK})


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise LogUnavailableError(f"the control database is away: {error.orig}") from None
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise LogUnavailableError(f"the control database is away: {error.orig}") from None


def _to_read_file(path: str) -> Engine:
    def connect() -> sqlite3.Connection:
        # Not `mode=ro`: to read a log in WAL mode takes a file beside it, made where it is missing.
        connection = sqlite3.connect(
            f"{Path(path).as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only = ON")
        return connection

    return create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)


def _read_only_session(connection: Any, _: object) -> None:
    connection.read_only = True


def _prepare_sqlite(connection: Any, _: object) -> None:
    # SQLAlchemy begins transactions itself, at once and not at the first change.
    connection.isolation_level = None
    for attempt in _until_free():
        with attempt:
            connection.execute("PRAGMA journal_mode=WAL")
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _until_free() -> Retrying:
    # Of several that change a new file to WAL at once, SQLite lets one through and refuses the
    # others at once, whatever their timeout: waiting could never end if each held a shared lock.
    return Retrying(
        retry=retry_if_exception(_is_busy),
        stop=stop_after_delay(BUSY_SECONDS),
        wait=wait_random(0.001, 0.02),
        reraise=True,
    )


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_BUSY_RECOVERY,
    )


def _overwrite_deleted(connection: Any, _: object) -> None:
    connection.execute("PRAGMA secure_delete=ON")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))
