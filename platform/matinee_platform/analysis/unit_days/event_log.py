"""Read `UnitDays` from the event log of a service, while it goes on writing.

The database makes the sums (`event_statements`): what comes out is one row for each unit and day.
Pages of the fallback are exposure like all others (intention to treat). Units of the holdout are an
arm of their own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.analysis.inference.gates import LARGEST_SHARE_IN_SEVERAL_ARMS
from matinee_platform.analysis.unit_days import event_statements as ask_for
from matinee_platform.analysis.unit_days.bad_log import EXAMPLES, BadLog
from matinee_platform.analysis.unit_days.declared import DeclaredArms, check_units, undeclared
from matinee_platform.analysis.unit_days.event_database import Ask, reading
from matinee_platform.analysis.unit_days.first_states import FirstStates
from matinee_platform.analysis.unit_days.gathered import Gathered, unit_days
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis.unit_days.run_log import CLOCK_TOLERANCE_MS
from matinee_platform.experiments.beginning import rows_after
from matinee_platform.experiments.definition import HOLDOUT_ARM, LiveExperiment
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.serving.unit_fold import DAY_MS, VISIT_GAP_MS
from matinee_platform.storage.int64 import to_unsigned
from matinee_platform.storage.records import ServedBy
from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ConfigError

_CLICK, _WATCH = COMPONENTS.index("click"), COMPONENTS.index("watch")
_EMPTY_SLOT = (-1).to_bytes(4, "little", signed=True)
_DECISION_KINDS = (
    np.int64,  # unit, signed
    np.int32,  # day
    np.int64,  # exposed
    np.int16,  # arm
    np.bool_,  # another arm
    np.int16,  # bucket
    np.int16,  # largest bucket
    np.int64,  # time of the first page
    np.int32,  # sessions
    np.int32,  # pages
    np.int64,  # impressions
    np.int32,  # fallbacks
)


def read_event_unit_days(
    database: Path | str,
    experiment: LiveExperiment,
    *,
    since_ms: int,
    since_seq: int | None = None,
    until_ms: int,
    growing: bool = False,
    states: bool = True,
    genre_names: Sequence[str] = (),
    tolerance_ms: int = CLOCK_TOLERANCE_MS,
) -> UnitDays:
    """Sums by unit and day of all arms of a live experiment.

    `days` are the whole days that the data hold. A row's calendar day is that of its first page,
    and may be the day after those, which is not over.

    Args:
        database: file of the SQLite log, or address of a PostgreSQL.
        experiment: as it stands now.
        since_ms: its present start, UTC milliseconds; days are counted from it, and what a clock
            that is behind decided earlier is of the first one.
        since_seq: place of the log at that start: what was logged before belongs to another
            assignment; None has the time tell (`experiments.beginning`).
        until_ms: end of the data; what is later does not count.
        growing: whether units still come in: then an arm may have none yet.
        states: whether to read the state at each unit's first decision, for covariates and
            segments (`first_states`).
        genre_names: labels of the taste groups; numbered if not given.
        tolerance_ms: how far time may go back in the order of the log.

    Raises:
        ConfigError: if the end is not after the start.
        DataError: if the log breaks a rule, with counts and examples.
        LogUnavailableError: if the database cannot be read.
    """
    if until_ms <= since_ms:
        raise ConfigError(
            f"until_ms must be after the start of the experiment, {since_ms}, got {until_ms}"
        )
    where = f"log of experiment {experiment.key!r}"
    names = tuple(arm.name for arm in experiment.arms)
    found = BadLog()
    with reading(database) as ask:
        values = _values(ask, experiment, (since_ms, since_seq), until_ms)
        seen = dict(_all(ask, ask_for.ARMS, values))
        undeclared(found, (*names, HOLDOUT_ARM), seen, what="decisions")
        _check_rows(found, ask, {**values, "tolerance": tolerance_ms})
        found.refuse(where)
        arms = (*names, HOLDOUT_ARM) if HOLDOUT_ARM in seen else names
        gathered, buckets = _decisions(ask, arms, values)
        declared = DeclaredArms(arms, tuple(arm.weight for arm in experiment.arms))
        _leave_out_odd(found, gathered, buckets)
        check_units(
            found,
            declared,
            unit=gathered.unit,
            arm=gathered.arm,
            bucket=buckets[0],
            several=gathered.several,
            empty_arms=growing,
        )
        found.refuse(where)
        _rewards(ask, gathered, values)
        ((gathered.orphan_rewards,),) = _all(ask, ask_for.ORPHANS, values)
        gathered.states = FirstStates(genre_names)
        if states:
            _states(ask, gathered, values)
    return unit_days(gathered)


def _values(
    ask: Ask, experiment: LiveExperiment, start: tuple[int, int | None], until_ms: int
) -> dict[str, Any]:
    """Values that statements name."""
    ((upto,),) = _all(ask, "SELECT last FROM seq", {})
    windows = experiment.windows_ms()
    earliest, started = rows_after(*start)
    return {
        "experiment": experiment.key,
        "since": start[0],
        "earliest": earliest,
        "started": started,
        "until": until_ms,
        "upto": upto,
        "day": DAY_MS,
        "gap": VISIT_GAP_MS,
        "fallback": int(ServedBy.FALLBACK),
        "click": _CLICK,
        "watch": _WATCH,
        # Click and watch share theirs.
        "window": windows[_CLICK],
        "empty": _EMPTY_SLOT,
    }


def _check_rows(found: BadLog, ask: Ask, values: Mapping[str, Any]) -> None:
    twice = _some(ask, ask_for.TWICE, values)
    found.add(
        "decision_id must occur once in the log, ids that occur again",
        twice[0],
        [f"decision {to_unsigned(one)}" for one, _ in twice[1]],
    )
    backwards = _some(ask, ask_for.BACKWARDS, values)
    found.add(
        "time must not go back in the order of the log by more than "
        f"{values['tolerance'] / 1_000:g} s",
        backwards[0],
        [f"{by / 1_000:g} s at decision {to_unsigned(one)}" for one, by in backwards[1]],
    )
    wrong = _some(ask, ask_for.VALUES, values)
    found.add(
        "value of a click and of a watch must be within 0 and 1",
        wrong[0],
        [
            f"{value} for the {COMPONENTS[component]} of decision {to_unsigned(one)}"
            for one, component, value in wrong[1]
        ],
    )


def _decisions(
    ask: Ask, arms: tuple[str, ...], values: Mapping[str, Any]
) -> tuple[Gathered, tuple[AnyArray, AnyArray]]:
    """Units and rows, without rewards and states; least and largest bucket of each unit."""
    index = {name: place for place, name in enumerate(arms)}
    pieces = [[np.zeros(0, dtype=kind) for kind in _DECISION_KINDS]]
    for rows in ask(ask_for.UNIT_DAYS, values):
        own, day, began, first, last, *numbers = zip(*rows, strict=True)
        arm = [index[name] for name in first]
        other = [one != two for one, two in zip(first, last, strict=True)]
        columns = (own, day, began, arm, other, *numbers)
        pieces.append(
            [
                np.array(column, dtype=kind)
                for column, kind in zip(columns, _DECISION_KINDS, strict=True)
            ]
        )
    row = [np.concatenate(column) for column in zip(*pieces, strict=True)]
    starts = np.flatnonzero(np.diff(row[0], prepend=row[0][:1] - 1))
    unit, exposed = row[0][starts], row[2][starts]
    least, largest, earliest = (
        reduce.reduceat(row[place], starts) if starts.size else row[place]
        for reduce, place in ((np.minimum, 5), (np.maximum, 6), (np.minimum, 3))
    )
    latest = np.maximum.reduceat(row[3], starts) if starts.size else row[3]
    several = np.logical_or.reduceat(row[4], starts) if starts.size else row[4]
    since, until = values["since"], values["until"]
    gathered = Gathered(
        arms=arms,
        unit=unit.view(np.uint64),
        arm=row[3][starts],
        several=several | (earliest != latest),
        exposed_at=exposed,
        exposed_on=_day_of(exposed, since),
        observed=((until - exposed) // DAY_MS).astype(np.int32),
        states=FirstStates(),
        rows={
            "row_unit": [np.searchsorted(unit, row[0]).astype(np.int32)],
            "row_day": [row[1]],
            "row_calendar_day": [_day_of(row[7], since)],
            "sessions": [row[8]],
            "pages": [row[9]],
            "impressions": [row[10]],
            "fallbacks": [row[11]],
        },
        days=(until - since) // DAY_MS,
        orphan_rewards=0,
        rewarded=((until - exposed - values["window"]) // DAY_MS).astype(np.int32),
    )
    return gathered, (least, largest)


def _day_of(at_ms: AnyArray, since_ms: int) -> AnyArray:
    """Day of the experiment; the first one for what a clock that is behind told."""
    day: AnyArray = np.maximum((at_ms - since_ms) // DAY_MS, 0).astype(np.int32)
    return day


def _leave_out_odd(found: BadLog, gathered: Gathered, buckets: tuple[AnyArray, AnyArray]) -> None:
    """Put units of two buckets to those of several arms; many of them are a bad log."""
    odd = buckets[0] != buckets[1]
    if odd.sum() >= LARGEST_SHARE_IN_SEVERAL_ARMS * odd.size:
        found.add_rows(
            "a unit must have one bucket (or rows of several starts are mixed), units",
            odd,
            names=[("unit", gathered.unit), ("of buckets", buckets[0]), ("and", buckets[1])],
        )
    gathered.several = gathered.several | odd


def _rewards(ask: Ask, gathered: Gathered, values: Mapping[str, Any]) -> None:
    """Add clicks and engagement, each to the row of its unit and day."""
    signed = gathered.unit.view(np.int64)
    row_key = _key(gathered.rows["row_unit"][0], gathered.rows["row_day"][0])
    clicks = np.zeros(row_key.size, dtype=np.int64)
    engagement = np.zeros(row_key.size)
    for rows in ask(ask_for.REWARDS, values):
        unit, day, clicked, watched = zip(*rows, strict=True)
        place = np.searchsorted(signed, np.array(unit, dtype=np.int64))
        row = np.searchsorted(row_key, _key(place, np.array(day, dtype=np.int32)))
        clicks[row] = np.array(clicked, dtype=np.int64)
        engagement[row] = np.array(watched, dtype=np.float64)
    gathered.rows |= {"clicks": [clicks], "engagement": [engagement]}


def _states(ask: Ask, gathered: Gathered, values: Mapping[str, Any]) -> None:
    signed = gathered.unit.view(np.int64)
    for rows in ask(ask_for.STATES, values):
        by_size: dict[int, list[tuple[int, bytes]]] = {}
        for unit, state in rows:
            by_size.setdefault(len(state), []).append((unit, bytes(state)))
        for some in by_size.values():
            units = np.array([unit for unit, _ in some], dtype=np.int64)
            packed = np.frombuffer(b"".join(state for _, state in some), dtype="<f4")
            gathered.states.add(
                np.searchsorted(signed, units),
                packed.reshape(len(some), -1).astype(np.float32, copy=False),
            )


def _key(place: AnyArray, day: AnyArray) -> AnyArray:
    """Place of a unit and day as one number that rises with both."""
    return (place.astype(np.int64) << 32) | day.astype(np.int64)


def _all(ask: Ask, statement: str, values: Mapping[str, Any]) -> list[Any]:
    return [row for rows in ask(statement, values) for row in rows]


def _some(ask: Ask, statement: str, values: Mapping[str, Any]) -> tuple[int, list[Any]]:
    """How many rows an answer has, and the first of them."""
    count = 0
    first: list[Any] = []
    for rows in ask(statement, values):
        first.extend(rows[: EXAMPLES - len(first)])
        count += len(rows)
    return count, first
