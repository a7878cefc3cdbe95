"""How far simulated experiments ask to be learned, in the control database.

A learner that goes by the clock needs none of this. Of simulated users nobody but who drives them
knows what time it is: he says up to when windows count as closed, and waits until that is learned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, func
from sqlmodel import col, select

from matinee_platform.storage.control_database import reading, writing
from matinee_platform.storage.control_tables import LearningAskRow


@dataclass(frozen=True, slots=True)
class LearningAsk:
    """What was asked of an arm.

    Attributes:
        arm: name.
        asked_ms: simulated time up to which it is to be learned, UTC milliseconds.
        reached_ms: up to which it was; None before the first time.
    """

    arm: str
    asked_ms: int
    reached_ms: int | None

    @property
    def is_open(self) -> bool:
        """Whether there is something to learn."""
        return self.reached_ms is None or self.reached_ms < self.asked_ms


class SqlLearningAsks:
    """Asks of every simulated arm; times never go back.

    Args:
        engine: of the control database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ask(self, experiment: str, arms: Sequence[str], time_ms: int) -> None:
        """Ask that arms be learned up to a time; an earlier one than before changes nothing.

        Raises:
            LogUnavailableError: the database is away.
        """
        with writing(self._engine) as session:
            for arm in arms:
                row = session.get(LearningAskRow, (experiment, arm))
                if row is None:
                    row = LearningAskRow(experiment=experiment, arm=arm, asked_ms=time_ms)
                elif row.asked_ms >= time_ms:
                    continue
                row.asked_ms = time_ms
                session.add(row)

    def of(self, experiment: str) -> list[LearningAsk]:
        """What was asked of the arms of an experiment, by arm."""
        query = select(LearningAskRow).where(LearningAskRow.experiment == experiment)
        with reading(self._engine) as session:
            rows = session.exec(query.order_by(col(LearningAskRow.arm)))
            return [_ask(row) for row in rows]

    def now_ms(self, experiment: str) -> int | None:
        """The latest time that was asked for: how far its simulated users have lived."""
        query = select(func.max(LearningAskRow.asked_ms))
        with reading(self._engine) as session:
            return session.exec(query.where(LearningAskRow.experiment == experiment)).one()

    def any_open(self) -> bool:
        """Whether any arm is asked for more than was reached."""
        query = select(LearningAskRow.arm).where(
            func.coalesce(LearningAskRow.reached_ms, -1) < LearningAskRow.asked_ms
        )
        with reading(self._engine) as session:
            return session.exec(query.limit(1)).first() is not None

    def asked(self, experiment: str, arm: str) -> int | None:
        """Time up to which an arm is asked and was not reached; None if there is none."""
        with reading(self._engine) as session:
            row = session.get(LearningAskRow, (experiment, arm))
            return row.asked_ms if row is not None and _ask(row).is_open else None

    def reach(self, experiment: str, arm: str, time_ms: int) -> None:
        """Say that an arm was learned up to a time."""
        with writing(self._engine) as session:
            row = session.get(LearningAskRow, (experiment, arm))
            if row is not None and (row.reached_ms is None or row.reached_ms < time_ms):
                row.reached_ms = time_ms
                session.add(row)


def _ask(row: LearningAskRow) -> LearningAsk:
    return LearningAsk(row.arm, row.asked_ms, row.reached_ms)
