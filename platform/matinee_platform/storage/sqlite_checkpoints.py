"""Move what a SQLite log committed from its journal into the file, beside the commits.

SQLite would do it within every so many-th commit, and whoever waits for that commit waits for
thousands of pages and two flushes too. Here a thread with a connection of its own moves them while
commits go on; what these added meanwhile, little, the writer moves between two commits, and the
journal starts again from its beginning. A journal that keeps its length is flushed sooner than one
that grows.

SQLite flushes the file only with the last page of the journal, which only the writer moves: all
that was moved waited for it there, 25 ms in which nobody was answered. So the thread flushes the
file beforehand; SQLite does so again, and does not rely on it.
"""

import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

ROWS = 4_000
"""Rows after which a journal is moved: some 60 MB."""

_MOVE = "PRAGMA wal_checkpoint(PASSIVE)"
"""Moves what it can; nobody waits for it, and it waits for nobody."""


class Checkpoints:
    """Moves the journal of one writer; its methods belong to the writer's thread.

    Args:
        connect: opens a connection of its own, for another thread.
        rows: after which the journal is moved.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], *, rows: int = ROWS) -> None:
        self._connect = connect
        self._limit = rows
        self._rows = 0
        self._moving: Future[None] | None = None
        self._flush = EarlyFlush()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="matinee-checkpoint")

    @property
    def most_is_moved(self) -> bool:
        """Whether `finish` has work to do; for any thread."""
        moving = self._moving
        return moving is not None and moving.done()

    def committed(self, rows: int) -> None:
        """The writer committed so many rows."""
        self._rows += rows
        if self._rows >= self._limit and self._moving is None:
            self._rows = 0
            self._moving = self._thread.submit(self._move)

    def finish(self, writer: sqlite3.Connection) -> None:
        """Between two commits: move the rest, once the most was moved.

        A database that does not let it fails the next commit, and is dealt with there.
        """
        moving = self._moving
        if moving is None or not moving.done():
            return
        self._moving = None
        if moving.exception() is None:
            with suppress(sqlite3.Error):
                writer.execute(_MOVE).fetchone()

    def close(self) -> None:
        """Wait for what is being moved."""
        self._thread.shutdown()

    def let_go(self) -> None:
        """Let go of the file, once the writer has."""
        self._flush.close()

    def _move(self) -> None:
        connection = self._connect()
        try:
            connection.execute(_MOVE).fetchone()
            self._flush.of(Path(connection.execute("PRAGMA database_list").fetchone()[2]))
        finally:
            connection.close()


class EarlyFlush:
    """Flushes a file that SQLite has open.

    Closing any descriptor of a file gives up all POSIX locks that the process holds on it, those of
    SQLite's connections too, so this one stays open. It is not one of SQLite's: a failure is told
    to a descriptor once, and SQLite must hear of it, which flushes again.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def of(self, path: Path) -> None:
        """Flush a file; SQLite tells of what fails here."""
        with suppress(OSError):
            wanted = path.stat()
            if self._descriptor is not None and not _is(self._descriptor, wanted):
                self.close()
            if self._descriptor is None:
                self._descriptor = os.open(path, os.O_RDWR)
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file, unless a connection of this process has it open, and maybe locked."""
        own, self._descriptor = self._descriptor, None
        if own is None:
            return
        try:
            file = os.fstat(own)
            numbers = [int(one.name) for one in Path("/dev/fd").iterdir()]
        except OSError:
            return
        if not any(_is(number, file) for number in numbers if number != own):
            os.close(own)


def _is(descriptor: int, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file)
    except OSError:  # it was closed since
        return False
