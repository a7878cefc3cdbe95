"""Read dsjson of contextual bandits (CB) and conditional ones (CCB) into arrays.

Files of ours and of others: namespaces may have any name. A number is a feature of its name, true
and false are 1 and 0, a word is a feature `name=word` of value 1, a list of numbers one feature per
place. What Vowpal Wabbit skips (names that begin with an underscore) is skipped, but for `_item`,
the catalogue row that our own export writes.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray
from matinee_policies.errors import DataError
from matinee_policies.records import PAD

_ITEM = "_item"
_TOLERANCE = 1e-6
_LARGEST_ITEM = 2**31 - 1
_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class DsjsonEvents:
    """Events of a file; those of a contextual bandit have one slot (`L` = 1).

    Attributes:
        ids: of each event, as they stand in the file.
        items: `_item` of each action, -1 without one and at padding, `int32 [n, K]`.
        actions: how many actions each event has, `int32 [n]`.
        chosen: place of the action chosen at each slot, `PAD` at padding, `int32 [n, L]`.
        costs: of each slot, 0 at padding, `float64 [n, L]`.
        probabilities: of each choice, in (0, 1], 1 at padding, `float64 [n, L]`.
        names: of the features of actions, `NAMESPACE.NAME`, sorted.
        features: of actions, 0 where they have none, `float32 [n, K, d]`.
        shared_names: of the features that all actions of an event share.
        shared: those, `float32 [n, s]`.
        slot_names: of the features of slots.
        slots: those, `float32 [n, L, t]`.
    """

    ids: tuple[str, ...]
    items: IndexArray
    actions: IndexArray
    chosen: IndexArray
    costs: FloatArray
    probabilities: FloatArray
    names: tuple[str, ...]
    features: Float32Array
    shared_names: tuple[str, ...]
    shared: Float32Array
    slot_names: tuple[str, ...]
    slots: Float32Array


@dataclass(frozen=True, slots=True)
class _Event:
    id: str
    shared: dict[str, float]
    actions: list[dict[str, float]]
    items: list[int]
    slots: list[dict[str, float]]
    outcomes: list[tuple[int, float, float]]


def read_dsjson(path: Path) -> DsjsonEvents:
    """Read a file of either form, one event per line; empty lines are skipped.

    Raises:
        DataError: with the line and the rule that it breaks.
    """
    events = []
    try:
        # Not by `splitlines`: JSON may hold separators of lines that are no ends of ours.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise DataError(path, rule=f"must be there to read, in UTF-8 ({error})") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                events.append(_event(json.loads(line, parse_constant=_no_number)))
            except _UNREADABLE as error:
                told = f"lacks {error}" if isinstance(error, KeyError) else str(error)
                rule = f"must hold an event with outcomes in dsjson ({told})"
                raise DataError(path, rule=rule, line=number) from None
    return _as_arrays(events)


def _event(raw: Mapping[str, Any]) -> _Event:
    if raw.get("_skipLearn") or float(raw.get("pdrop", 0.0)) != 0.0:
        raise ValueError("events that are not to be learned, or that stand for others, are refused")
    context = raw["c"]
    multi = context["_multi"]
    if not isinstance(multi, list) or not multi:
        raise ValueError("_multi must be a list of at least one action")
    is_ccb = "_outcomes" in raw
    outcomes = _ccb_outcomes(raw) if is_ccb else [_cb_outcome(raw)]
    slots = context.get("_slots", []) if is_ccb else []
    if is_ccb and len(slots) != len(outcomes):
        raise ValueError(f"{len(slots)} slots must have as many outcomes, got {len(outcomes)}")
    chosen = [outcome[0] for outcome in outcomes]
    if min(chosen) < 0 or max(chosen) >= len(multi) or len(set(chosen)) < len(chosen):
        raise ValueError(f"choices must be distinct actions of {len(multi)}, got {chosen}")
    return _Event(
        id=str(raw["EventId"]),
        shared=_features(context),
        actions=[_features(action) for action in multi],
        items=[_whole(action.get(_ITEM, PAD), _ITEM) for action in multi],
        slots=[_features(slot) for slot in slots] or [{}],
        outcomes=outcomes,
    )


def _cb_outcome(raw: Mapping[str, Any]) -> tuple[int, float, float]:
    if "_labelIndex" in raw:
        chosen = _whole(raw["_labelIndex"], "_labelIndex")
    else:
        chosen = _whole(raw["_label_Action"], "_label_Action") - 1
    if "_label_Action" in raw and raw["_label_Action"] != chosen + 1:
        raise ValueError(
            f"_label_Action must be _labelIndex + 1 = {chosen + 1}, got {raw['_label_Action']}"
        )
    return chosen, _cost(raw), _probability(raw["_label_probability"])


def _ccb_outcomes(raw: Mapping[str, Any]) -> list[tuple[int, float, float]]:
    found = []
    for outcome in raw["_outcomes"]:
        ranked, chances = outcome["_a"], outcome["_p"]
        ranked, chances = ([v] if not isinstance(v, list) else v for v in (ranked, chances))
        if len(ranked) != len(chances) or not ranked:
            raise ValueError(f"_a and _p must be of one length, got {ranked} and {chances}")
        total = math.fsum(_probability(chance, least=0.0) for chance in chances)
        if total > 1.0 + _TOLERANCE:
            raise ValueError(f"_p must sum to at most 1, got {total}")
        found.append((_whole(ranked[0], "_a"), _cost(outcome), _probability(chances[0])))
    if not found:
        raise ValueError("_outcomes must hold at least one outcome")
    return found


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not PAD <= value <= _LARGEST_ITEM:
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return value


def _cost(raw: Mapping[str, Any]) -> float:
    cost = float(raw["_label_cost"])
    if not math.isfinite(cost):
        raise ValueError(f"_label_cost must be finite, got {cost}")
    return cost


def _probability(value: Any, *, least: float | None = None) -> float:
    """A probability above 0, or at least `least`."""
    number = float(value)
    if not (0.0 < number <= 1.0 or number == least):
        raise ValueError(f"probabilities must be in (0, 1], got {number}")
    return number


def _features(raw: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Features by name, of an object whose values may be objects again."""
    found: dict[str, float] = {}
    for name, value in raw.items():
        if name.startswith("_"):
            continue
        full = f"{prefix}{name}"
        if isinstance(value, Mapping):
            found |= _features(value, f"{full}.")
        elif isinstance(value, str):
            found[f"{full}={value}"] = 1.0
        elif isinstance(value, list):
            for place, entry in enumerate(value):
                part = entry if isinstance(entry, Mapping) else {str(place): entry}
                found |= _features(part, f"{full}.")
        elif value is not None:
            number = float(value)
            if not abs(number) <= float(np.finfo(np.float32).max):
                raise ValueError(f"feature {full} must be finite in single precision, got {number}")
            found[full] = number
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"numbers must be finite, got {word}")


def _as_arrays(events: list[_Event]) -> DsjsonEvents:
    n = len(events)
    K = max((len(event.actions) for event in events), default=0)
    L = max((len(event.outcomes) for event in events), default=0)
    items = np.full((n, K), PAD, dtype=np.int32)
    chosen = np.full((n, L), PAD, dtype=np.int32)
    costs, probabilities = np.zeros((n, L)), np.ones((n, L))
    for row, event in enumerate(events):
        items[row, : len(event.items)] = event.items
        for slot, (place, cost, chance) in enumerate(event.outcomes):
            chosen[row, slot], costs[row, slot], probabilities[row, slot] = place, cost, chance
    names, features = _table(events, lambda event: event.actions, width=K)
    slot_names, slots = _table(events, lambda event: event.slots, width=L)
    shared_names, shared = _table(events, lambda event: [event.shared], width=1)
    return DsjsonEvents(
        ids=tuple(event.id for event in events),
        items=items,
        actions=np.array([len(event.actions) for event in events], dtype=np.int32),
        chosen=chosen,
        costs=costs,
        probabilities=probabilities,
        names=names,
        features=features,
        shared_names=shared_names,
        shared=shared[:, 0],
        slot_names=slot_names,
        slots=slots,
    )


def _table(
    events: list[_Event], of: Callable[[_Event], list[dict[str, float]]], *, width: int
) -> tuple[tuple[str, ...], Float32Array]:
    """Names of some features, and the features `float32 [n, width, d]`."""
    names = sorted({name for event in events for part in of(event) for name in part})
    column = {name: at for at, name in enumerate(names)}
    values = np.zeros((len(events), width, len(names)), dtype=np.float32)
    for row, event in enumerate(events):
        for place, part in enumerate(of(event)):
            for name, number in part.items():
                values[row, place, column[name]] = number
    return tuple(names), values
