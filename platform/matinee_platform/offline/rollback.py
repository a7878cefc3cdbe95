"""Take back the days since the last checkpoint: the rows of their users as they were before.

    RUN/state/ARM/day-DDDDD.before    rows of the users that day DDDDD is the first to change since
                                      the checkpoint: in blocks of a count, row numbers, then those
                                      rows of each column by name

Rows are changed in place while a day runs. Before the first of them changes, those of all users
whom the day may touch, and no day before it has, are written beside them, and the file gets its
name once it is whole; the files go when the next checkpoint is there. So at any moment the files
hold every row that has changed since the last one. Putting rows back twice does no harm.
This is the rollback journal of databases. It holds against the end of a process at any moment;
against the end of the machine only as far as the digests of rows tell that something is amiss.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from matinee_policies.arrays import AnyArray, IndexArray
from matinee_policies.errors import DataError

_AT_ONCE = 4_096
_COUNT = 8
"""Bytes of the number of rows that each block of the file begins with."""

_UNREADABLE = (OSError, ValueError, IndexError, OverflowError)


class Rollback:
    """Rows of the days of one arm.

    Args:
        folder: of the arm's state.
        columns: arrays `[n, ...]` that are changed in place, by name.
        release: called after each block of rows.
    """

    def __init__(
        self, folder: Path, columns: Mapping[str, AnyArray], *, release: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._columns = dict(sorted(columns.items()))
        self._release = release
        self._buffers: dict[str, AnyArray] = {}
        self._spares: list[Path] = []

    def keep(self, rows: IndexArray, day: int) -> None:
        """Write down rows before `day` changes them.

        Args:
            rows: all rows that the day may change and that were not written down since the last
                checkpoint, rising, `int32 [k]`.
            day: which is about to begin.
        """
        # Written over the rows of a day that is done: new room on the disk is the dearer part.
        spare = self._spares.pop() if self._spares else self._path(day).with_suffix(".partial")
        spare.touch()
        with spare.open("r+b") as file:
            for start in range(0, rows.size, _AT_ONCE):
                block = rows[start : start + _AT_ONCE]
                file.write(block.size.to_bytes(_COUNT, "little"))
                file.write(block.data)
                for name, column in self._columns.items():
                    kept = self._buffer(name)[: block.size]
                    np.take(column, block, axis=0, out=kept, mode="clip")
                    file.write(kept.data)
                self._release()
            file.truncate()
        spare.replace(self._path(day))

    def forget(self) -> None:
        """Drop all rows kept: a checkpoint is there."""
        for path in self._kept():
            spare = path.with_suffix(".partial")
            path.replace(spare)
            self._spares.append(spare)

    def take_back(self, day: int) -> None:
        """Put all rows back as they were before `day`; rows kept for days before it are dropped.

        Raises:
            DataError: a file is damaged.
        """
        for path in self._kept():
            if path < self._path(day):
                continue
            try:
                with path.open("rb") as file:
                    self._put_back(file)
            except _UNREADABLE as error:
                raise DataError(
                    path, rule=f"must hold whole rows ({error}); start anew with --overwrite"
                ) from None
        # Only now: a process that ends before it has put all of them back must find them again.
        self.clear()

    def clear(self) -> None:
        """Delete all rows kept, and what is left of half-written ones."""
        self._spares = []
        for left in (*self._kept(), *self._folder.glob("day-*.partial")):
            left.unlink()

    def _put_back(self, file: BinaryIO) -> None:
        while count := file.read(_COUNT):
            size = int.from_bytes(count, "little")
            if size > _AT_ONCE:
                raise ValueError(f"at most {_AT_ONCE} rows are written at once, {size} are named")
            rows = _read(file, (size,), np.dtype(np.int32))
            for column in self._columns.values():
                column[rows] = _read(file, (rows.size, *column.shape[1:]), column.dtype)
            self._release()

    def _kept(self) -> list[Path]:
        return sorted(self._folder.glob("day-*.before"))

    def _path(self, day: int) -> Path:
        return self._folder / f"day-{day:05d}.before"

    def _buffer(self, name: str) -> AnyArray:
        if name not in self._buffers:
            column = self._columns[name]
            self._buffers[name] = np.empty((_AT_ONCE, *column.shape[1:]), dtype=column.dtype)
        return self._buffers[name]


def _read(file: BinaryIO, shape: tuple[int, ...], kind: np.dtype[Any]) -> AnyArray:
    wanted = math.prod(shape) * kind.itemsize
    data = file.read(wanted)
    if len(data) != wanted:
        raise ValueError(f"{wanted} bytes wanted, {len(data)} are there")
    return np.frombuffer(data, dtype=kind).reshape(shape)
