"""A reader of the log for each thread that asks."""

import threading
from collections.abc import Sequence
from typing import Protocol, Self

from matinee_platform.serving.unit_reads import UnitReader
from matinee_platform.storage.records import LoggedDecision, LoggedReward


class LogReader(UnitReader, Protocol):
    """Of `ports.EventReader`, what serving asks."""

    def items(self, rows: Sequence[int]) -> list[str]:
        """See `ports.EventReader`."""

    def copy(self) -> Self:
        """See `ports.EventReader`."""

    def close(self) -> None:
        """See `ports.EventReader`."""


class ThreadReaders:
    """Reads units from any thread, by a copy of a reader for each.

    Args:
        reader: of the log; it is copied, never used.
    """

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._own = threading.local()
        self._made: list[LogReader] = []

    def close(self) -> None:
        """Let go of what the readers hold; nobody may be reading any more."""
        while self._made:
            self._made.pop().close()

    def last_seq(self) -> int:
        """See `ports.EventReader`."""
        return self._mine().last_seq()

    def unit_decisions(
        self, experiment: str, arm: str, unit: int, *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """See `ports.EventReader`."""
        return self._mine().unit_decisions(experiment, arm, unit, upto=upto, limit=limit)

    def decisions_of_units(
        self, experiment: str, arm: str, units: Sequence[int], *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """See `ports.EventReader`."""
        return self._mine().decisions_of_units(experiment, arm, units, upto=upto, limit=limit)

    def rewards_of(
        self, decision_ids: Sequence[int], *, upto: int | None = None
    ) -> list[LoggedReward]:
        """See `ports.EventReader`."""
        return self._mine().rewards_of(decision_ids, upto=upto)

    def items(self, rows: Sequence[int]) -> list[str]:
        """See `ports.EventReader`."""
        return self._mine().items(rows)

    def _mine(self) -> LogReader:
        reader: LogReader | None = getattr(self._own, "reader", None)
        if reader is None:
            reader = self._own.reader = self._reader.copy()
            self._made.append(reader)
        return reader
