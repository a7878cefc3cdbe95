"""Logged pages that wait for their rewards, on disk by day.

    FOLDER/pages-DDDDD.bin    the pages of a day, in the order of the log

What one day's pages need in memory does not grow with their number: they are written as they come
and read back some at a time. A day's file gets its name when the day is over and does not change
from then on, so a checkpoint need only name it, with its size and CRC-32.
"""

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int8Array,
    Int64Array,
    UInt8Array,
    UInt64Array,
)
from matinee_policies.errors import DataError

PAGES_AT_ONCE = 16_384
"""Pages that are read back together."""

_WRITTEN_AT_ONCE = 4_096
_READ_AT_ONCE = 1 << 20
_UNREADABLE = (OSError, ValueError, EOFError)


@dataclass(frozen=True, slots=True)
class WaitingPages:
    """Logged pages of one day; fields as in `OutcomeBatch`, `engagement` being a reward."""

    ids: UInt64Array
    features: Float32Array
    shown: BoolArray
    propensities: FloatArray
    shards: UInt8Array
    items: IndexArray
    engagement: FloatArray
    base: Int8Array | None
    base_propensity: FloatArray | None


class PageFiles:
    """Pages of one arm.

    Args:
        folder: where the files are; made when there is a first page.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[WaitingPages] = []
        self._rows = 0
        self._begun = False
        self._sum = 0
        self._marks: dict[int, tuple[int, int]] = {}

    def append(self, pages: WaitingPages) -> None:
        """Take in pages of the current day, in the order of the log."""
        self._held.append(pages)
        self._rows += pages.ids.size
        if self._rows >= _WRITTEN_AT_ONCE:
            self._write()

    def close_day(self, day: int) -> bool:
        """End the current day; whether it had any pages."""
        self._write()
        if not self._begun:
            return False
        self._marks[day] = (self._partial.stat().st_size, self._sum)
        self._begun, self._sum = False, 0
        self._partial.replace(self._path(day))
        return True

    def read(self, day: int) -> Iterator[WaitingPages]:
        """The pages of a closed day, in order, up to about `PAGES_AT_ONCE` at a time.

        Raises:
            DataError: the file is damaged.
        """
        path = self._path(day)
        held: list[WaitingPages] = []
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                while file.tell() < size:
                    held.append(_read_pages(file))
                    if sum(pages.ids.size for pages in held) >= PAGES_AT_ONCE:
                        yield _joined(held)
                        held = []
        except _UNREADABLE as error:
            raise DataError(path, rule=f"must hold the pages of a day ({error})") from None
        if held:
            yield _joined(held)

    def drop(self, days: Sequence[int]) -> None:
        """Delete the pages of closed days."""
        for day in days:
            self._path(day).unlink(missing_ok=True)

    def marks(self, days: Sequence[int]) -> Int64Array:
        """Bytes and CRC-32 of the files of closed days, for a checkpoint, `int64 [n, 2]`."""
        return np.array([self._marks[day] for day in days], dtype=np.int64).reshape(-1, 2)

    def restore(self, days: Sequence[int], marks: Int64Array) -> None:
        """Go on with the files of some closed days; all others are deleted.

        Args:
            days: the days.
            marks: what `marks` gave for them.

        Raises:
            DataError: a file is missing, or is not what was written.
        """
        self._held, self._rows, self._begun, self._sum = [], 0, False, 0
        self._marks = {
            day: (int(size), int(crc)) for day, (size, crc) in zip(days, marks, strict=True)
        }
        for path in self._folder.glob("pages-*"):
            if path.suffix != ".bin" or int(path.stem.removeprefix("pages-")) not in self._marks:
                path.unlink()
        for day, wanted in self._marks.items():
            path = self._path(day)
            found = _mark_of(path) if path.is_file() else None
            if found != wanted:
                raise DataError(
                    path,
                    rule=f"must have {wanted[0]} bytes of CRC-32 {wanted[1]}; "
                    "start anew with --overwrite",
                    value=found and f"{found[0]} bytes of CRC-32 {found[1]}",
                )

    def _write(self) -> None:
        if not self._held:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        pages, piece = _joined(self._held), io.BytesIO()
        for field in fields(WaitingPages):
            values: AnyArray | None = getattr(pages, field.name)
            # A field that a policy does not give has no entries.
            np.save(piece, np.empty(0) if values is None else values, allow_pickle=False)
        self._sum = zlib.crc32(piece.getbuffer(), self._sum)
        with self._partial.open("ab" if self._begun else "wb") as file:
            file.write(piece.getbuffer())
        self._held, self._rows, self._begun = [], 0, True

    @property
    def _partial(self) -> Path:
        return self._folder / "pages-today.partial"

    def _path(self, day: int) -> Path:
        return self._folder / f"pages-{day:05d}.bin"


def _mark_of(path: Path) -> tuple[int, int]:
    """Bytes and CRC-32 of a file."""
    size, crc = 0, 0
    with path.open("rb") as file:
        while piece := file.read(_READ_AT_ONCE):
            size, crc = size + len(piece), zlib.crc32(piece, crc)
    return size, crc


def _read_pages(file: BinaryIO) -> WaitingPages:
    arrays = {field.name: np.load(file, allow_pickle=False) for field in fields(WaitingPages)}
    given: dict[str, Any] = {
        name: values if values.size else None for name, values in arrays.items()
    }
    return WaitingPages(**given)


def _joined(parts: list[WaitingPages]) -> WaitingPages:
    """One piece of many. A policy gives a field always or never."""
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {}
    for field in fields(WaitingPages):
        given = [values for part in parts if (values := getattr(part, field.name)) is not None]
        columns[field.name] = np.concatenate(given) if given else None
    return WaitingPages(**columns)
