"""Folders and files that only their owner reads: the data of a service are about people."""

import os
from pathlib import Path


def private_folder(path: Path) -> None:
    """Make a folder with mode 700; one that is there stays as it is, parents are made as usual."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def private_file(path: Path) -> None:
    """Make an empty file with mode 600; one that is there stays as it is.

    What SQLite puts beside a database has the database's mode.

    Raises:
        OSError: it cannot be made.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
