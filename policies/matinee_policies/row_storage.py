"""Where arrays with one row per unit are kept: in memory, unless a caller keeps them elsewhere.

State of many units may be larger than memory. What builds such state asks a `RowStorage` for its
arrays, so that a caller decides whether they are memory or a mapped file, new or read back.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from matinee_policies.arrays import AnyArray

FILL_BLOCK = 16_384
"""Rows that are filled at once while state is built."""


class RowStorage(Protocol):
    """Gives arrays by name."""

    @property
    def fresh(self) -> bool:
        """Whether arrays are new; if not, they hold what they held, and must not be filled."""

    def full(self, name: str, shape: tuple[int, ...], fill: Any, dtype: npt.DTypeLike) -> AnyArray:
        """An array; if `fresh`, every row is `fill`.

        Args:
            name: of the array, asked for once.
            shape: the first dimension counts units.
            fill: a number, or one row.
            dtype: of the entries.
        """

    def release(self) -> None:
        """Let go of memory that the storage can get back; the arrays stay valid."""


class InMemory:
    """Arrays that are memory.

    Example:
        >>> InMemory().full("visits", (2, 2), [1, 0], np.int32)
        array([[1, 0],
               [1, 0]], dtype=int32)
    """

    fresh = True

    def full(self, name: str, shape: tuple[int, ...], fill: Any, dtype: npt.DTypeLike) -> AnyArray:
        """See `RowStorage.full`."""
        # Zeros are given by the operating system as they are touched.
        if np.ndim(fill) == 0 and fill == 0:
            return np.zeros(shape, dtype=dtype)
        return np.full(shape, fill, dtype=dtype)

    def release(self) -> None:
        """See `RowStorage.release`: nothing can be let go."""
