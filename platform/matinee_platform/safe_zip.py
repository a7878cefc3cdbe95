"""Unpack a zip file from elsewhere: only the files that were expected, never outside the folder."""

import stat
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from matinee_policies.errors import DataError

_CHUNK = 1 << 20


def unpack(
    archive: Path,
    folder: Path,
    *,
    root: str,
    files: Collection[str],
    ignored: Collection[str] = (),
    limit: int,
) -> None:
    """Unpack the files `root/NAME` into a folder.

    Args:
        archive: the zip file.
        folder: receives the files; exists.
        root: the one folder inside the zip file.
        files: names that are unpacked; each must be there.
        ignored: names that may be there too.
        limit: largest accepted content in bytes, as it unpacks, whatever the archive claims.

    Raises:
        DataError: it is no zip file, is damaged, holds anything else, lacks a file or is too large.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(archive, opened, root=root, known={*files, *ignored})
            for name in files:
                if name not in members:
                    raise DataError(archive, rule=f"must hold {root}/{name}")
                limit = _extract(archive, opened, members[name], folder / name, limit=limit)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(archive, rule=f"must be an undamaged zip file ({error})") from None


def _members(
    archive: Path, opened: zipfile.ZipFile, *, root: str, known: Collection[str]
) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for info in opened.infolist():
        if info.filename == f"{root}/":
            continue
        path = PurePosixPath(info.filename)
        plain = not stat.S_ISLNK(info.external_attr >> 16) and not info.is_dir()
        if path.parts != (root, path.name) or path.name not in known or not plain:
            raise DataError(
                archive, rule=f"must hold nothing but known files of {root}/", value=info.filename
            )
        if path.name in members:
            raise DataError(archive, rule="must hold a file once", value=info.filename)
        members[path.name] = info
    return members


def _extract(
    archive: Path, opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, *, limit: int
) -> int:
    """Write one file; returns what is left of the limit."""
    with opened.open(info) as source, target.open("xb") as sink:
        while chunk := source.read(_CHUNK):
            limit -= len(chunk)
            if limit < 0:
                raise DataError(
                    archive, rule="must unpack to less than the limit", value=info.filename
                )
            sink.write(chunk)
    return limit
