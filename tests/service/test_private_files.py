"""Files that only their owner reads, made without harm to databases that are in use."""

import sqlite3
import subprocess
import sys
from pathlib import Path

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
