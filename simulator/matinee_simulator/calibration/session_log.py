"""Read a service's own log of sessions, and tell its sessions and pages apart.

A CSV file (plain or .gz) with one row per event and these columns, others being ignored:

    user       any text
    time       unix seconds, or ISO 8601 with its zone
    session    optional, any text; without it a gap of 30 minutes begins a new session
    position   optional, slot on the page from 1; with it every row is an item shown
    clicked    with position: 0 or 1

Without positions every row is a click and counts as a page. With them, a position that does not
rise begins a new page.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from matinee_policies.arrays import BoolArray, FloatArray, IndexArray
from matinee_policies.datasets.csv_file import CsvFile, csv_records, read_csv, rows
from matinee_policies.errors import DataError

GAP_SECONDS = 1_800.0
"""Longest pause within a session."""

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_MOST_SLOTS = 999
_SHOWN = 60


@dataclass(frozen=True, eq=False, kw_only=True)
class SessionLog:
    """Events in order of user, then time.

    Attributes:
        user: row of the user, `int32 [n]`, ascending.
        time: unix seconds, ascending within a user, `float64 [n]`.
        session: number of the session, from 0, ascending, `int32 [n]`.
        page: page within the session, from 1, `int32 [n]`.
        position: slot from 1, or None where the log has none, `int32 [n]`.
        clicked: or None likewise, `bool [n]`.
    """

    user: IndexArray
    time: FloatArray
    session: IndexArray
    page: IndexArray
    position: IndexArray | None
    clicked: BoolArray | None

    @property
    def n_users(self) -> int:
        """Number of users."""
        return int(self.user[-1]) + 1

    @property
    def n_sessions(self) -> int:
        """Number of sessions."""
        return int(self.session[-1]) + 1


def read_session_log(path: Path) -> SessionLog:
    """Read and check a log.

    Raises:
        DataError: with the line, the value and the rule that it breaks.
    """
    file = read_csv(path)
    header = next(csv_records(file), (0, []))[1]
    optional = [name for name in ("session", "position", "clicked") if name in header]
    if ("position" in optional) != ("clicked" in optional):
        have, lack = sorted(("position", "clicked"), key=lambda name: name not in optional)
        raise DataError(file.path, rule=f"column {have!r} needs column {lack!r}", line=1)
    columns = ("user", "time", *optional)
    users: dict[str, int] = {}
    sessions: dict[tuple[str, str], int] = {}
    read: dict[str, list[float]] = {name: [] for name in columns}
    for line, values in rows(file, columns):
        field = dict(zip(columns, values, strict=True))
        for name in ("user", "session"):
            if name in field and not field[name].strip():
                raise DataError(file.path, rule=f"{name} must not be empty", line=line)
        read["user"].append(users.setdefault(field["user"], len(users)))
        read["time"].append(_seconds(file, line, field["time"]))
        if "session" in field:
            key = (field["user"], field["session"])
            read["session"].append(sessions.setdefault(key, len(sessions)))
        if "position" in field:
            read["position"].append(_slot(file, line, field["position"]))
            read["clicked"].append(_flag(file, line, field["clicked"]))
    return _ordered({name: np.array(values) for name, values in read.items()})


def _ordered(read: dict[str, FloatArray]) -> SessionLog:
    """Sort events, the earlier row first among equals, and number sessions and pages."""
    order = np.lexsort((read["time"], read["user"]))
    user, time = read["user"][order].astype(np.int32), read["time"][order]
    starts = np.diff(user, prepend=-1) != 0
    if "session" in read:
        named = read["session"][order]
        # A session that another one interrupts is put together again.
        first = np.full(int(named.max()) + 1, named.size)
        np.minimum.at(first, named.astype(int), np.arange(named.size))
        again = np.lexsort((np.arange(named.size), first[named.astype(int)]))
        order, user, time = order[again], user[again], time[again]
        starts = np.diff(read["session"][order], prepend=-1) != 0
    else:
        starts |= np.diff(time, prepend=time[0]) > GAP_SECONDS
    session = (np.cumsum(starts) - 1).astype(np.int32)
    position = read["position"][order].astype(np.int32) if "position" in read else None
    turns = starts.copy()
    if position is None:
        turns[:] = True
    else:
        turns[1:] |= np.diff(position) <= 0
    pages = np.cumsum(turns)
    before = (pages - turns)[np.flatnonzero(starts)][session]
    return SessionLog(
        user=user,
        time=time,
        session=session,
        page=(pages - before).astype(np.int32),
        position=position,
        clicked=read["clicked"][order] > 0 if "clicked" in read else None,
    )


def _seconds(file: CsvFile, line: int, text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None or not math.isfinite(time.timestamp()):
        rule = "time must be unix seconds >= 0, or ISO 8601 with its zone (2024-05-01T12:00:00Z)"
        raise DataError(file.path, rule=rule, line=line, value=text[:_SHOWN])
    return time.timestamp()


def _slot(file: CsvFile, line: int, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) < 1:
        rule = f"position must be a whole number from 1 to {_MOST_SLOTS}"
        raise DataError(file.path, rule=rule, line=line, value=text[:_SHOWN])
    return int(text)


def _flag(file: CsvFile, line: int, text: str) -> int:
    if text not in ("0", "1"):
        raise DataError(file.path, rule="clicked must be 0 or 1", line=line, value=text[:_SHOWN])
    return int(text)
