"""What the writer of a SQLite log asks and tells the database, in few steps.

Each step of a statement lets other threads run and then waits for its turn again. So what must be
looked up for a batch comes as one value of JSON, and many rows are added by one statement.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from matinee_platform.storage.append_plan import Known, Record, Seen
from matinee_platform.storage.event_rows import Row, decision_from_row
from matinee_platform.storage.event_tables import DECISION_COLUMNS, REWARD_COLUMNS
from matinee_platform.storage.int64 import to_signed, to_unsigned
from matinee_platform.storage.records import DecisionRecord
from matinee_platform.storage.reward_states import Mark, Shown

_SIZES = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Rows of one statement: few statements, all of them kept prepared."""

_DECISIONS = (
    f"SELECT {', '.join(DECISION_COLUMNS)} FROM decisions "  # noqa: S608 - names are ours
    "WHERE decision_id IN (SELECT value FROM json_each(?))"
)
_SHOWN = (
    "SELECT json_group_array(json_array(decision_id, experiment, seq, decided_at, hex(slate))) "
    "FROM decisions WHERE decision_id IN (SELECT value FROM json_each(?))"
)
_PLACES = (
    "SELECT json_group_array(json_array(decision_id, component, slot, first, rewards)) FROM ("
    "SELECT decision_id, component, slot, min(received_at) AS first, count(*) AS rewards "
    "FROM rewards WHERE decision_id IN (SELECT value FROM json_each(?)) "
    "GROUP BY decision_id, component, slot)"
)
_SEEN = (
    "SELECT json_group_array(json_array(hex(reward_key), hex(body_digest), decision_id, seq, "
    "component, slot, received_at, ("
    "SELECT min(received_at) FROM rewards AS before WHERE before.decision_id = one.decision_id "
    "AND before.seq < one.seq AND before.component = one.component AND before.slot = one.slot"
    "))) FROM rewards AS one WHERE reward_key IN "
)


def known_of(connection: sqlite3.Connection, batch: Sequence[Record]) -> Known:
    """What the log holds of all that a batch names."""
    (last,) = connection.execute("SELECT last FROM seq").fetchone()
    known = Known(last)
    decided = [one.decision_id for one in batch if isinstance(one, DecisionRecord)]
    rewards = [one for one in batch if not isinstance(one, DecisionRecord)]
    if decided:
        for row in connection.execute(_DECISIONS, (_ids(decided),)):
            there = decision_from_row(row)
            known.decisions[there.record.decision_id] = there
    if rewards:
        _look_up_rewards(connection, [one.reward_key for one in rewards], known)
        _look_up_named(connection, _ids({one.decision_id for one in rewards}), known)
    return known


def insert_decisions(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Add rows of `event_tables.DECISION_COLUMNS`."""
    _insert(connection, "decisions", DECISION_COLUMNS, rows)


def insert_rewards(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Add rows of `event_tables.REWARD_COLUMNS`."""
    _insert(connection, "rewards", REWARD_COLUMNS, rows)


def intern(connection: sqlite3.Connection, ids: Sequence[str]) -> list[int]:
    """Rows of items, made where new."""
    (free,) = connection.execute("SELECT coalesce(max(item_row) + 1, 0) FROM items").fetchone()
    (found,) = connection.execute(
        "SELECT json_group_array(json_array(item_id, item_row)) FROM items "
        "WHERE item_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    ).fetchone()
    rows: dict[str, int] = dict(json.loads(found))
    new = [one for one in dict.fromkeys(ids) if one not in rows]
    made = list(enumerate(new, start=free))
    _insert(connection, "items", ("item_row", "item_id"), made)
    rows.update((one, row) for row, one in made)
    return [rows[one] for one in ids]


def _insert(
    connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: Sequence[Row]
) -> None:
    into = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 - names are ours
    marks = f"({', '.join('?' * len(columns))})"

    def insert(chunk: Sequence[Row]) -> None:
        connection.execute(into + ", ".join([marks] * len(chunk)), [*chain.from_iterable(chunk)])

    _in_chunks(rows, insert)


def _look_up_rewards(connection: sqlite3.Connection, keys: Sequence[bytes], known: Known) -> None:
    def look_up(chunk: Sequence[bytes]) -> None:
        marks = ", ".join("?" * len(chunk))
        for key, digest, decision_id, *mark, first in _json(
            connection, f"{_SEEN} ({marks})", chunk
        ):
            known.rewards[bytes.fromhex(key)] = Seen(
                bytes.fromhex(digest), to_unsigned(decision_id), Mark(*mark), first
            )

    _in_chunks(keys, look_up)


def _look_up_named(connection: sqlite3.Connection, ids: str, known: Known) -> None:
    """Decisions that rewards name, and the rewards that these have already."""
    for decision_id, experiment, seq, decided_at, slate in _json(connection, _SHOWN, (ids,)):
        shown = Shown(seq, decided_at, bytes.fromhex(slate))
        known.shown[to_unsigned(decision_id)] = (experiment, shown)
    for signed, component, slot, first, rewards in _json(connection, _PLACES, (ids,)):
        decision_id = to_unsigned(signed)
        known.firsts[decision_id, component, slot] = first
        known.counts[decision_id] = known.counts.get(decision_id, 0) + rewards


def _json(connection: sqlite3.Connection, statement: str, values: Sequence[Any]) -> Any:
    (text,) = connection.execute(statement, values).fetchone()
    return json.loads(text)


def _ids(ids: Sequence[int] | set[int]) -> str:
    return json.dumps([to_signed(one) for one in ids])


def _in_chunks(rows: Sequence[Any], call: Callable[[Sequence[Any]], None]) -> None:
    at = 0
    for size in _SIZES:
        while len(rows) - at >= size:
            call(rows[at : at + size])
            at += size
