"""Folders and files that only their owner reads: the data of a service are about people."""

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp

NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""How a file system says that it has no hard links."""

_MAKING = threading.Lock()
"""Held while a file is made: where there are no hard links it has its name before it is closed."""


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
    with _MAKING:
        if not path.exists():
            _make(path)


def _make(path: Path) -> None:
    # Closed before it has its name, so that nobody can have opened a database there.
    number, name = mkstemp(prefix=".new-", dir=path.parent)
    os.close(number)
    made = Path(name)
    try:
        with suppress(FileExistsError):
            path.hardlink_to(made)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # Threads of this process wait for its end, and locks of other processes are theirs.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    finally:
        made.unlink()
