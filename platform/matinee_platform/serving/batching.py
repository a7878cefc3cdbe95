"""Gather what is asked in one turn of the event loop, and answer it together.

There is no timer: a request alone in its turn is decided alone, at once.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Batcher(Generic[_T]):
    """Collects entries of one turn.

    Args:
        decide: takes the entries of a turn, at most `most` of them, in the order they came.
        most: entries taken together.

    Example:
        >>> async def turns() -> list[list[int]]:
        ...     seen: list[list[int]] = []
        ...     batcher = Batcher(seen.append, most=2)
        ...     for number in range(3):
        ...         batcher.add(number)
        ...     await asyncio.sleep(0)
        ...     return seen
        >>> asyncio.run(turns())
        [[0, 1], [2]]
    """

    def __init__(self, decide: Callable[[list[_T]], None], *, most: int) -> None:
        self._decide = decide
        self._most = most
        self._waiting: list[_T] = []

    def add(self, entry: _T) -> None:
        """Take in an entry; the loop's next turn decides it."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(entry)

    def _flush(self) -> None:
        entries, self._waiting = self._waiting, []
        for start in range(0, len(entries), self._most):
            self._decide(entries[start : start + self._most])
