"""Fold parts of a log into sums by unit and day: one pass over decisions, one over rewards.

Units and decisions are found by open addressing with multiplicative hashing (Knuth, TAOCP 3, 6.4):
tables have a size of a power of two, at least twice their entries, and are probed linearly.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int8Array,
    Int64Array,
    UInt64Array,
)
from matinee_policies.compiled import lean_kernel

Int16Array: TypeAlias = NDArray[np.int16]

AT_ONCE = 1_024
"""Rows that are looked up together."""

NOBODY = -1
"""An entry of a table that is free."""

OUTSIDE, BACKWARDS, OTHER_BUCKET = range(3)
"""What can be wrong with a decision."""
VALUE, SLOT, TWICE = range(3)
"""What can be wrong with a reward."""

CLICK, WATCH = 0, 1
"""Codes of the components that count."""


FACTS = 8
"""Columns of what is known of a unit: one line of the processor's cache."""
UNIT, ARM, BUCKET, FIRST_DAY, FIRST_AT, LAST_AT, OPEN_PART, OPEN_ROW = range(FACTS)
"""Pseudonym (the bits of an `uint64`), arm and bucket of the first decision, earliest day, earliest
and latest time, and the part and row in which the unit's sums were last added to."""


class Units(NamedTuple):
    """Units in the order in which the log first names them; the arrays have room for more.

    Attributes:
        table: place of a unit by hash, `int32 [2^k]`.
        facts: `int64 [room, FACTS]`.
        several: whether a second arm was seen, `bool [room]`.
    """

    table: IndexArray
    facts: Int64Array
    several: BoolArray


class DecisionColumns(NamedTuple):
    """Columns of the decisions of a part, of equal length."""

    decision_id: UInt64Array
    unit: UInt64Array
    bucket: Int16Array
    day: Int16Array
    at: Int64Array
    fallback: BoolArray
    shown: IndexArray


class RewardColumns(NamedTuple):
    """Columns of the rewards of a part, of equal length."""

    decision_id: UInt64Array
    component: Int8Array
    slot: Int16Array
    value: Float32Array


def some_rewards(rewards: RewardColumns, which: AnyArray) -> RewardColumns:
    """Some of the rewards, `bool [n]` or places."""
    return RewardColumns(
        rewards.decision_id[which],
        rewards.component[which],
        rewards.slot[which],
        rewards.value[which],
    )


class RowArrays(NamedTuple):
    """Rows that a part begins, one for each unit and day."""

    unit: IndexArray
    day: IndexArray
    pages: IndexArray
    impressions: IndexArray
    fallbacks: IndexArray
    clicks: IndexArray
    engagement: FloatArray


class IdTable(NamedTuple):
    """Decisions of a part by id.

    Attributes:
        table: place of a decision by hash, `int32 [2^k]`.
        decision_id: of each, `uint64 [n]`.
        row: of each, -1 for a decision that does not count, `int32 [n]`.
        marks: slots whose click, and whose watch, was counted, a bit each, `uint64 [n, 2 W]`.
    """

    table: IndexArray
    decision_id: UInt64Array
    row: IndexArray
    marks: UInt64Array


@lean_kernel
def place_of(table: IndexArray, keys: UInt64Array, key: np.uint64) -> np.int64:
    """Where `key` is in a table, or the free entry where it belongs."""
    mask = np.uint64(table.size - 1)
    at = ((key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & mask
    while table[at] >= 0 and keys[table[at]] != key:
        at = (at + np.uint64(1)) & mask
    return np.int64(at)


@lean_kernel
def place_of_unit(units: Units, unit: np.int64) -> np.int64:
    """As `place_of`, in the table of units."""
    mask = np.uint64(units.table.size - 1)
    at = ((np.uint64(unit) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & mask
    while units.table[at] >= 0 and units.facts[units.table[at], UNIT] != unit:
        at = (at + np.uint64(1)) & mask
    return np.int64(at)


@lean_kernel
def refill(units: Units, known: int) -> None:
    """Enter the first `known` units, which are distinct, into an empty table."""
    for place in range(known):
        units.table[place_of_unit(units, units.facts[place, UNIT])] = place


@lean_kernel
def note(wrong: Int64Array, kind: int, row: int) -> None:
    """Count something wrong in `wrong`, `int64 [kinds, 1 + examples]`; the first rows are kept."""
    wrong[kind, 0] += 1
    if wrong[kind, 0] < wrong.shape[1]:
        wrong[kind, wrong[kind, 0]] = row


@lean_kernel
def fold_decisions(
    rows: DecisionColumns,
    units: Units,
    begun: RowArrays,
    ids: IdTable,
    fresh: IndexArray,
    wrong: Int64Array,
    done: Int64Array,
    arm: int,
    part: int,
    days: int,
    tolerance_ms: int,
) -> None:
    """Fold decisions of a part, to its end or until there is no room for another unit.

    Args:
        rows: decisions, `n` of them, in log order.
        units: changed.
        begun: with room for `n` rows; filled.
        ids: an empty table for `n` ids; filled.
        fresh: gets the rows that are first decisions of a unit, `int32 [n]`.
        wrong: gets what is wrong.
        done: decisions, units of the log, rows begun, first decisions so far; changed, `int64 [4]`.
        arm: of the part.
        part: its number.
        days: a day must be below.
        tolerance_ms: how far a unit's time may go back.
    """
    known, n_rows, n_fresh = done[1], done[2], done[3]
    looked_up = done[0]
    for i in range(done[0], rows.decision_id.size):
        if known == units.several.size:
            break
        if i == looked_up:
            looked_up = min(i + AT_ONCE, rows.decision_id.size)
            # By themselves, look-ups overlap: memory is waited for once and not for each.
            for ahead in range(i, looked_up):
                unit = np.int64(rows.unit[ahead])
                ids.row[ahead] = units.table[place_of_unit(units, unit)]
            for ahead in range(i, looked_up):
                for word in range(ids.marks.shape[1]):
                    ids.marks[ahead, word] = np.uint64(0)
                entry = place_of(ids.table, ids.decision_id, rows.decision_id[ahead])
                ids.table[entry] = ahead
        u = np.int64(ids.row[i])
        ids.row[i] = NOBODY
        done[0] = i + 1
        day, at = rows.day[i], rows.at[i]
        if day < 0 or day >= days:
            note(wrong, OUTSIDE, i)
            continue
        entry = np.int64(0)
        if u < 0:
            entry = place_of_unit(units, np.int64(rows.unit[i]))
            u = np.int64(units.table[entry])
        if u < 0:
            u = known
            known += 1
            unit = np.int64(rows.unit[i])
            units.table[entry] = u
            units.several[u] = False
            units.facts[u, UNIT] = unit
            units.facts[u, ARM] = arm
            units.facts[u, BUCKET] = rows.bucket[i]
            units.facts[u, FIRST_DAY] = day
            units.facts[u, FIRST_AT] = at
            units.facts[u, LAST_AT] = at
            units.facts[u, OPEN_PART] = NOBODY
            fresh[n_fresh] = i
            n_fresh += 1
        facts = units.facts[u]
        if facts[ARM] != arm:
            units.several[u] = True
        elif at < facts[LAST_AT] - tolerance_ms:
            note(wrong, BACKWARDS, i)
        if facts[BUCKET] != rows.bucket[i]:
            note(wrong, OTHER_BUCKET, i)
        facts[FIRST_DAY] = min(facts[FIRST_DAY], day)
        facts[FIRST_AT] = min(facts[FIRST_AT], at)
        facts[LAST_AT] = max(facts[LAST_AT], at)
        row = facts[OPEN_ROW]
        if facts[OPEN_PART] != part or begun.day[row] != day:
            row = n_rows
            n_rows += 1
            facts[OPEN_PART] = part
            facts[OPEN_ROW] = row
            begun.unit[row] = u
            begun.day[row] = day
            begun.pages[row] = 0
            begun.impressions[row] = 0
            begun.fallbacks[row] = 0
            begun.clicks[row] = 0
            begun.engagement[row] = 0.0
        ids.row[i] = row
        begun.pages[row] += 1
        begun.impressions[row] += rows.shown[i]
        if rows.fallback[i]:
            begun.fallbacks[row] += 1
    done[1], done[2], done[3] = known, n_rows, n_fresh


@lean_kernel
def fold_rewards(
    rows: RewardColumns,
    ids: IdTable,
    begun: RowArrays,
    strange: BoolArray,
    wrong: Int64Array,
    places: IndexArray,
    slots: int,
) -> int:
    """Fold the rewards of a part into the rows of its decisions.

    Args:
        rows: rewards, `n` of them.
        ids: decisions of the part.
        begun: changed.
        strange: gets whether the decision of a reward that counts is not in the part, `bool [n]`.
        wrong: gets what is wrong.
        places: room for `AT_ONCE` places.
        slots: of a slate.

    Returns:
        How many are strange.
    """
    words = ids.marks.shape[1] // 2
    n_strange = 0
    n = rows.decision_id.size
    for i in range(n):
        if i % AT_ONCE == 0:
            for ahead in range(i, min(i + AT_ONCE, n)):
                entry = place_of(ids.table, ids.decision_id, rows.decision_id[ahead])
                places[ahead % AT_ONCE] = ids.table[entry]
        component = rows.component[i]
        if component != CLICK and component != WATCH:
            continue
        value, slot = rows.value[i], rows.slot[i]
        if not (value >= 0.0 and value <= 1.0):
            note(wrong, VALUE, i)
            continue
        if slot < 0 or slot >= slots:
            note(wrong, SLOT, i)
            continue
        found = places[i % AT_ONCE]
        if found < 0:
            strange[i] = True
            n_strange += 1
            continue
        word = np.int64(component) * words + (np.int64(slot) >> 6)
        bit = np.uint64(1) << np.uint64(slot & 63)
        if ids.marks[found, word] & bit:
            note(wrong, TWICE, i)
            continue
        ids.marks[found, word] |= bit
        row = ids.row[found]
        if row < 0:
            continue
        if component == WATCH:
            begun.engagement[row] += np.float64(value)
        elif value > 0.0:
            begun.clicks[row] += 1
    return n_strange


@lean_kernel
def find_all(units: Units, wanted: UInt64Array, places: IndexArray) -> None:
    """Places of units, -1 for one that is not there."""
    for row in range(wanted.size):
        places[row] = units.table[place_of_unit(units, np.int64(wanted[row]))]


@lean_kernel
def count_into_order(rank: IndexArray, ends: Int64Array, order: IndexArray) -> None:
    """Stable order of rows by rank: a counting sort.

    Args:
        rank: of each row, -1 for a row to leave out, `int32 [m]`.
        ends: rows of lower rank, by rank; changed, `int64 [n]`.
        order: gets the places, `int32 [rows of rank >= 0]`.
    """
    for row in range(rank.size):
        if rank[row] >= 0:
            order[ends[rank[row]]] = row
            ends[rank[row]] += 1
