"""The last place of the log of a service, asked without its appender: a start notes it."""

from pathlib import Path

from sqlalchemy import inspect, text

from matinee_platform.storage.control_database import control_url, open_engine, reading
from matinee_platform.storage.event_log import SQLITE_FILE


def last_place(data_dir: Path, database: str) -> int:
    """Last place of the log; 0 before the log is made.

    Args:
        data_dir: `ServiceSettings.data_dir`.
        database: `ServiceSettings.database`.

    Raises:
        LogUnavailableError: the database is away.
    """
    url = control_url(data_dir, database)
    if database == "sqlite":
        path = data_dir / SQLITE_FILE
        if not path.is_file():
            return 0
        url = f"sqlite:///{path.absolute()}"
    engine = open_engine(url)
    try:
        with reading(engine) as session:
            connection = session.connection()
            if not inspect(connection).has_table("seq"):
                return 0
            return int(connection.execute(text("SELECT last FROM seq")).scalar_one())
    finally:
        engine.dispose()
