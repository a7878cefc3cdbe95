"""Files that only their owner reads, made without harm to databases that are in use."""

import errno
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from matinee_platform.storage.private_files import private_file

LOOK = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("INSERT INTO t VALUES (2)")
database.commit()
database.close()
"""


def test_a_database_in_use_keeps_its_locks(tmp_path: Path) -> None:
    path = tmp_path / "some.sqlite"
    private_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE t (x)")
    database.execute("INSERT INTO t VALUES (1)")
    private_file(path)
    # Without our locks, the other process deletes the journal when it closes the database.
    subprocess.run([sys.executable, "-c", LOOK, str(path)], check=True)
    database.execute("INSERT INTO t VALUES (3)")
    assert (tmp_path / "some.sqlite-wal").exists()
    assert [one for (one,) in database.execute("SELECT x FROM t")] == [1, 2, 3]
    database.close()
    assert [one.name for one in tmp_path.iterdir()] == ["some.sqlite"]


@pytest.mark.parametrize("reason", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    """A thread that could open a database there would lose its locks when the file is closed."""
    path = tmp_path / "some.sqlite"

    def refuse(self: Path, target: Path) -> None:
        raise OSError(reason, os.strerror(reason))

    close, others = os.close, []

    def close_late(number: int) -> None:
        if path.exists():
            others.append(threading.Thread(target=private_file, args=(path,)))
            others[0].start()
            others[0].join(0.2)
            assert others[0].is_alive()
        close(number)

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr(os, "close", close_late)
    private_file(path)
    (other,) = others
    other.join()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["some.sqlite"]


def test_other_failures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with pytest.raises(OSError, match="space"):
        private_file(tmp_path / "some.sqlite")
    assert list(tmp_path.iterdir()) == []
