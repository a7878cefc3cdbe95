"""Cut any parts of a log into blocks that start at fixed rows, which no sum can tell apart."""

from collections.abc import Iterator

import numpy as np

from matinee_platform.ope.row_columns import BLOCK
from matinee_policies.arrays import AnyArray


class RowBlocks:
    """Keeps the rows behind the last whole block until the next part fills it.

    What comes out is arrays whose length is a multiple of `BLOCK`; less than one block is held.
    """

    def __init__(self) -> None:
        self._waiting: list[AnyArray] = []
        self._held = 0

    @property
    def held(self) -> int:
        """Rows that wait for their block to fill."""
        return self._held

    def whole(self, arrays: tuple[AnyArray, ...]) -> Iterator[tuple[AnyArray, ...]]:
        """Take rows in, give whole blocks out.

        Args:
            arrays: the columns of a part, all with `n` rows, or with none where it is absent from
                every part. They are read, never kept.
        """
        n, start = arrays[0].shape[0], 0
        if self._held:
            start = min(BLOCK - self._held, n)
            self._hold(arrays, 0, start)
            if self._held == BLOCK:
                yield tuple(self._waiting)
                self._held = 0
        middle = start + (n - start) // BLOCK * BLOCK
        if middle > start:
            yield tuple(_rows(array, start, middle) for array in arrays)
        if n > middle:
            self._hold(arrays, middle, n)

    def rest(self) -> tuple[AnyArray, ...]:
        """The rows held, as views; they stay held."""
        return tuple(_rows(array, 0, self._held) for array in self._waiting)

    def _hold(self, arrays: tuple[AnyArray, ...], start: int, stop: int) -> None:
        if not self._waiting:
            self._waiting = [
                np.zeros((BLOCK if array.shape[0] else 0, *array.shape[1:]), array.dtype)
                for array in arrays
            ]
        for kept, array in zip(self._waiting, arrays, strict=True):
            if kept.shape[0]:
                kept[self._held : self._held + stop - start] = array[start:stop]
        self._held += stop - start


def _rows(array: AnyArray, start: int, stop: int) -> AnyArray:
    return array[start:stop] if array.shape[0] else array
