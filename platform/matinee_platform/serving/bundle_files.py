"""The files of a bundle: what is in its folder, what they are, how the folder appears."""

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Annotated

from pydantic import Field

from matinee_platform.serving.errors import BundleError
from matinee_platform.strict_settings import StrictSettings

DIGEST = r"^[0-9a-f]{64}$"
"""Form of a SHA-256."""

_AT_ONCE = 2**20


class BundleFile(StrictSettings):
    """One file of a bundle."""

    sha256: Annotated[str, Field(pattern=DIGEST)]
    size: Annotated[int, Field(ge=0)]


def files_below(folder: Path) -> list[str]:
    """Every file below a folder, relative to it; a link or a device is refused."""
    found = []
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise BundleError(f"a bundle must hold regular files alone, got {path.name!r}")
        found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def file_facts(path: Path) -> BundleFile:
    """Size and SHA-256 of a file."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while part := file.read(_AT_ONCE):
            digest.update(part)
            size += len(part)
    return BundleFile(sha256=digest.hexdigest(), size=size)


def sync(folder: Path) -> None:
    """Bring files and folders to the disk."""
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def move_in(draft: Path, target: Path) -> None:
    """Put the draft in the place of the target."""
    draft.chmod(0o755)
    if not target.exists():
        draft.rename(target)
        return
    old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        target.rename(old / "old")
        draft.rename(target)
    finally:
        shutil.rmtree(old, ignore_errors=True)
