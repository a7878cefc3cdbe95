"""Fetch a known data set from its publisher into the folder of a user's own data.

HOME/NAME/                   the set, complete: it appears by one rename
HOME/.fetching/NAME.zip      a download in progress, continued by the next attempt
"""

import fcntl
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from matinee_platform.download import FetchError, Patience, Progress, download, read_small
from matinee_platform.known_data import PUBLISHER, KnownData, is_present
from matinee_platform.safe_zip import unpack

_CHUNK = 1 << 20
_MD5 = re.compile(r"\b[0-9a-fA-F]{32}\b")


def fetch_data(
    known: KnownData,
    home: Path,
    *,
    base_url: str = PUBLISHER,
    patience: Patience | None = None,
    announce: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Fetch a set, unless it is there already.

    Args:
        known: the set.
        home: folder that keeps data; made if need be.
        base_url: folder of the publisher's zip files.
        patience: how long to try.
        announce: told what happens, a line at a time.
        progress: told of the bytes that arrived.

    Returns:
        The folder of the set.

    Raises:
        FetchError: the network, the server, the checksum or the disk is to blame; nothing is left
            but a partial download.
        DataError: the zip file is damaged or holds what it should not.
    """
    folder = home / known.name
    if _is_there(folder):
        return folder
    patience = patience or Patience()
    url = f"{base_url.rstrip('/')}/{known.name}.zip"
    try:
        with _fetching(home) as work:
            if _is_there(folder):
                return folder  # another process fetched it meanwhile
            _clear_unpacked(known, work)
            archive = work / f"{known.name}.zip"
            announce(f"Fetching {url}")
            limit = known.zip_limit
            download(url, archive, limit=limit, patience=patience, progress=progress)
            _check_archive(known, archive, url, patience=patience, announce=announce)
            _unpack_into_place(known, archive, folder)
            _discard(archive)
    except OSError as error:
        what = error.filename or home
        raise FetchError(f"{what}: cannot be written ({error.strerror})") from None
    return folder


def _is_there(folder: Path) -> bool:
    if is_present(folder):
        return True
    if folder.exists():
        raise FetchError(f"{folder} is there, but holds no fetched data; move it away")
    return False


def _clear_unpacked(known: KnownData, work: Path) -> None:
    """Delete what a process that was killed had unpacked; the lock says that none is at work."""
    for stale in work.glob(f"{known.name}-*"):
        if stale.is_dir() and not stale.is_symlink():
            shutil.rmtree(stale)


@contextmanager
def _fetching(home: Path) -> Iterator[Path]:
    """The folder of downloads in progress, for one process at a time."""
    work = home / ".fetching"
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FetchError(f"{work}: another process is fetching data right now") from None
        yield work


def _check_archive(
    known: KnownData,
    archive: Path,
    url: str,
    *,
    patience: Patience,
    announce: Callable[[str], None],
) -> None:
    published = read_small(f"{url}.md5", patience=patience)
    if published is None:
        if not known.sha256:
            announce(f"{url}.md5: not published; only the zip file's own checksums are checked")
        return
    match = _MD5.search(published)
    if match is None:
        raise FetchError(f"{url}.md5: must hold an MD5 checksum, got {published[:40]!r}")
    found = _digest(archive, "md5")
    if found != match[0].lower():
        _discard(archive)
        raise FetchError(f"{url}: must have the published MD5 {match[0].lower()}, got {found}")


def _unpack_into_place(known: KnownData, archive: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{known.name}-", dir=archive.parent) as temporary:
        fresh = Path(temporary) / known.name
        fresh.mkdir()
        try:
            unpack(
                archive,
                fresh,
                root=known.name,
                files=known.files,
                ignored=known.ignored,
                limit=known.unpacked_limit,
            )
            for name, expected in known.sha256.items():
                found = _digest(fresh / name, "sha256")
                if found != expected:
                    raise FetchError(
                        f"{name} of {known.name} must have the SHA-256 {expected}, got {found}; "
                        "the publisher may have changed it"
                    )
        except Exception:
            _discard(archive)
            raise
        fresh.rename(folder)


def _discard(archive: Path) -> None:
    """Forget a download, so that the next attempt starts anew."""
    archive.unlink(missing_ok=True)
    archive.with_name(f"{archive.name}.etag").unlink(missing_ok=True)


def _digest(path: Path, name: str) -> str:
    digest = hashlib.new(name, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
