"""How an arm does by what it has seen before: of items by their impressions, of users by sessions.

Impressions of an item are counted up to the day before, over the arm's own log: what its learner
can know. Items are told in all and, beside them, those that nobody had rated before the run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from matinee_platform.analysis.compare import linearised
from matinee_platform.decision_log import read_parts
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.log_schema import column_values, matrix
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, Int64Array, UInt64Array
from matinee_policies.records import PAD

IMPRESSIONS = (0, 1, 10, 100, 1_000)
"""Least number of earlier impressions in each class of items."""

SESSIONS = (0, 1, 2, 5, 10)
"""Least number of earlier sessions in each class of pages."""

_CLICK = COMPONENTS.index("click")


@dataclass(frozen=True, slots=True)
class Class:
    """What was shown at one stage.

    Attributes:
        least: least number of earlier impressions or sessions.
        impressions: items shown.
        share: of all impressions of the table's last class included, in [0, 1].
        ctr: clicks per item shown, NaN without any.
        error: standard error of the CTR over users, NaN for fewer than two.
        regret: expected clicks per page to the oracle's greedy page, of users alone; NaN if none
            was noted.
    """

    least: int
    impressions: int
    share: float
    ctr: float
    error: float
    regret: float = float("nan")


@dataclass(frozen=True, slots=True)
class InteractionCurve:
    """One arm by stages.

    Attributes:
        items: by earlier impressions of the item.
        new_items: the same of items without ratings before the run; shares are of all impressions.
        users: by earlier sessions of the user.
    """

    items: tuple[Class, ...]
    new_items: tuple[Class, ...]
    users: tuple[Class, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values, None where nothing is known."""
        return {
            name: [
                {
                    key: None if value != value else value
                    for key in Class.__dataclass_fields__
                    for value in (getattr(one, key),)
                }
                for one in getattr(self, name)
            ]
            for name in ("items", "new_items", "users")
        }


def read_interaction_curve(
    run: Path, arm: str, *, days: int, unrated: BoolArray
) -> InteractionCurve:
    """Read one arm's log, a day at a time.

    Args:
        run: folder of the run.
        arm: name of the arm.
        days: length of the run.
        unrated: items without ratings before the run, `bool [M]`.

    Raises:
        DataError: if a part of the log cannot be read.
    """
    seen: Int64Array = np.zeros(unrated.size, dtype=np.int64)
    tables = [_Sums(IMPRESSIONS), _Sums(IMPRESSIONS), _Sums(SESSIONS)]
    regret = np.zeros((2, len(SESSIONS)))
    for day in range(days):
        shown_today: Int64Array = np.zeros(unrated.size, dtype=np.int64)
        left = _regret_of(run, arm, day)
        for rows, clicks in _pages(run, arm, day):
            slate = matrix(rows["slate"])
            shown = slate != PAD
            unit = np.broadcast_to(rows["unit"].to_numpy()[:, None], slate.shape)[shown]
            items, clicked = slate[shown], clicks[shown]
            sessions = matrix(rows["unit_state"])[:, -2].astype(np.int64)
            tables[0].add(seen[items], unit, clicked)
            new = unrated[items]
            tables[1].add(seen[items][new], unit[new], clicked[new])
            tables[2].add(np.repeat(sessions, shown.sum(axis=1)), unit, clicked)
            np.add.at(shown_today, items, 1)
            stage = _stage(sessions, SESSIONS)
            for place, decision in enumerate(rows["decision_id"].to_numpy().tolist()):
                if decision in left:
                    regret[:, stage[place]] += (left[decision], 1.0)
        seen += shown_today
    total = max(tables[0].impressions, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        per_page = regret[0] / regret[1]
    return InteractionCurve(
        items=tables[0].classes(total),
        new_items=tables[1].classes(total),
        users=tables[2].classes(total, regret=per_page),
    )


class _Sums:
    """Impressions and clicks by class and user."""

    def __init__(self, edges: tuple[int, ...]) -> None:
        self._edges = edges
        self._parts: list[tuple[AnyArray, UInt64Array, BoolArray]] = []
        self.impressions = 0

    def add(self, earlier: Int64Array, unit: UInt64Array, clicked: BoolArray) -> None:
        stage = _stage(earlier, self._edges)
        self._parts.append((stage.astype(np.int8), unit, clicked))
        self.impressions += unit.size

    def classes(self, total: int, *, regret: FloatArray | None = None) -> tuple[Class, ...]:
        nothing = (np.zeros(0, np.int8), np.zeros(0, np.uint64), np.zeros(0, np.bool_))
        stage, unit, clicked = (
            np.concatenate([nothing[n], *(part[n] for part in self._parts)]) for n in range(3)
        )
        found = []
        for number, least in enumerate(self._edges):
            here = stage == number
            _, place = np.unique(unit[here], return_inverse=True)
            clicks = np.bincount(place, weights=clicked[here]).astype(np.float64)
            values = linearised(clicks, np.bincount(place).astype(np.float64))
            error = float(np.sqrt(values.var(ddof=1) / values.size)) if values.size > 1 else np.nan
            found.append(
                Class(
                    least=least,
                    impressions=int(here.sum()),
                    share=float(here.sum()) / total,
                    ctr=float(values.mean()) if values.size else np.nan,
                    error=error,
                    regret=np.nan if regret is None else float(regret[number]),
                )
            )
        return tuple(found)


def _stage(earlier: Int64Array, edges: tuple[int, ...]) -> Int64Array:
    """Number of the class of each count."""
    return np.searchsorted(np.array(edges), earlier, side="right").astype(np.int64) - 1


def _pages(run: Path, arm: str, day: int) -> Iterator[tuple[pa.Table, BoolArray]]:
    """Pages of a day with what was clicked, `bool [n, L]`."""
    ids, slots = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for table in read_parts(run, "rewards", arm, day=day):
        events = column_values(table)
        clicked = events["component"] == _CLICK
        ids.append(events["decision_id"][clicked])
        slots.append(events["slot"][clicked].astype(np.int64))
    event, slot = np.concatenate(ids), np.concatenate(slots)
    for rows in read_parts(run, "decisions", arm, day=day):
        decision = rows["decision_id"].to_numpy()
        clicks = np.zeros(matrix(rows["slate"]).shape, dtype=np.bool_)
        order = np.argsort(decision)
        row = order[np.minimum(np.searchsorted(decision, event, sorter=order), order.size - 1)]
        own = decision[row] == event
        clicks[row[own], slot[own]] = True
        yield rows, clicks


def _regret_of(run: Path, arm: str, day: int) -> dict[int, float]:
    """Expected clicks that compared pages of a day left on the table, by decision."""
    found: dict[int, float] = {}
    for rows in read_parts(run, "regret", arm, day=day):
        gap = rows["greedy_clicks"].to_numpy() - rows["expected_clicks"].to_numpy()
        ids = rows["decision_id"].to_numpy().tolist()
        found.update(zip(ids, np.maximum(gap, 0.0).tolist(), strict=True))
    return found
