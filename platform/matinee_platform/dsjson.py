"""Write decisions as dsjson, the format in which Vowpal Wabbit's services log.

Two forms of one JSON object per line:

- `cb_lines`: an event per shown slot. Its actions are the candidates that no earlier slot shows,
  its cost is minus the reward of the slot, its probability the propensity given those slots.
- `ccb_lines`: an event per page. All candidates, a slot object and an outcome per shown slot;
  Vowpal Wabbit takes the items of earlier slots away by itself.

The log keeps the probability of what was shown, not the whole law, so the lists of actions and
probabilities (`a` and `p`, or `_a` and `_p`) have that one entry. Features are numbers under names
of ours in three namespaces: `unit` (shared), `item` (of an action) and `slot`. What Vowpal Wabbit
skips carries catalogue rows (`_item`), pseudonyms of units (`_unit`), whose rows belong together in
every interval, and places on the page, from 1 (`_position`). No word of a user or an item can get
into a line.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, FloatArray, IndexArray, UInt64Array
from matinee_policies.features import FEATURE_NAMES, SLOT_FEATURE, slot_feature
from matinee_policies.records import PAD

UNIT_FEATURES = ("activity", "days_since_visit")
"""Features that all candidates of a decision share."""

_UNIT = [FEATURE_NAMES.index(name) for name in UNIT_FEATURES]
_ITEM = [column for column in range(len(FEATURE_NAMES)) if column not in {*_UNIT, SLOT_FEATURE}]
_VERSION = "1"


@dataclass(frozen=True, slots=True)
class LoggedPages:
    """Decisions with what came of them, `n` pages.

    Attributes:
        ids: decision ids, `uint64 [n]`.
        units: pseudonyms, `uint64 [n]`.
        decided_at: UTC, milliseconds since 1970, `int64 [n]`.
        snapshot: version of the policy, `int32 [n]`.
        candidates: catalogue rows, `int32 [n, K]`.
        features: of each candidate, before a slot is chosen, `float32 [n, K, d]`.
        positions: place among the candidates of the item at each slot, `int32 [n, L]`.
        propensities: as logged, `float64 [n, L]`.
        rewards: of each slot, finite, `float64 [n, L]`.
    """

    ids: UInt64Array
    units: UInt64Array
    decided_at: AnyArray
    snapshot: IndexArray
    candidates: IndexArray
    features: Float32Array
    positions: IndexArray
    propensities: FloatArray
    rewards: FloatArray


def cb_lines(pages: LoggedPages) -> Iterator[str]:
    """An event of a contextual bandit per shown slot, in order."""
    for n in range(len(pages.ids)):
        unit, actions = _unit_and_actions(pages, n)
        left = np.flatnonzero(pages.candidates[n] != PAD).tolist()
        for slot, shown in enumerate(pages.positions[n].tolist()):
            if shown == PAD:
                continue
            chosen, chance = left.index(shown), float(pages.propensities[n, slot])
            head = {
                "_label_cost": _cost(pages, n, slot),
                "_label_probability": chance,
                "_label_Action": chosen + 1,
                "_labelIndex": chosen,
                "Timestamp": _time(pages, n),
                "Version": _VERSION,
                "EventId": f"{int(pages.ids[n]):016x}-{slot}",
                "a": [chosen + 1],
                "p": [chance],
            }
            whose = f'"_unit": {int(pages.units[n])}, "_position": {slot + 1}'
            shared = f'{whose}, "unit": {unit}, "slot": {_slot(slot)}'
            among = ", ".join(actions[place] for place in left)
            yield (
                f'{_dumps(head)[:-1]}, "c": {{{shared}, "_multi": [{among}]}}, '
                f'"VWState": {_state(pages, n)}}}'
            )
            left.remove(shown)


def ccb_lines(pages: LoggedPages) -> Iterator[str]:
    """An event of a conditional contextual bandit per page, in order."""
    for n in range(len(pages.ids)):
        unit, actions = _unit_and_actions(pages, n)
        places = np.cumsum(pages.candidates[n] != PAD) - 1
        shown = [(slot, at) for slot, at in enumerate(pages.positions[n].tolist()) if at != PAD]
        head = {
            "Timestamp": _time(pages, n),
            "Version": _VERSION,
            "EventId": f"{int(pages.ids[n]):016x}",
        }
        outcomes = [
            {
                "_label_cost": _cost(pages, n, slot),
                "_a": [int(places[at])],
                "_p": [float(pages.propensities[n, slot])],
                "_o": [],
            }
            for slot, at in shown
        ]
        slots = ", ".join(
            f'{{"_position": {slot + 1}, "slot": {_slot(slot)}}}' for slot, _ in shown
        )
        among = ", ".join(text for text in actions if text)
        yield (
            f'{_dumps(head)[:-1]}, "c": {{"_unit": {int(pages.units[n])}, "unit": {unit}, '
            f'"_multi": [{among}], "_slots": [{slots}]}}, "_outcomes": {_dumps(outcomes)}, '
            f'"VWState": {_state(pages, n)}}}'
        )


def _unit_and_actions(pages: LoggedPages, n: int) -> tuple[str, list[str]]:
    """What the actions of a page share, and each of them, as JSON; padding is empty."""
    features = pages.features[n]
    present = pages.candidates[n] != PAD
    first = features[int(np.argmax(present))]
    actions = [
        _dumps({"_item": int(item), "item": _named(features[place], _ITEM)}) if there else ""
        for place, (item, there) in enumerate(
            zip(pages.candidates[n].tolist(), present.tolist(), strict=True)
        )
    ]
    return _dumps(_named(first, _UNIT)), actions


def _named(features: Float32Array, columns: list[int]) -> dict[str, float]:
    # Nine digits name a float32.
    numbers = features[columns].tolist()
    return {
        FEATURE_NAMES[column]: float(f"{number:.9g}")
        for column, number in zip(columns, numbers, strict=True)
    }


def _slot(slot: int) -> str:
    number = float(f"{float(slot_feature(slot + 1)[slot]):.9g}")
    return _dumps({FEATURE_NAMES[SLOT_FEATURE]: number})


def _cost(pages: LoggedPages, n: int, slot: int) -> float:
    # Adding zero makes no difference, but to the sign of a zero.
    return -float(pages.rewards[n, slot]) + 0.0


def _time(pages: LoggedPages, n: int) -> str:
    seconds, thousandths = divmod(int(pages.decided_at[n]), 1000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{thousandths:03d}0000Z"


def _state(pages: LoggedPages, n: int) -> str:
    return _dumps({"m": f"{int(pages.snapshot[n]):05d}"})


def _dumps(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
