"""Parse events of dsjson, of contextual bandits (CB) and conditional ones (CCB), one by one.

Files of ours and of others: namespaces may have any name. A number is a feature of its name, true
and false are 1 and 0, a word is a feature `name=word` of value 1, a list of numbers one feature per
place. What Vowpal Wabbit skips (names that begin with an underscore) is skipped, but for what our
own exports write: `_item`, the catalogue row of an action, `_id`, its name, `_unit`, whose event it
is, and `_position`, where on its page an event or a slot stands, from 1.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from matinee_policies.errors import DataError
from matinee_policies.records import PAD

_ITEM, _NAME, _UNIT, _POSITION = "_item", "_id", "_unit", "_position"
_ROUNDING = 1e-5
"""Relative difference up to which two probabilities are one: logs keep them in six digits."""

_SUM_ROUNDING = 1e-3
"""Off 1 by no more the sum of a law is 1: hundreds of probabilities in six decimals."""

_LARGEST_ITEM = 2**31 - 1
_LARGEST_FEATURE = float(np.finfo(np.float32).max)
_MOST_POSITIONS = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 4_102_444_800_000
_FINE = re.compile(r"(\.\d{6})\d+")
_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class DsjsonEvent:
    """One event.

    Attributes:
        line: where it stands in its file, from 1.
        id: as it stands there.
        time: UTC, milliseconds since 1970; None without one.
        unit: whose it is, as our exports say; None otherwise.
        position: on its page, from 0, as our exports say; None otherwise.
        is_ccb: whether it is of a conditional contextual bandit.
        shared: features that all actions share.
        actions: features of each.
        items: catalogue rows of the actions, `PAD` without.
        names: of the actions; empty without.
        ruled_out: actions that the logged law, which is known in whole, gives no chance.
        slots: features of each slot; one of a contextual bandit.
        places: of the slots on the page, from 0, as our exports say; empty otherwise.
        outcomes: place of the action chosen, its cost and its probability, of each slot.
    """

    line: int
    id: str
    time: int | None
    unit: int | None
    position: int | None
    is_ccb: bool
    shared: dict[str, float]
    actions: list[dict[str, float]]
    items: list[int]
    names: list[str]
    ruled_out: frozenset[int]
    slots: list[dict[str, float]]
    places: list[int]
    outcomes: list[tuple[int, float, float]]


def dsjson_events(path: Path) -> Iterator[DsjsonEvent]:
    """Read a file of either form, one event per line, as a stream; empty lines are skipped.

    Raises:
        DataError: with the line and the rule that it breaks.
    """
    number = 0
    try:
        # Lines end in a newline alone: JSON may hold other separators of lines.
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _parsed(path, number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, rule=f"must be there to read, in UTF-8 ({error})") from None


def _parsed(path: Path, number: int, line: str) -> DsjsonEvent:
    try:
        return _event(number, json.loads(line, parse_constant=_no_number))
    except _UNREADABLE as error:
        told = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        rule = f"must hold an event with outcomes in dsjson ({told})"
        raise DataError(path, rule=rule, line=number) from None


def _event(line: int, raw: Mapping[str, Any]) -> DsjsonEvent:
    if not isinstance(raw, dict):
        raise ValueError("an event must be an object")
    if raw.get("_skipLearn") or float(raw.get("pdrop", 0.0)) != 0.0:
        raise ValueError("events that are not to be learned, or that stand for others, are refused")
    context = raw["c"]
    multi = context["_multi"]
    if not isinstance(multi, list) or not multi:
        raise ValueError("_multi must be a list of at least one action")
    if any("_slot_id" in action for action in multi):
        raise ValueError(
            "actions with _slot_id are of slates, whose one cost is of the whole page: only events "
            "of CB and CCB are read"
        )
    is_ccb = "_outcomes" in raw
    outcomes = _ccb_outcomes(raw) if is_ccb else [_cb_outcome(raw)]
    slots = context.get("_slots", []) if is_ccb else []
    if is_ccb and len(slots) != len(outcomes):
        raise ValueError(f"{len(slots)} slots must have as many outcomes, got {len(outcomes)}")
    chosen = [outcome[0] for outcome in outcomes]
    if min(chosen) < 0 or max(chosen) >= len(multi) or len(set(chosen)) < len(chosen):
        raise ValueError(f"choices must be distinct actions of {len(multi)}, got {chosen}")
    return DsjsonEvent(
        line=line,
        id=str(raw["EventId"]),
        time=_time(raw["Timestamp"]) if "Timestamp" in raw else None,
        unit=_unit(context[_UNIT]) if _UNIT in context else None,
        position=_place(context) if _POSITION in context else None,
        is_ccb=is_ccb,
        shared=_features(context),
        actions=[_features(action) for action in multi],
        items=[_whole(action.get(_ITEM, PAD), _ITEM) for action in multi],
        names=_names(multi),
        ruled_out=frozenset() if is_ccb else _ruled_out(raw, len(multi)),
        slots=[_features(slot) for slot in slots] or [{}],
        places=_places(slots),
        outcomes=outcomes,
    )


def _names(multi: list[Any]) -> list[str]:
    names = [action[_NAME] for action in multi if _NAME in action]
    if names and (len(set(names)) < len(multi) or not all(isinstance(n, str) for n in names)):
        raise ValueError(f"{_NAME} must be a text of its own for each action, got {names}")
    return names


def _ruled_out(raw: Mapping[str, Any], actions: int) -> frozenset[int]:
    """Actions without a chance, where `a` and `p` list all of them."""
    law = _law(raw)
    if len(law) < actions:
        return frozenset()
    total = math.fsum(law.values())
    if abs(total - 1.0) > _SUM_ROUNDING:
        raise ValueError(f"p of all actions must sum to 1, got {total}")
    return frozenset(action for action, chance in law.items() if chance == 0.0)


def _law(raw: Mapping[str, Any]) -> dict[int, float]:
    """Probabilities that `a` and `p` list, by the place of the action; of all actions, or fewer."""
    ranked, chances = raw.get("a"), raw.get("p")
    if not isinstance(ranked, list) or not isinstance(chances, list):
        return {}
    places = [_whole(action, "a") - 1 for action in ranked]
    count = len(raw["c"]["_multi"])
    if len(ranked) != len(chances) or len(set(places)) < len(places):
        raise ValueError(f"a and p must be of one length, of distinct actions, got {ranked}")
    if places and not 0 <= min(places) <= max(places) < count:
        raise ValueError(f"a must number actions from 1 to {count}, got {ranked}")
    return dict(zip(places, (_probability(chance, least=0.0) for chance in chances), strict=True))


def _places(slots: list[Any]) -> list[int]:
    places = [_place(slot) for slot in slots if _POSITION in slot]
    if places and (len(places) < len(slots) or sorted(set(places)) != places):
        raise ValueError(f"{_POSITION} must rise from slot to slot, got {places}")
    return places


def _place(raw: Mapping[str, Any]) -> int:
    place = _whole(raw[_POSITION], _POSITION) - 1
    if not 0 <= place < _MOST_POSITIONS:
        raise ValueError(f"{_POSITION} must be within 1 and {_MOST_POSITIONS}, got {place + 1}")
    return place


def _unit(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**64:
        raise ValueError(f"{_UNIT} must be a whole number of 64 bits")
    return value


def _time(value: Any) -> int:
    # Seven digits of a second are more than the standard library takes.
    moment = datetime.fromisoformat(_FINE.sub(r"\1", str(value)))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    milliseconds = since // timedelta(milliseconds=1)
    if not 0 <= milliseconds <= _LATEST:
        raise ValueError(f"Timestamp must be a time from 1970 to 2100, got {value!r}")
    return milliseconds


def _cb_outcome(raw: Mapping[str, Any]) -> tuple[int, float, float]:
    if "_labelIndex" in raw:
        chosen = _whole(raw["_labelIndex"], "_labelIndex")
    else:
        chosen = _whole(raw["_label_Action"], "_label_Action") - 1
    if "_label_Action" in raw and raw["_label_Action"] != chosen + 1:
        raise ValueError(
            f"_label_Action must be _labelIndex + 1 = {chosen + 1}, got {raw['_label_Action']}"
        )
    chance = _probability(raw["_label_probability"])
    told = _law(raw).get(chosen, chance)
    if not math.isclose(told, chance, rel_tol=_ROUNDING):
        raise ValueError(
            f"_label_probability must be what p says of action {chosen + 1}, the one chosen, but "
            f"for rounding ({_ROUNDING:g} of it), got {chance} and {told}"
        )
    return chosen, _cost(raw), chance


def _ccb_outcomes(raw: Mapping[str, Any]) -> list[tuple[int, float, float]]:
    found = []
    for outcome in raw["_outcomes"]:
        ranked, chances = outcome["_a"], outcome["_p"]
        ranked, chances = ([v] if not isinstance(v, list) else v for v in (ranked, chances))
        if len(ranked) != len(chances) or not ranked:
            raise ValueError(f"_a and _p must be of one length, got {ranked} and {chances}")
        total = math.fsum(_probability(chance, least=0.0) for chance in chances)
        if total > 1.0 + _SUM_ROUNDING:
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
        # Numbers first: nearly all values are.
        if isinstance(value, (float, int)):
            if not -_LARGEST_FEATURE <= value <= _LARGEST_FEATURE:
                rule = "must be finite in single precision"
                raise ValueError(f"feature {full} {rule}, got {float(value)}")
            found[full] = float(value)
        elif isinstance(value, dict):
            found |= _features(value, f"{full}.")
        elif isinstance(value, str):
            found[f"{full}={value}"] = 1.0
        elif isinstance(value, list):
            for place, entry in enumerate(value):
                part = entry if isinstance(entry, dict) else {str(place): entry}
                found |= _features(part, f"{full}.")
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"numbers must be finite, got {word}")
