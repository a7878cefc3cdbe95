"""Counts by arm over the tables of the event log: a few aggregates, made by the database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection, Engine, Table, and_, case, false, func, select
from sqlalchemy.exc import DBAPIError

from matinee_platform.experiments.beginning import rows_after
from matinee_platform.log_rows import WHOLE_PAGE
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.event_tables import DecisionRow, RewardRow
from matinee_platform.storage.reward_states import RETURN_VISIT

_DECISIONS = cast("Table", cast("Any", DecisionRow).__table__).c
_REWARDS = cast("Table", cast("Any", RewardRow).__table__).c
_ROW_BYTES = 4
_EMPTY_SLOT = (-1).to_bytes(_ROW_BYTES, "little", signed=True)


@dataclass(slots=True, kw_only=True)
class ArmCounts:
    """Sums over the log rows of one arm.

    Attributes:
        arm: name.
        units: distinct units.
        served_by: decisions by code of `ServedBy`.
        rewards: events within their windows, one per decision and slot, by code of component.
        reward_sums: sums of their values, by code of component.
    """

    arm: str
    units: int = 0
    served_by: dict[int, int] = field(default_factory=dict)
    rewards: dict[int, int] = field(default_factory=dict)
    reward_sums: dict[int, float] = field(default_factory=dict)


class SqlArmCounter:
    """Counts in SQLite or PostgreSQL.

    Args:
        engine: of the database of events; its tables must be there.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def arm_counts(
        self,
        experiment: str,
        *,
        windows: Sequence[int],
        upto: int,
        since_ms: int = 0,
        since_seq: int | None = None,
    ) -> list[ArmCounts]:
        """Counts of every arm with a decision at or below a place of the log, by name.

        Args:
            experiment: key.
            windows: of each of `log_rows.COMPONENTS`, in milliseconds.
            upto: last place that counts.
            since_ms: of the start, UTC milliseconds.
            since_seq: place of the start: what was decided before it does not count, nor do its
                rewards; None has `since_ms` tell (`experiments.beginning`).

        Raises:
            LogUnavailableError: the database is away.
        """
        earliest, after = rows_after(since_ms, since_seq)
        of_experiment = (
            _DECISIONS.experiment == experiment,
            _DECISIONS.seq <= upto,
            _DECISIONS.seq > after,
            _DECISIONS.decided_at >= earliest,
        )
        with self._connection() as connection:
            found: dict[str, ArmCounts] = {}
            query = select(_DECISIONS.arm, func.count(_DECISIONS.unit.distinct()))
            query = query.where(*of_experiment).group_by(_DECISIONS.arm)
            for arm, units in connection.execute(query):
                found[arm] = ArmCounts(arm=arm, units=units)
            by = select(_DECISIONS.arm, _DECISIONS.served_by, func.count())
            by = by.where(*of_experiment).group_by(_DECISIONS.arm, _DECISIONS.served_by)
            for arm, code, count in connection.execute(by):
                found[arm].served_by[code] = count
            for arm, component, count, total in connection.execute(
                _rewards(of_experiment, windows, upto)
            ):
                found[arm].rewards[component] = count
                found[arm].reward_sums[component] = float(total)
        return [found[arm] for arm in sorted(found)]

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise LogUnavailableError(
                f"the log cannot be read: {type(error.orig).__name__}"
            ) from None


def _rewards(of_experiment: Sequence[Any], windows: Sequence[int], upto: int) -> Any:
    """The first event within its window of each decision, component and slot, summed up."""
    window = case(*((_REWARDS.component == code, one) for code, one in enumerate(windows)), else_=0)
    start = _ROW_BYTES * _REWARDS.slot
    item = func.substr(_DECISIONS.slate, start + 1, _ROW_BYTES)
    held = and_(_REWARDS.slot >= 0, func.length(_DECISIONS.slate) > start, item != _EMPTY_SLOT)
    shown = case(
        (_REWARDS.component == RETURN_VISIT, _REWARDS.slot == WHOLE_PAGE),
        (_REWARDS.slot >= 0, held),
        else_=false(),
    )
    first = (
        select(_DECISIONS.arm.label("arm"), func.min(_REWARDS.seq).label("seq"))
        .join_from(RewardRow, DecisionRow, and_(_REWARDS.decision_id == _DECISIONS.decision_id))
        .where(
            *of_experiment,
            _REWARDS.seq <= upto,
            _REWARDS.received_at <= _DECISIONS.decided_at + window,
            shown,
        )
        .group_by(_DECISIONS.arm, _REWARDS.decision_id, _REWARDS.component, _REWARDS.slot)
        .subquery()
    )
    return (
        select(first.c.arm, _REWARDS.component, func.count(), func.sum(_REWARDS.value))
        .join_from(first, RewardRow, _REWARDS.seq == first.c.seq)
        .group_by(first.c.arm, _REWARDS.component)
    )
