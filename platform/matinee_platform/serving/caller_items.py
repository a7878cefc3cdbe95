"""Items that callers name and describe themselves, for arms without a catalogue."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Protocol

from matinee_platform.serving.arm_runtime import UNKNOWN_SCORE, ArmRuntime
from matinee_platform.serving.errors import GoneError
from matinee_platform.serving.packing import checked_features, packed_rows, packed_scores
from matinee_platform.serving.thread_readers import ThreadReaders
from matinee_platform.serving.work import Work
from matinee_policies.errors import ContextError
from matinee_policies.records import PAD

NAMES = 200_000
"""Names that are remembered at most; the log has them all."""


class ItemNames(Protocol):
    """Gives rows to the items that callers name, as `ports.EventAppender` does."""

    async def intern_items(self, ids: Sequence[str]) -> list[int]:
        """Rows of items, made when new and the same for ever after."""


class CallerItems:
    """Rows of items by the names that callers gave them, and back.

    Args:
        names: gives rows to new names; None where there can be none.
        reader: of the log, for names that were given before; None where there is no log.
        executor: where the log is read; the loop's own if not given.
        remembered: names that are kept at most.
    """

    def __init__(
        self,
        names: ItemNames | None,
        reader: ThreadReaders | None,
        *,
        executor: Executor | None = None,
        remembered: int = NAMES,
    ) -> None:
        self._names = names
        self._reader = reader
        self._executor = executor
        self._remembered = remembered
        self._item: dict[int, str] = {}

    async def name(self, work: Work, runtime: ArmRuntime) -> None:
        """Take the candidates, scores and features of an ask.

        Raises:
            ContextError: if they are not there or break a rule.
            LogUnavailableError: a new name cannot be stored.
        """
        ask, dimension = work.ask, runtime.dimension
        if ask.candidates is None or ask.features is None or dimension is None:
            raise ContextError(
                "candidates and features must be given: this arm has no catalogue of its own"
            )
        work.features = checked_features(ask.features, len(ask.candidates), dimension)
        if self._names is None:
            raise ContextError("items of callers cannot be named here")
        known = await self._names.intern_items(ask.candidates)
        self._remember(known, ask.candidates)
        scores = [UNKNOWN_SCORE] * len(known) if ask.scores is None else ask.scores
        work.candidates = packed_rows(known, runtime.candidates)
        work.scores = packed_scores(scores, len(known), runtime.candidates)

    async def names_of(self, rows: Sequence[int]) -> list[str]:
        """Items by row; empty for an empty slot.

        Raises:
            GoneError: the log has no such item.
            LogUnavailableError: the log cannot be read.
        """
        found = {row: self._item[row] for row in rows if row in self._item}
        unknown = [row for row in rows if row != PAD and row not in found]
        if unknown and self._reader is not None:
            try:
                names = await asyncio.get_running_loop().run_in_executor(
                    self._executor, self._reader.items, unknown
                )
            except LookupError:
                raise GoneError("the log has no names of this decision's items") from None
            found.update(zip(unknown, names, strict=True))
            self._remember(unknown, names)
        return [found.get(row, "") for row in rows]

    def _remember(self, rows: Sequence[int], names: Sequence[str]) -> None:
        if len(self._item) + len(rows) > self._remembered:
            self._item = {}
        self._item.update(zip(rows, names, strict=True))
