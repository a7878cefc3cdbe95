"""Join rewards to decisions of other parts than their own: few, if any."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from matinee_platform.analysis.unit_days.fold_kernels import (
    CLICK,
    WATCH,
    RewardColumns,
    RowArrays,
    some_rewards,
)
from matinee_platform.analysis.unit_days.log_parts import (
    Part,
    read_decisions,
    read_ids,
    read_rewards,
)
from matinee_platform.analysis.unit_days.part_fold import PartFold
from matinee_policies.arrays import AnyArray, BoolArray, UInt64Array

_SLOTS = 2**8
"""More than a slate has; `log_parts.MAX_SLOTS`."""


def join_strays(fold: PartFold, parts: Sequence[Part]) -> int:
    """Join the strays of a fold.

    Args:
        fold: of all parts; gets more rows, and what is wrong with rewards.
        parts: of the log.

    Returns:
        Orphans: rewards whose decision is in no part.
    """
    if not fold.strays:
        return 0
    strays = _joined(fold.strays)
    wanted = np.unique(strays.decision_id)
    known = np.zeros(strays.decision_id.size, dtype=np.bool_)
    for part in parts:
        if part.decisions is None:
            continue
        if np.isin(read_ids(part.decisions), wanted).any():
            known |= _join_part(fold, part, strays)
    _find_twice(fold, parts, strays.decision_id[known])
    return int((~known).sum())


def _join_part(fold: PartFold, part: Part, strays: RewardColumns) -> BoolArray:
    """Join strays to the decisions of a part; which of them, `bool [n]`."""
    decisions, _ = read_decisions(part.decisions)
    order = np.argsort(decisions.decision_id, kind="stable")
    place = np.searchsorted(decisions.decision_id, strays.decision_id, sorter=order)
    place = order[np.minimum(place, order.size - 1)]
    here: BoolArray = decisions.decision_id[place] == strays.decision_id
    place, component, value = place[here], strays.component[here], strays.value[here]
    unit = fold.places(decisions.unit[place])
    # A decision on a day outside the run may have no unit; the log is refused for it.
    counts = unit >= 0
    rows, empty = int(counts.sum()), np.int32(0)
    fold.add_rows(
        RowArrays(
            unit=unit[counts],
            day=decisions.day[place][counts].astype(np.int32),
            pages=np.full(rows, empty),
            impressions=np.full(rows, empty),
            fallbacks=np.full(rows, empty),
            clicks=((component == CLICK) & (value > 0)).astype(np.int32)[counts],
            engagement=np.where(component == WATCH, value, 0.0).astype(np.float64)[counts],
        )
    )
    return here


def _find_twice(fold: PartFold, parts: Sequence[Part], ids: UInt64Array) -> None:
    """Find slots of these decisions with two events of a kind, in whatever parts."""
    if not ids.size:
        return
    pieces, places = [], []
    for part in parts:
        rewards = read_rewards(part.rewards)
        chosen = np.isin(rewards.decision_id, ids)
        chosen &= (rewards.component == CLICK) | (rewards.component == WATCH)
        piece = some_rewards(rewards, chosen)
        pieces.append(piece)
        at_home = read_decisions(part.decisions)[0].decision_id
        places.append(~np.isin(piece.decision_id, at_home))
    rewards, astray = _joined(pieces), np.concatenate(places)
    key = rewards.component.astype(np.int64) * _SLOTS + rewards.slot
    order = np.lexsort((astray, key, rewards.decision_id))
    same = _same_as_before(rewards.decision_id[order]) & _same_as_before(key[order])
    # Two of one part were found there.
    twice = order[same & astray[order]]
    fold.tell_twice(some_rewards(rewards, twice))


def _same_as_before(values: AnyArray) -> BoolArray:
    same = np.zeros(values.size, dtype=np.bool_)
    same[1:] = values[1:] == values[:-1]
    return same


def _joined(pieces: Sequence[RewardColumns]) -> RewardColumns:
    columns: list[Any] = [np.concatenate(some) for some in zip(*pieces, strict=True)]
    return RewardColumns(*columns)
