"""Leases that die with their holder: locks of files on one machine, of PostgreSQL across many."""

import fcntl
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from matinee_platform.storage.errors import LogUnavailableError
from matinee_policies.errors import ConfigError

if TYPE_CHECKING:
    import psycopg

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class FileLease:
    """A lock of the file `NAME.lock` in a folder; a `Lease`.

    The kernel drops it when the process ends, however it ends. A file system that several machines
    share may not keep that promise.

    Args:
        folder: which exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handles: dict[str, int] = {}

    def acquire(self, name: str) -> bool:
        """Try to take it, without waiting; whoever holds it already keeps it."""
        if self.held(name):
            return True
        handle = os.open(self._path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handles[name] = handle
        return self.held(name)

    def held(self, name: str) -> bool:
        """Whether this object still holds it: its file is the one that is locked."""
        handle = self._handles.get(name)
        if handle is None:
            return False
        path = self._path(name)
        if path.exists() and os.path.samestat(path.stat(), os.fstat(handle)):
            return True
        # Somebody removed the file: another process may lock the new one.
        self.release(name)
        return False

    def release(self, name: str) -> None:
        """Give it back; a lease that is not held is no error."""
        handle = self._handles.pop(name, None)
        if handle is not None:
            os.close(handle)

    def _path(self, name: str) -> Path:
        _check_name(name)
        return self._folder / f"{name}.lock"


class PostgresLease:
    """Advisory locks of one session of PostgreSQL; a `Lease`.

    The server drops them when the connection ends, at the latest when it notices that the holder's
    machine is gone (`tcp_keepalives_*`).

    Args:
        url: `postgresql://USER@HOST/NAME`.
    """

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self._session: psycopg.Connection | None = None

    def acquire(self, name: str) -> bool:
        """Try to take it, without waiting; whoever holds it already keeps it.

        Raises:
            LogUnavailableError: the database is away.
        """
        key = _lock_key(name)
        if self.held(name):
            return True
        import psycopg

        from matinee_platform.storage.postgres_connection import connect

        try:
            if self._session is None:
                self._session = connect(self._url)
            row = self._session.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
        except psycopg.Error as error:
            self._close()
            raise LogUnavailableError(f"the database of leases is away: {error}") from None
        return row is not None and bool(row[0])

    def held(self, name: str) -> bool:
        """Whether this session still holds it, asked of the server."""
        key = _lock_key(name)
        if self._session is None:
            return False
        import psycopg

        # An advisory lock of one bigint shows as two halves.
        query = (
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
            "AND pid = pg_backend_pid() AND classid = %s AND objid = %s"
        )
        halves = [key >> 32 & 0xFFFFFFFF, key & 0xFFFFFFFF]
        try:
            return self._session.execute(query, halves).fetchone() is not None
        except psycopg.Error:
            # With the connection went the lock.
            self._close()
            return False

    def release(self, name: str) -> None:
        """Give it back; a lease that is not held is no error."""
        if self.held(name) and self._session is not None:
            import psycopg

            try:
                self._session.execute("SELECT pg_advisory_unlock(%s)", [_lock_key(name)])
            except psycopg.Error:
                self._close()

    def close(self) -> None:
        """Give all of them back."""
        self._close()

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"name of a lease must be 1-128 letters, digits, _ or -, got {name!r}")


def _lock_key(name: str) -> int:
    """A number of 64 bits with sign, as advisory locks have."""
    _check_name(name)
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"matinee-lease").digest()
    return int.from_bytes(digest, "big", signed=True)
