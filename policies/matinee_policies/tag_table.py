"""Names attached to items: people, keywords.

A ragged table, item -> names, kept as two index arrays so that it is cheap to slice and to hash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from matinee_policies.arrays import IndexArray, Int64Array
from matinee_policies.errors import ContextError


@dataclass(frozen=True, eq=False)
class TagTable:
    """Which names belong to which item.

    Attributes:
        names: distinct names.
        indptr: item `i` owns `indices[indptr[i]:indptr[i + 1]]`, `int64 [M + 1]`.
        indices: rows of `names`, each at most once per item, in order of importance,
            `int32 [nnz]`.

    Raises:
        ContextError: the arrays do not fit together.

    Example:
        >>> table = TagTable.from_lists([["Ada", "Bo"], [], ["Bo"]])
        >>> len(table), table.of(0), table.of(1)
        (3, ('Ada', 'Bo'), ())
    """

    names: tuple[str, ...]
    indptr: Int64Array
    indices: IndexArray

    def __post_init__(self) -> None:
        indptr, indices = self.indptr, self.indices
        if indptr.dtype != np.int64 or indptr.ndim != 1 or indptr.size == 0:
            raise ContextError(
                f"indptr must be an int64 array of M + 1 numbers, got {indptr.dtype} {indptr.shape}"
            )
        if indices.dtype != np.int32 or indices.ndim != 1:
            raise ContextError(
                f"indices must be an int32 array with 1 dimension, got {indices.dtype} "
                f"{indices.shape}"
            )
        if indptr[0] != 0 or indptr[-1] != indices.size or (np.diff(indptr) < 0).any():
            raise ContextError(f"indptr must rise from 0 to {indices.size}, the size of indices")
        if indices.size and not (indices.min() >= 0 and indices.max() < len(self.names)):
            raise ContextError(
                f"indices must be within 0 and {len(self.names) - 1}, "
                f"got {indices.min()} to {indices.max()}"
            )
        if len(set(self.names)) != len(self.names):
            raise ContextError("names must be distinct, got one twice")
        owners = np.repeat(np.arange(len(self), dtype=np.int64), np.diff(indptr))
        pairs = owners * max(len(self.names), 1) + indices
        if np.unique(pairs).size != pairs.size:
            raise ContextError("an item must own a name at most once, got one twice")

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[str]]) -> Self:
        """Build from the names of each item; a name repeated within an item counts once.

        Args:
            lists: names of each item, most important first, length `M`.
        """
        names = sorted({name for own in lists for name in own})
        row_of = {name: row for row, name in enumerate(names)}
        rows = [[row_of[name] for name in dict.fromkeys(own)] for own in lists]
        indptr = np.zeros(len(lists) + 1, dtype=np.int64)
        np.cumsum([len(own) for own in rows], out=indptr[1:])
        indices = np.array([row for own in rows for row in own], dtype=np.int32)
        return cls(names=tuple(names), indptr=indptr, indices=indices)

    @classmethod
    def empty(cls, n_items: int) -> Self:
        """A table of `n_items` items without any name."""
        return cls.from_lists([()] * n_items)

    def __len__(self) -> int:
        return int(self.indptr.size - 1)

    def of(self, item: int) -> tuple[str, ...]:
        """Names of one item, most important first."""
        return tuple(
            self.names[row] for row in self.indices[self.indptr[item] : self.indptr[item + 1]]
        )

    def subset(self, rows: IndexArray) -> "TagTable":
        """The table of the items `rows`, in that order; names without an owner stay."""
        lengths = np.diff(self.indptr)[rows]
        indptr = np.zeros(lengths.size + 1, dtype=np.int64)
        np.cumsum(lengths, out=indptr[1:])
        starts = np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        indices = self.indices[starts + np.arange(int(indptr[-1]))]
        return TagTable(names=self.names, indptr=indptr, indices=indices)
