"""A reader that tells of life: while a learner catches up, each answer of the log is a beat."""

from collections.abc import Callable, Iterator, Sequence

from matinee_platform.storage.ports import EventReader
from matinee_platform.storage.records import LoggedDecision, LoggedReward


class BeatingReader:
    """An `EventReader` that calls `beat` with each answer.

    Args:
        reader: that answers.
        beat: quick.
    """

    def __init__(self, reader: EventReader, beat: Callable[[], None]) -> None:
        self._reader, self._beat = reader, beat

    def last_seq(self) -> int:
        """See `EventReader`."""
        return self._reader.last_seq()

    def decision(self, decision_id: int) -> LoggedDecision | None:
        """See `EventReader`."""
        return self._reader.decision(decision_id)

    def experiments_of(self, decision_ids: Sequence[int]) -> dict[int, str]:
        """See `EventReader`."""
        self._beat()
        return self._reader.experiments_of(decision_ids)

    def rewards_of(
        self, decision_ids: Sequence[int], *, upto: int | None = None
    ) -> list[LoggedReward]:
        """See `EventReader`."""
        self._beat()
        return self._reader.rewards_of(decision_ids, upto=upto)

    def decisions(
        self,
        *,
        after: int = 0,
        upto: int,
        experiment: str | None = None,
        arm: str | None = None,
        limit: int = 10_000,
    ) -> list[LoggedDecision]:
        """See `EventReader`."""
        self._beat()
        return self._reader.decisions(
            after=after, upto=upto, experiment=experiment, arm=arm, limit=limit
        )

    def rewards(self, *, after: int = 0, upto: int, limit: int = 10_000) -> list[LoggedReward]:
        """See `EventReader`."""
        return self._reader.rewards(after=after, upto=upto, limit=limit)

    def decided_within(
        self, experiment: str, arm: str, *, after_ms: int, upto_ms: int, upto: int
    ) -> Iterator[list[LoggedDecision]]:
        """See `EventReader`."""
        parts = self._reader.decided_within(
            experiment, arm, after_ms=after_ms, upto_ms=upto_ms, upto=upto
        )
        for part in parts:
            self._beat()
            yield part

    def unit_decisions(
        self, experiment: str, arm: str, unit: int, *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """See `EventReader`."""
        return self._reader.unit_decisions(experiment, arm, unit, upto=upto, limit=limit)

    def decisions_of_units(
        self, experiment: str, arm: str, units: Sequence[int], *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """See `EventReader`."""
        return self._reader.decisions_of_units(experiment, arm, units, upto=upto, limit=limit)

    def items(self, rows: Sequence[int]) -> list[str]:
        """See `EventReader`."""
        return self._reader.items(rows)

    def copy(self) -> "BeatingReader":
        """See `EventReader`."""
        return BeatingReader(self._reader.copy(), self._beat)

    def close(self) -> None:
        """See `EventReader`."""
        self._reader.close()
