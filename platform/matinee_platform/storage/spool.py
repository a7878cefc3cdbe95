"""A local file that holds records while the database is away.

Records are durable when `append` returns; they leave in the order in which they came. A process
holds its file alone; what a former process left behind is taken over at the start.

A file is emptied when all of it has been taken, so a crash in between offers records again: their
ids tell the log that it has them already.
"""

import fcntl
import os
import shutil
from collections.abc import Sequence
from io import FileIO
from itertools import count, islice
from pathlib import Path

import structlog

from matinee_platform.storage.append_plan import Receipt, Record
from matinee_platform.storage.errors import SpoolFullError
from matinee_platform.storage.private_files import private_file, private_folder
from matinee_platform.storage.records import (
    DecisionReceipt,
    DecisionRecord,
    Outcome,
    RewardReceipt,
)
from matinee_platform.storage.spool_frames import Frame, frames, to_frame

_LOG = structlog.get_logger(__name__)

MAX_BYTES = 2**30
"""Most bytes of a spool, unless told otherwise."""
_CHUNK = 2**22
_Key = tuple[str, int | bytes]


class Spool:
    """The spool of one process, in a folder that several may share; used by one thread at a time.

    Args:
        folder: made if it is not there.
        max_bytes: most bytes of the file.

    Attributes:
        rows: records that wait.
        damaged: stretches of files that held no sound frame when they were opened.
        conflicts: records of former processes that were dropped: the spool has their ids with other
            bodies.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        private_folder(folder)
        self.damaged = 0
        self.conflicts = 0
        self.rows = 0
        self._max_bytes = max_bytes
        self._seen: dict[_Key, tuple[bytes, int]] = {}
        self._front = 0
        self._path, self._file, left_behind = _claim(folder)
        self._end = self._read_index()
        for path, file in left_behind:
            with file:
                self._take_over(path, file)

    def append(self, batch: Sequence[Record]) -> list[Receipt]:
        """Store records durably; those that the spool has seen since it was empty are told.

        Raises:
            SpoolFullError: they do not fit.
            OSError: the disk is full or failed; nothing was stored.
        """
        data = bytearray()
        receipts: list[Receipt] = []
        seen: dict[_Key, tuple[bytes, int]] = {}
        for record in batch:
            key, digest = _key(record), record.body_digest
            first = self._seen.get(key) or seen.get(key)
            if first is None:
                seen[key] = (digest, self._end + len(data))
                data += to_frame(record)
            receipts.append(self._receipt(record, first, data))
        if self._end + len(data) > self._max_bytes:
            raise SpoolFullError(
                f"the spool may hold {self._max_bytes} bytes, and holds {self._end}"
            )
        if data:
            self._write(data)
            self._seen.update(seen)
            self.rows += len(seen)
        return receipts

    def peek(self, limit: int) -> tuple[list[Record], int]:
        """The next `limit` records at most, and the place behind them for `taken`."""
        size = _CHUNK
        while True:
            data = os.pread(self._file.fileno(), min(size, self._end - self._front), self._front)
            found = list(islice(frames(data, offset=self._front), limit))
            if len(found) == limit or len(data) < size:
                break
            size *= 2
        return [frame.record for frame in found], found[-1].end if found else self._end

    def taken(self, records: int, place: int) -> None:
        """Forget what `peek` gave; the file is emptied when nothing is left."""
        self.rows -= records
        self._front = place
        if self._front >= self._end:
            self._empty()

    def close(self) -> None:
        """Let go of the file; what waits stays in it."""
        self._file.close()

    def _write(self, data: bytes | bytearray) -> None:
        number = self._file.fileno()
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(number, memoryview(data)[written:], self._end + written)
            os.fsync(number)
        except OSError:
            os.ftruncate(number, self._end)
            raise
        self._end += len(data)

    def _receipt(self, record: Record, first: tuple[bytes, int] | None, data: bytearray) -> Receipt:
        decision = isinstance(record, DecisionRecord)
        outcome = Outcome.STORED
        stored = None
        if first is not None:
            same = first[0] == record.body_digest
            outcome = Outcome.REPEATED if same else Outcome.CONFLICT
            if same and decision:
                stored = self._record_at(first[1], data)
        if decision:
            return DecisionReceipt(outcome, -1, stored)
        return RewardReceipt(outcome, -1)

    def _record_at(self, place: int, data: bytearray) -> DecisionRecord | None:
        if place >= self._end:
            found = next(frames(bytes(data[place - self._end :])), None)
        else:
            size = min(_CHUNK, self._end - place)
            found = next(frames(os.pread(self._file.fileno(), size, place)), None)
        return found.record if found and isinstance(found.record, DecisionRecord) else None

    def _empty(self) -> None:
        os.ftruncate(self._file.fileno(), 0)
        self._seen.clear()
        self._front = self._end = self.rows = 0

    def _read_index(self) -> int:
        """Count what the file holds; drop a frame that was not written whole; the end of it."""
        data = _whole(self._file)
        found = self._sound(self._path, data)
        end = found[-1].end if found else 0
        for frame in found:
            self._seen.setdefault(_key(frame.record), (frame.record.body_digest, frame.begin))
            self.rows += 1
        if end < len(data):
            _LOG.warning("spool_torn_frame_dropped", spool=str(self._path), bytes=len(data) - end)
            os.ftruncate(self._file.fileno(), end)
        return end

    def _sound(self, path: Path, data: bytes) -> list[Frame]:
        """The frames of a file; where others were, the file is kept aside and told of."""
        found = list(frames(data))
        ends = [0, *(frame.end for frame in found)]
        damaged = sum(frame.begin > end for frame, end in zip(found, ends, strict=False))
        if damaged:
            aside = path.with_name(f"{path.name}.damaged")
            private_file(aside)
            shutil.copyfile(path, aside)
            self.damaged += damaged
            _LOG.error("spool_damaged", spool=str(path), stretches=damaged, kept=str(aside))
        return found

    def _take_over(self, path: Path, file: FileIO) -> None:
        """Move what a former process left behind into this one's file, or leave it where it is."""
        records = [frame.record for frame in self._sound(path, _whole(file))]
        try:
            receipts = self.append(records)
        except SpoolFullError as error:
            _LOG.warning("spool_left_behind", spool=str(path), error=str(error))
            return
        for record, receipt in zip(records, receipts, strict=True):
            if receipt.outcome is Outcome.CONFLICT:
                self.conflicts += 1
                _LOG.error("spooled_row_refused", outcome="CONFLICT", row=name_of(record))
        os.ftruncate(file.fileno(), 0)


def name_of(record: Record) -> str:
    """What may be told of a record in a log: a number or a digest, never an id of a caller's."""
    if isinstance(record, DecisionRecord):
        return f"decision {record.decision_id:016x}"
    return f"reward {record.reward_key.hex()}"


def _claim(folder: Path) -> tuple[Path, FileIO, list[tuple[Path, FileIO]]]:
    """The first file of the folder that nobody holds, and all others that nobody holds."""
    held: dict[Path, FileIO] = {}
    for number in count():
        path = folder / f"events-{number}.spool"
        if held and not path.exists():
            own = next(iter(held))
            return own, held.pop(own), list(held.items())
        new = not path.exists()
        file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        if new:
            _sync_folder(folder)
        held[path] = file
    raise AssertionError("count() ends")


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _whole(file: FileIO) -> bytes:
    file.seek(0)
    return file.read()


def _key(record: Record) -> _Key:
    if isinstance(record, DecisionRecord):
        return ("decision", record.decision_id)
    return ("reward", record.reward_key)
