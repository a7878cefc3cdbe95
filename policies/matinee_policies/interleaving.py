"""Team-draft interleaving: one slate of two rankings, and which of them each slot is credited to.

Source: Radlinski, Kurup and Joachims 2008, "How does clickthrough data reflect retrieval quality?",
algorithm 2. As when two captains pick teams: in each round a coin says who picks first, then each
ranking adds its best item that is not on the slate yet. A click counts for the ranking that picked
the item. Both teams are of one size (of an odd slate, the first of the last round has one more),
and each stands first half of the time, so that position favours neither.

What is kept of a ranking is its order, item by item. A slate whose worth is that of a set (MMR,
DPP, caps per genre or creator) is torn apart: what is compared then is how its items fare among
those of the other.

The coins are bits of the counter-based generator under the decision's key, so that the same
decision draws the same slate in any batch.
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray, Int8Array, UInt64Array
from matinee_policies.compiled import kernel
from matinee_policies.config import check_whole
from matinee_policies.errors import ContextError
from matinee_policies.philox import random_bits
from matinee_policies.records import PAD

FIRST, SECOND = 0, 1
"""The two rankings, as numbers of teams."""

COIN_COUNTER = 0x7465616D64726166  # "teamdraf": no counter of a slot
"""High counter of the coins; the low one counts blocks of 64 rounds."""

_ROUNDS_PER_WORD = 64


@dataclass(frozen=True, slots=True)
class Interleaved:
    """Interleaved slates.

    Attributes:
        items: catalogue rows in the order shown, `PAD` where a ranking ran out, `int32 [n, L]`.
        teams: `FIRST` or `SECOND`, the ranking that picked each item; `PAD` as `items`,
            `int8 [n, L]`.
    """

    items: IndexArray
    teams: Int8Array


def interleave(
    first: IndexArray, second: IndexArray, *, slots: int, keys: UInt64Array
) -> Interleaved:
    """Interleave pairs of rankings.

    A slate ends early when one of its rankings has no item left that is not on it: what the other
    could still add would have no rival.

    Args:
        first: catalogue rows, best first, distinct in a row, `PAD` on the right, `int32 [n, P]`.
        second: likewise, `int32 [n, Q]`.
        slots: length `L` of the slates, at least 1.
        keys: of the decisions, `uint64 [n]`.

    Raises:
        ContextError: arrays that do not fit together, or an item twice in a ranking.
        ConfigError: on `slots` out of range.

    Example:
        >>> rows = np.array([[4, 5, 6, 7]], dtype=np.int32)
        >>> keys = np.array([3], dtype=np.uint64)
        >>> mixed = interleave(rows, rows[:, ::-1].copy(), slots=4, keys=keys)
        >>> mixed.items.tolist(), mixed.teams.tolist()
        ([[7, 4, 5, 6]], [[1, 0, 0, 1]])
    """
    check_whole("slots", slots, low=1, high=32_767)
    for name, ranking in (("first", first), ("second", second)):
        _check_ranking(name, ranking, rows=keys.size)
    if keys.dtype != np.uint64 or keys.ndim != 1:
        raise ContextError(f"keys must be uint64 [n], got {keys.dtype} {keys.shape}")
    items = np.empty((keys.size, slots), dtype=np.int32)
    teams = np.empty((keys.size, slots), dtype=np.int8)
    _draft(np.ascontiguousarray(first), np.ascontiguousarray(second), keys, items, teams)
    return Interleaved(items, teams)


def interleave_reference(
    first: list[int], second: list[int], *, slots: int, coins: list[int]
) -> tuple[list[int], list[int]]:
    """Plain twin of `interleave` for one pair of rankings without `PAD`, after the paper.

    Args:
        first: items, best first.
        second: likewise.
        slots: length of the slate.
        coins: the team that picks first in each round.

    Returns:
        Items and teams, as long as the slate got.

    Example:
        >>> interleave_reference([1, 2, 3], [2, 3, 1], slots=3, coins=[1, 0])
        ([2, 1, 3], [1, 0, 0])
    """
    rankings, slate, teams = (first, second), list[int](), list[int]()
    while len(slate) < slots and all(set(ranking) - set(slate) for ranking in rankings):
        mine = [teams.count(FIRST), teams.count(SECOND)]
        is_round = mine[FIRST] == mine[SECOND]
        team = coins[len(slate) // 2] if is_round else int(mine[FIRST] > mine[SECOND])
        slate.append(next(item for item in rankings[team] if item not in slate))
        teams.append(team)
    return slate, teams


def coins(keys: UInt64Array, *, rounds: int) -> Int8Array:
    """The team that picks first in each round, `int8 [n, rounds]`.

    Args:
        keys: of the decisions, `uint64 [n]`.
        rounds: how many.
    """
    found = np.empty((keys.size, rounds), dtype=np.int8)
    _toss(keys, found)
    return found


def team_credit(teams: Int8Array, worth: AnyArray) -> FloatArray:
    """What each team earned on each slate, `float64 [n, 2]`.

    Args:
        teams: as `interleave` gave them, `int8 [n, L]`.
        worth: of each slot, such as clicks as 0 and 1, or watched fractions; NaN is nothing,
            `[n, L]`.

    Raises:
        ContextError: on arrays of different shape.

    Example:
        >>> teams = np.array([[0, 1, 1, 0]], dtype=np.int8)
        >>> team_credit(teams, np.array([[1, 0, 1, 1]])).tolist()
        [[2.0, 1.0]]
    """
    if teams.shape != worth.shape:
        raise ContextError(f"worth must have the shape of teams {teams.shape}, got {worth.shape}")
    known = np.nan_to_num(worth.astype(np.float64), nan=0.0)
    return np.stack([(known * (teams == team)).sum(axis=1) for team in (FIRST, SECOND)], axis=1)


def _check_ranking(name: str, ranking: IndexArray, *, rows: int) -> None:
    if ranking.dtype != np.int32 or ranking.ndim != 2 or len(ranking) != rows:
        raise ContextError(
            f"{name} must be int32 [{rows}, P], got {ranking.dtype} {list(ranking.shape)}"
        )
    if ranking.size and int(ranking.min()) < PAD:
        raise ContextError(f"{name} must hold catalogue rows or {PAD}, got {int(ranking.min())}")
    ordered = np.sort(ranking, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)
    if twice.any():
        raise ContextError(f"{name} must not rank an item twice, got {ordered[:, 1:][twice][0]}")


@kernel
def _first_picks(key: np.uint64, turn: int) -> int:
    """The team that picks first in a round: one bit of the decision's stream."""
    low, _ = random_bits(key, np.uint64(COIN_COUNTER), np.uint64(turn // _ROUNDS_PER_WORD))
    return 1 if (low >> np.uint64(turn % _ROUNDS_PER_WORD)) & np.uint64(1) else 0


@kernel
def _toss(keys: UInt64Array, found: Int8Array) -> None:
    for row in range(keys.shape[0]):
        for turn in range(found.shape[1]):
            found[row, turn] = _first_picks(keys[row], turn)


@kernel
def _next_item(ranking: IndexArray, start: int, slate: IndexArray, filled: int) -> int:
    """Place of the best item that is not on the slate yet; the length if there is none."""
    for place in range(start, ranking.shape[0]):
        item = ranking[place]
        if item == PAD:
            break
        is_new = True
        for slot in range(filled):
            if slate[slot] == item:
                is_new = False
        if is_new:
            return place
    return int(ranking.shape[0])


@kernel
def _draft(
    first: IndexArray,
    second: IndexArray,
    keys: UInt64Array,
    items: IndexArray,
    teams: Int8Array,
) -> None:
    for row in range(keys.shape[0]):
        # Places only move on: what is on the slate once stays there.
        at_first, at_second = 0, 0
        slots = items.shape[1]
        leader = 0
        for slot in range(slots):
            at_first = _next_item(first[row], at_first, items[row], slot)
            at_second = _next_item(second[row], at_second, items[row], slot)
            if at_first == first.shape[1] or at_second == second.shape[1]:
                for left in range(slot, slots):
                    items[row, left] = PAD
                    teams[row, left] = PAD
                break
            if slot % 2 == 0:
                leader = _first_picks(keys[row], slot // 2)
            team = leader if slot % 2 == 0 else 1 - leader
            items[row, slot] = second[row, at_second] if team else first[row, at_first]
            teams[row, slot] = team
