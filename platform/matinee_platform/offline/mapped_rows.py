"""Arrays with one row per user of an arm, in one file that is mapped into memory.

    RUN/state/ARM/users.bin     every array, one after another, each from a whole page on
    RUN/state/ARM/users.json    their names, types, shapes and places, and whose they are

The file is changed in place while the arm runs. What was written outlives the process that wrote
it, also a killed one; `rollback.py` takes back what a killed one did after its last checkpoint.

Pages of the file that were touched count as memory of the process until `release` lets go of them.
An arm whose arrays are small keeps them; one whose arrays are large lets go after every block of
users, so its memory does not grow with their number.
"""

import errno
import math
import mmap
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matinee_platform.json_file import read_json, write_json
from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ConfigError, DataError
from matinee_policies.row_storage import FILL_BLOCK

_FILE, _INDEX = "users.bin", "users.json"
_PAGE = mmap.ALLOCATIONGRANULARITY
_CHECKED_AT_ONCE = 2**24


class MappedRows:
    """Arrays of one arm's users, a `matinee_policies.row_storage.RowStorage`.

    Args:
        folder: of the arm's state.
        owner: whose state it is; a file of another owner is refused.
        resume: whether to go on with the arrays of the folder; they are new otherwise.
        keep_bytes: largest size of all arrays for which `release` keeps what was touched.

    Attributes:
        fresh: whether the arrays are new.
        arrays: by name, as given out so far.

    Raises:
        ConfigError: the folder holds the state of another run.
        DataError: the state is missing.
    """

    def __init__(self, folder: Path, *, owner: str, resume: bool, keep_bytes: int) -> None:
        self.fresh = not resume
        self.arrays: dict[str, AnyArray] = {}
        self._folder = folder
        self._owner = owner
        self._keep_bytes = keep_bytes
        self._maps: list[mmap.mmap] = []
        self._index: dict[str, Any] = {}
        self._size = 0
        self._stored: Mapping[str, Any] = {} if self.fresh else self._open_index()
        if self.fresh:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _INDEX).unlink(missing_ok=True)
            # Another file of that name, so that a process which still maps the old one keeps it.
            (folder / _FILE).unlink(missing_ok=True)
            (folder / _FILE).touch()

    @property
    def nbytes(self) -> int:
        """Bytes of the file so far."""
        return self._size

    def full(self, name: str, shape: tuple[int, ...], fill: Any, dtype: npt.DTypeLike) -> AnyArray:
        """See `RowStorage.full`.

        Raises:
            ConfigError: the disk has no room for it.
            DataError: it is not what the file holds under this name.
        """
        kind = np.dtype(dtype)
        entry = {"place": self._size, "dtype": kind.str, "shape": list(shape)}
        if not self.fresh and self._stored.get(name) != entry:
            raise DataError(
                self._folder / _INDEX, rule=f"{name} must be {entry}", value=self._stored.get(name)
            )
        length = math.prod(shape) * kind.itemsize
        self._index[name] = entry
        self.arrays[name] = self._mapped(length, kind).reshape(shape)
        self._size += -(-length // _PAGE) * _PAGE
        # A new file holds zeros.
        if self.fresh and not (np.ndim(fill) == 0 and fill == 0):
            for start in range(0, shape[0], FILL_BLOCK):
                self.arrays[name][start : start + FILL_BLOCK] = fill
                self.release()
        return self.arrays[name]

    def release(self) -> None:
        """See `RowStorage.release`."""
        if self._size > self._keep_bytes and hasattr(mmap, "MADV_DONTNEED"):
            for mapping in self._maps:
                mapping.madvise(mmap.MADV_DONTNEED)

    def finish(self, constant: list[str]) -> None:
        """Say that all arrays hold their first state.

        Args:
            constant: arrays that never change from now on.
        """
        sums = {name: self._checksum(name) for name in constant}
        write_json(
            self._folder / _INDEX, {"owner": self._owner, "arrays": self._index, "sums": sums}
        )

    def check(self) -> None:
        """Refuse a file whose constant arrays are not as they were.

        Raises:
            DataError: naming the array.
        """
        for name, expected in read_json(self._folder / _INDEX)["sums"].items():
            if self._checksum(name) != expected:
                raise DataError(
                    self._folder / _FILE,
                    rule=f"array {name} must be as it was written; start anew with --overwrite",
                )

    def _open_index(self) -> dict[str, Any]:
        path = self._folder / _INDEX
        if not path.is_file() or not (self._folder / _FILE).is_file():
            raise DataError(
                path, rule="the state of the users must exist; start anew with --overwrite"
            )
        content = read_json(path)
        if content.get("owner") != self._owner:
            raise ConfigError(
                f"{self._folder} holds the state of the users of another run; start anew with "
                "--overwrite"
            )
        stored: dict[str, Any] = content["arrays"]
        return stored

    def _mapped(self, length: int, kind: np.dtype[Any]) -> AnyArray:
        if length == 0:
            return np.empty(0, dtype=kind)
        with (self._folder / _FILE).open("r+b") as file:
            if self.fresh:
                self._reserve(file.fileno(), length)
            mapping = mmap.mmap(file.fileno(), length, offset=self._size)
        self._maps.append(mapping)
        return np.frombuffer(mapping, dtype=kind)

    def _reserve(self, file: int, length: int) -> None:
        """Take room on the disk now: to write a page that has none would end the process."""
        try:
            os.posix_fallocate(file, self._size, length)
        except AttributeError:
            os.ftruncate(file, self._size + length)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise ConfigError(
                f"{self._folder}: no room on the disk for {length / 2**20:,.0f} MB more of the "
                "state of the users"
            ) from None

    def _checksum(self, name: str) -> int:
        data = self.arrays[name].reshape(-1).view(np.uint8)
        total = 0
        for start in range(0, data.size, _CHECKED_AT_ONCE):
            total = zlib.crc32(data[start : start + _CHECKED_AT_ONCE].data, total)
            self.release()
        return total
