"""Units that were forgotten: an append-only list that every process of a service follows.

Rows of a unit can be removed from the log by one process. States in the memory of others, and rows
in their spools, cannot: each process learns from this list what it has to let go of.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Engine, func
from sqlmodel import col, select

from matinee_platform.clock import Clock
from matinee_platform.storage.control_database import reading, writing
from matinee_platform.storage.control_tables import ForgottenRow
from matinee_platform.storage.int64 import to_signed, to_unsigned

_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """A unit that was forgotten.

    Attributes:
        number: place in the list, from 1.
        unit: keyed pseudonym.
        seq: last place of the log at that time; the unit's rows up to there are gone.
        at: UTC milliseconds.
    """

    number: int
    unit: int
    seq: int
    at: int


class ForgottenUnits:
    """The list, in the control database.

    Args:
        engine: of the control database.
        clock: tells when.
    """

    def __init__(self, engine: Engine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def add(self, unit: int, *, seq: int) -> None:
        """Add a unit; one that is there may come again.

        Raises:
            LogUnavailableError: the database is away.
        """
        with writing(self._engine) as session:
            session.add(ForgottenRow(unit=to_signed(unit), seq=seq, at=self._clock.now_ms()))

    def last(self) -> int:
        """The largest number; 0 if the list is empty."""
        with reading(self._engine) as session:
            return session.exec(select(func.max(ForgottenRow.number))).one() or 0

    def after(self, number: int, *, limit: int = 1_000) -> list[Forgotten]:
        """Entries with larger numbers, in order, at most `limit`."""
        query = select(ForgottenRow).where(col(ForgottenRow.number) > number)
        with reading(self._engine) as session:
            rows = session.exec(query.order_by(col(ForgottenRow.number)).limit(limit))
            return [_forgotten(row) for row in rows]

    def times(self, units: Collection[int]) -> dict[int, int]:
        """When units were forgotten last, UTC milliseconds; those that never were are left out."""
        wanted = [to_signed(unit) for unit in sorted(units)]
        found: dict[int, int] = {}
        with reading(self._engine) as session:
            for at in range(0, len(wanted), _AT_ONCE):
                query = (
                    select(ForgottenRow.unit, func.max(ForgottenRow.at))
                    .where(col(ForgottenRow.unit).in_(wanted[at : at + _AT_ONCE]))
                    .group_by(col(ForgottenRow.unit))
                )
                found.update((to_unsigned(unit), last) for unit, last in session.exec(query))
        return found


def _forgotten(row: ForgottenRow) -> Forgotten:
    return Forgotten(number=row.number or 0, unit=to_unsigned(row.unit), seq=row.seq, at=row.at)
