"""Reading the event log by SQL that both databases understand; each database has a subclass.

Every question has an index that answers it in a time that does not depend on the log's length. What
is read below a place that `last_seq()` gave never changes, so no transaction spans questions.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Self

from matinee_platform.storage.event_rows import Row, decision_from_row, reward_from_row
from matinee_platform.storage.event_tables import DECISION_COLUMNS, REWARD_COLUMNS
from matinee_platform.storage.int64 import to_signed, to_unsigned
from matinee_platform.storage.records import LoggedDecision, LoggedReward

DECISIONS = f"SELECT {', '.join(DECISION_COLUMNS)} FROM decisions "  # noqa: S608 - names are ours
"""Asks for decisions; what goes on says which."""
REWARDS = f"SELECT {', '.join(REWARD_COLUMNS)} FROM rewards "  # noqa: S608
"""Asks for rewards; what goes on says which."""
_CHUNK = 2_000


class SqlReader(ABC):
    """An `EventReader` but for what differs between databases.

    In its statements `:name` is a bound value, and `IN (:name)` one of a list.
    """

    @abstractmethod
    def _rows(self, statement: str, values: dict[str, Any]) -> list[Row]:
        """Answer of a statement.

        Raises:
            LogUnavailableError: the database is away.
        """

    @abstractmethod
    def copy(self) -> Self:
        """Another reader of the same log, for another thread."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections."""

    def last_seq(self) -> int:
        """Last place of the log that is complete; 0 if none."""
        # Between two steps of making a schema there may be a table without its row.
        rows = self._rows("SELECT last FROM seq", {}) or [(0,)]
        ((last,),) = rows
        return int(last)

    def decision(self, decision_id: int) -> LoggedDecision | None:
        """One decision."""
        rows = self._rows(
            DECISIONS + "WHERE decision_id = :decision_id",
            {"decision_id": to_signed(decision_id)},
        )
        return decision_from_row(rows[0]) if rows else None

    def experiments_of(self, decision_ids: Sequence[int]) -> dict[int, str]:
        """Key of the experiment of each of these decisions that is in the log."""
        found: dict[int, str] = {}
        for at in range(0, len(decision_ids), _CHUNK):
            ids = [to_signed(one) for one in decision_ids[at : at + _CHUNK]]
            rows = self._rows(
                "SELECT decision_id, experiment FROM decisions WHERE decision_id IN (:ids)",
                {"ids": ids},
            )
            found |= {to_unsigned(one): experiment for one, experiment in rows}
        return found

    def rewards_of(
        self, decision_ids: Sequence[int], *, upto: int | None = None
    ) -> list[LoggedReward]:
        """All rewards that name these decisions, in log order, up to a place of the log."""
        found = []
        for at in range(0, len(decision_ids), _CHUNK):
            ids = [to_signed(one) for one in decision_ids[at : at + _CHUNK]]
            found += self._rows(
                REWARDS + "WHERE decision_id IN (:ids)" + _below(upto), {"ids": ids, "upto": upto}
            )
        found.sort(key=_seq)
        return [reward_from_row(row) for row in found]

    def decisions(
        self,
        *,
        after: int = 0,
        upto: int,
        experiment: str | None = None,
        arm: str | None = None,
        limit: int = 10_000,
    ) -> list[LoggedDecision]:
        """Decisions with `after < seq <= upto`, in log order, at most `limit`."""
        # The empty string keeps the planner on the order of seq.
        filters = "" if experiment is None else "AND experiment || '' = :experiment "
        filters += "" if arm is None else "AND arm || '' = :arm "
        rows = self._rows(
            f"{DECISIONS} WHERE seq > :after AND seq <= :upto {filters}ORDER BY seq LIMIT :limit",
            {"after": after, "upto": upto, "experiment": experiment, "arm": arm, "limit": limit},
        )
        return [decision_from_row(row) for row in rows]

    def rewards(self, *, after: int = 0, upto: int, limit: int = 10_000) -> list[LoggedReward]:
        """Rewards with `after < seq <= upto`, in log order, at most `limit`."""
        rows = self._rows(
            REWARDS + "WHERE seq > :after AND seq <= :upto ORDER BY seq LIMIT :limit",
            {"after": after, "upto": upto, "limit": limit},
        )
        return [reward_from_row(row) for row in rows]

    def decided_within(
        self, experiment: str, arm: str, *, after_ms: int, upto_ms: int, upto: int
    ) -> Iterator[list[LoggedDecision]]:
        """Decisions of an arm within a time, in log order, some thousand at a time."""
        # Places first, from the index alone: times follow the order of the log only roughly.
        found = self._rows(
            "SELECT seq FROM decisions WHERE experiment = :experiment AND arm = :arm "
            "AND decided_at > :after_ms AND decided_at <= :upto_ms AND seq <= :upto",
            {
                "experiment": experiment,
                "arm": arm,
                "after_ms": after_ms,
                "upto_ms": upto_ms,
                "upto": upto,
            },
        )
        places = sorted(seq for (seq,) in found)
        for at in range(0, len(places), _CHUNK):
            rows = self._rows(
                DECISIONS + "WHERE seq IN (:places)", {"places": places[at : at + _CHUNK]}
            )
            yield [decision_from_row(row) for row in sorted(rows, key=_seq)]

    def unit_decisions(
        self, experiment: str, arm: str, unit: int, *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """The latest `limit` decisions of a unit up to a place of the log, oldest first."""
        rows = self._rows(
            DECISIONS + "WHERE experiment = :experiment AND arm = :arm AND unit = :unit "
            "AND seq <= :upto ORDER BY seq DESC LIMIT :limit",
            {
                "experiment": experiment,
                "arm": arm,
                "unit": to_signed(unit),
                "upto": upto,
                "limit": limit,
            },
        )
        return [decision_from_row(row) for row in reversed(rows)]

    def decisions_of_units(
        self, experiment: str, arm: str, units: Sequence[int], *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """Decisions of some units up to a place of the log, in log order, at most `limit`."""
        rows = self._rows(
            DECISIONS + "WHERE experiment = :experiment AND arm = :arm AND unit IN (:units) "
            "AND seq <= :upto LIMIT :limit",
            {
                "experiment": experiment,
                "arm": arm,
                "units": [to_signed(one) for one in units],
                "upto": upto,
                "limit": limit,
            },
        )
        return [decision_from_row(row) for row in sorted(rows, key=_seq)]

    def items(self, rows: Sequence[int]) -> list[str]:
        """Ids of interned items, by row.

        Raises:
            KeyError: a row was never given to an item.
        """
        ids: dict[int, str] = {}
        distinct = list(set(rows))
        for at in range(0, len(distinct), _CHUNK):
            ids |= self._rows(
                "SELECT item_row, item_id FROM items WHERE item_row IN (:rows)",
                {"rows": distinct[at : at + _CHUNK]},
            )
        return [ids[row] for row in rows]


def _below(upto: int | None) -> str:
    return "" if upto is None else " AND seq <= :upto"


def _seq(row: Row) -> int:
    return int(row[0])
