"""The state of an arm's users on disk: changed in place, and brought back to the last checkpoint.

Arrays of a few bytes per user go whole into every checkpoint. Arrays of wide rows stay where they
are: a `Rollback` brings them back to the checkpoint, and a digest of each row, which the checkpoint
holds, tells whether that is what came of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matinee_platform.offline.mapped_rows import MappedRows
from matinee_platform.offline.rollback import Rollback
from matinee_platform.offline.row_digest import WORD, row_digests
from matinee_policies.arrays import AnyArray, BoolArray, IndexArray, UInt64Array
from matinee_policies.errors import DataError

_NARROW = 16
"""Bytes of a row up to which an array goes whole into every checkpoint."""

_DIGESTED_AT_ONCE = 4_096


class UserRows:
    """Rows of one arm's users.

    Args:
        folder: of the arm's state.
        owner: whose state it is.
        resume: whether to go on with the state of the folder.
        keep_bytes: largest size of the state that stays in memory once it was touched.

    Raises:
        ConfigError: the folder holds the state of another run.
        DataError: the state is missing.
    """

    def __init__(self, folder: Path, *, owner: str, resume: bool, keep_bytes: int) -> None:
        self._folder = folder
        self._mapped = MappedRows(folder, owner=owner, resume=resume, keep_bytes=keep_bytes)
        self._wide: dict[str, AnyArray] = {}
        self._digests: UInt64Array = np.empty(0, dtype=np.uint64)
        self._touched: BoolArray = np.empty(0, dtype=np.bool_)
        self._rollback: Rollback | None = None

    def under(self, prefix: str) -> "PrefixedRows":
        """The storage for arrays whose names begin with `prefix`."""
        return PrefixedRows(self._mapped, prefix)

    def begin(self, changing: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Begin to guard the arrays, once all of them are there.

        Args:
            changing: every array that changes from day to day, by name.

        Returns:
            Those of them that belong whole into a checkpoint.
        """
        mapped = self._mapped.arrays
        self._wide = {
            name: array for name, array in changing.items() if name in mapped and _is_wide(array)
        }
        users = max((len(array) for array in self._wide.values()), default=0)
        constant = [name for name in mapped if name not in changing]
        self._digests = self._mapped.full("digests", (users,), 0, np.uint64)
        self._touched = np.zeros(users, dtype=np.bool_)
        self._rollback = Rollback(self._folder, self._wide, release=self.release)
        if self._mapped.fresh:
            self._rollback.clear()
            self._digest(np.arange(users, dtype=np.int32))
            self._mapped.finish(constant)
        return {
            **{name: array for name, array in changing.items() if name not in self._wide},
            "digests": self._digests,
        }

    def open_day(self, rows: IndexArray, day: int) -> None:
        """Make ready for a day that changes wide rows of these users only, rising, `int32 [k]`."""
        self._guard().keep(rows[~self._touched[rows]], day)
        self._touched[rows] = True

    def digest(self) -> None:
        """Digest the rows that may have changed since the last checkpoint; the next one is due."""
        self._digest(np.flatnonzero(self._touched).astype(np.int32))

    def settle(self) -> None:
        """Drop the way back: the checkpoint is there."""
        self._guard().forget()
        self._touched[:] = False
        self.release()

    def take_back(self, day: int) -> None:
        """Bring wide rows back to what they were before `day`; see `Rollback.take_back`."""
        self._guard().take_back(day)
        self._touched[:] = False

    def check(self) -> None:
        """Refuse rows that are not those of the checkpoint that was just copied over the others.

        Raises:
            DataError: naming the folder.
        """
        self._mapped.check()
        for start in range(0, self._digests.size, _DIGESTED_AT_ONCE):
            stop = min(start + _DIGESTED_AT_ONCE, self._digests.size)
            rows = np.arange(start, stop, dtype=np.int32)
            wrong = row_digests(self._wide, rows) != self._digests[rows]
            if wrong.any():
                raise DataError(
                    self._folder,
                    rule="the state of the users must be that of the last checkpoint, user "
                    f"{start + int(wrong.argmax())} of the arm is not; start anew with --overwrite",
                )
            self.release()

    def release(self) -> None:
        """Let go of memory, if there is much."""
        self._mapped.release()

    def _digest(self, rows: IndexArray) -> None:
        for start in range(0, rows.size, _DIGESTED_AT_ONCE):
            block = rows[start : start + _DIGESTED_AT_ONCE]
            self._digests[block] = row_digests(self._wide, block)
            self.release()

    def _guard(self) -> Rollback:
        if self._rollback is None:
            raise RuntimeError("begin must be called first")
        return self._rollback


class PrefixedRows:
    """A `RowStorage` whose names get a prefix, so that two users of a storage do not collide."""

    def __init__(self, mapped: MappedRows, prefix: str) -> None:
        self._mapped = mapped
        self._prefix = prefix

    @property
    def fresh(self) -> bool:
        """See `RowStorage.fresh`."""
        return self._mapped.fresh

    def full(self, name: str, shape: tuple[int, ...], fill: Any, dtype: npt.DTypeLike) -> AnyArray:
        """See `RowStorage.full`."""
        return self._mapped.full(self._prefix + name, shape, fill, dtype)

    def release(self) -> None:
        """See `RowStorage.release`."""
        self._mapped.release()


def _is_wide(array: AnyArray) -> bool:
    row_bytes = array.nbytes // max(len(array), 1)
    return row_bytes > _NARROW and row_bytes % WORD == 0
