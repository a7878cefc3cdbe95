"""The event log in PostgreSQL: many processes, one order.

Each transaction locks the one row of `seq`, which holds the last place, until it ends. So commits
happen in the order of places, and the committed value of `seq` is a place below which nothing will
ever appear, whatever transactions are open elsewhere.

While one process has that row the others wait, and a process whose event loop is busy is slow to
take each next step. So a batch of decisions alone is one statement, which is a transaction of its
own: it takes the places, adds the rows, and commits. Where it finds an id that is in the log
already, nothing has happened, and the batch goes the long way, as all with rewards do.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql

from matinee_platform.storage.append_plan import (
    REWARDS_PER_DECISION,
    Known,
    Plan,
    Record,
    Seen,
    plan_append,
)
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.event_migrations import postgres_url, upgrade
from matinee_platform.storage.event_rows import decision_from_row, decision_row, reward_row
from matinee_platform.storage.event_tables import (
    DECISION_COLUMNS,
    EVENT_METADATA,
    REWARD_COLUMNS,
)
from matinee_platform.storage.int64 import to_signed, to_unsigned
from matinee_platform.storage.ports import Windows
from matinee_platform.storage.records import DecisionRecord, LoggedDecision
from matinee_platform.storage.reward_states import Mark, Shown

LOCK = "SELECT last FROM seq FOR UPDATE"
"""Takes the turn of everything that gives places of the log, until its transaction ends."""

_AWAY = ("08", "25", "40", "53", "55", "57", "58", "XX")
"""Classes of SQLSTATE that speak of the server or of a lost turn, not of a row."""

_BEGIN = f"BEGIN; {LOCK}"

_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
_GIVEN = tuple(EVENT_METADATA.tables["decisions"].columns)[1:]
_ARRAYS = ", ".join(
    f"${number}::{column.type.compile(_DIALECT)}[]" for number, column in enumerate(_GIVEN, start=1)
)
_ADD = f"""
WITH turn AS (
  UPDATE seq SET last = last + cardinality($1::bigint[])
  RETURNING last - cardinality($1::bigint[]) AS before
), added AS (
  INSERT INTO decisions ({", ".join(DECISION_COLUMNS)})
  SELECT turn.before + given.place, {", ".join(f"given.{column.name}" for column in _GIVEN)}
  FROM turn, unnest({_ARRAYS})
    WITH ORDINALITY AS given ({", ".join(column.name for column in _GIVEN)}, place)
)
SELECT before FROM turn
"""  # noqa: S608 - names are ours
"""Stores decisions that are new, in order; gives the place before theirs."""

_DECISIONS = (
    f"SELECT last, {', '.join(DECISION_COLUMNS)} FROM seq "  # noqa: S608 - names are ours
    "LEFT JOIN decisions ON decision_id = ANY($1::bigint[])"
)
_REWARDS = """
SELECT
  (SELECT json_agg(json_build_array(
      decision_id, experiment, seq, decided_at, encode(slate, 'hex')))
    FROM decisions WHERE decision_id = ANY($1::bigint[])),
  (SELECT json_agg(json_build_array(decision_id, component, slot, first, rewards)) FROM (
    SELECT decision_id, component, slot, min(received_at) AS first, count(*) AS rewards
    FROM rewards WHERE decision_id = ANY($1::bigint[])
    GROUP BY decision_id, component, slot) AS places),
  (SELECT json_agg(json_build_array(
      encode(reward_key, 'hex'), encode(body_digest, 'hex'), decision_id, seq, component, slot,
      received_at, (
        SELECT min(received_at) FROM rewards AS before
        WHERE before.decision_id = one.decision_id AND before.component = one.component
        AND before.slot = one.slot AND before.seq < one.seq)))
    FROM rewards AS one WHERE reward_key = ANY($2::bytea[]))
"""


class PostgresStore:
    """A `LogStore` over one connection to a PostgreSQL.

    Args:
        address: `postgresql://USER@HOST/NAME`.
        windows: of rewards, by the key of an experiment.
        rewards_per_decision: most rewards of one decision.
        patience_seconds: longest a transaction may take, waiting for others included.
    """

    def __init__(
        self,
        address: str,
        *,
        windows: Windows,
        rewards_per_decision: int = REWARDS_PER_DECISION,
        patience_seconds: float = 0.8,
    ) -> None:
        self._address = address
        self._windows = windows
        self._cap = rewards_per_decision
        self._patience = patience_seconds
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._upgraded = False

    async def open(self) -> None:
        """Bring the schema up to date, and connect."""
        await self.probe()

    async def write(self, batch: Sequence[Record]) -> Plan:
        """Store a batch in one transaction."""
        decisions = [one for one in batch if isinstance(one, DecisionRecord)]
        if len({one.decision_id for one in decisions}) == len(batch):
            plan = await self._add(decisions)
            if plan is not None:
                return plan
        async with self._transaction() as connection:
            plan = plan_append(
                batch,
                await _known(connection, batch),
                windows=self._windows,
                rewards_per_decision=self._cap,
            )
            if plan.decisions:
                await connection.copy_records_to_table(
                    "decisions",
                    columns=DECISION_COLUMNS,
                    records=[decision_row(one) for one in plan.decisions],
                )
            if plan.rewards:
                await connection.copy_records_to_table(
                    "rewards",
                    columns=REWARD_COLUMNS,
                    records=[reward_row(one) for one in plan.rewards],
                )
            if plan.decisions or plan.rewards:
                await connection.execute(f"UPDATE seq SET last = {plan.last_seq:d}")  # noqa: S608
        return plan

    async def _add(self, decisions: Sequence[DecisionRecord]) -> Plan | None:
        """Store decisions by one statement; None, and nothing stored, if the log has one of them.

        Args:
            decisions: whose ids are distinct.
        """
        columns = zip(*(decision_row(LoggedDecision(0, one)) for one in decisions), strict=True)
        next(columns)
        try:
            async with self._connection_of_mine() as connection:
                before = await connection.fetchval(_ADD, *columns)
        except asyncpg.UniqueViolationError:
            return None
        return plan_append(
            decisions,
            Known(before),
            windows=self._windows,
            rewards_per_decision=self._cap,
        )

    async def intern(self, ids: Sequence[str]) -> list[int]:
        """Rows of items, made where new."""
        async with self._transaction() as connection:
            known = "SELECT item_id, item_row FROM items WHERE item_id = ANY($1::text[])"
            rows: dict[str, int] = dict(await connection.fetch(known, ids))  # type: ignore[arg-type]
            new = [one for one in dict.fromkeys(ids) if one not in rows]
            if new:
                free = await connection.fetchval("SELECT coalesce(max(item_row) + 1, 0) FROM items")
                made = list(enumerate(new, start=free))
                await connection.copy_records_to_table(
                    "items", columns=("item_row", "item_id"), records=made
                )
                rows.update((one, row) for row, one in made)
        return [rows[one] for one in ids]

    async def probe(self) -> None:
        """Write the last place again."""
        async with self._transaction() as connection:
            await connection.execute("UPDATE seq SET last = last")

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            try:
                await self._connection.close(timeout=self._patience)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self._connection.terminate()
            self._connection = None

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """The connection within a transaction that has its turn."""
        async with self._connection_of_mine() as connection:
            await connection.execute(_BEGIN)
            yield connection
            await connection.execute("COMMIT")

    @asynccontextmanager
    async def _connection_of_mine(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """The connection, for as long as patience lasts."""
        try:
            if not self._upgraded:
                await self._upgrade()
            async with asyncio.timeout(self._patience):
                yield await self._connected()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            await self._give_up(error)
            raise
        except BaseException:
            self._drop()
            raise

    async def _give_up(self, error: Exception) -> None:
        """Let the connection go if it or the server is to blame, else end the transaction."""
        state = getattr(error, "sqlstate", None)
        if state is None or state[:2] in _AWAY:
            self._drop()
            what = str(error) or type(error).__name__
            raise LogUnavailableError(f"PostgreSQL cannot be written: {what}") from error
        connection = self._connection
        if connection is not None and not connection.is_closed() and connection.is_in_transaction():
            try:
                async with asyncio.timeout(self._patience):
                    await connection.execute("ROLLBACK")
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                # The row is to blame for the error, the server for this: another connection then.
                self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _connected(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._address,
                timeout=self._patience,
                server_settings={
                    "application_name": "matinee log",
                    # Another process must not wait for one that was stopped within its turn.
                    "idle_in_transaction_session_timeout": "5s",
                    "synchronous_commit": "on",
                },
            )
        return self._connection

    async def _upgrade(self) -> None:
        try:
            await asyncio.to_thread(upgrade, postgres_url(self._address))
        except Exception as error:
            raise LogUnavailableError(f"PostgreSQL cannot be upgraded: {error}") from error
        self._upgraded = True


async def _known(
    connection: "asyncpg.Connection[asyncpg.Record]", batch: Sequence[Record]
) -> Known:
    """What the log holds of all that a batch names."""
    decided = [to_signed(one.decision_id) for one in batch if isinstance(one, DecisionRecord)]
    rewards = [one for one in batch if not isinstance(one, DecisionRecord)]
    rows = await connection.fetch(_DECISIONS, decided)
    known = Known(rows[0][0])
    for row in rows:
        if row[1] is not None:
            there = decision_from_row(tuple(row)[1:])
            known.decisions[there.record.decision_id] = there
    if rewards:
        named = list({to_signed(one.decision_id) for one in rewards})
        keys = [one.reward_key for one in rewards]
        _take_in(known, await connection.fetchrow(_REWARDS, named, keys))
    return known


def _take_in(known: Known, answer: Any) -> None:
    """What the log holds of rewards, and of the decisions that they name."""
    shown, places, seen = (json.loads(text) if text else [] for text in answer)
    for signed, experiment, seq, decided_at, slate in shown:
        fact = Shown(seq, decided_at, bytes.fromhex(slate))
        known.shown[to_unsigned(signed)] = (experiment, fact)
    for signed, component, slot, first, rewards in places:
        decision_id = to_unsigned(signed)
        known.firsts[decision_id, component, slot] = first
        known.counts[decision_id] = known.counts.get(decision_id, 0) + rewards
    for key, digest, signed, *mark, first in seen:
        known.rewards[bytes.fromhex(key)] = Seen(
            bytes.fromhex(digest), to_unsigned(signed), Mark(*mark), first
        )
