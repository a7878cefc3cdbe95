"""Folders and files that only their owner reads: the data of a service are about people."""

import os
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp


def private_folder(path: Path) -> None:
    """Make a folder with mode 700; one that is there stays as it is, parents are made as usual."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def private_file(path: Path) -> None:
    """Make an empty file with mode 600; one that is there is not even opened.

    A process that closes any descriptor of a file loses all its locks on it, those of SQLite
    included: another process would then take the database for unused and delete its journal.

    What SQLite puts beside a database has the database's mode.

    Raises:
        OSError: it cannot be made.
    """
    if path.exists():
        return
    # Closed before it has its name, so that no thread can have opened a database there.
    number, name = mkstemp(prefix=".new-", dir=path.parent)
    os.close(number)
    made = Path(name)
    try:
        with suppress(FileExistsError):
            path.hardlink_to(made)
    finally:
        made.unlink()
