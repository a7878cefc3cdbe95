"""Write logs of actions as dsjson, which `dsjson.py` and Vowpal Wabbit read.

A row of one slot is an event of a contextual bandit, a page of several one of a conditional
contextual bandit. Contexts and features become features by their names, in single precision as
Vowpal Wabbit has them; what it skips (`_id`, `_unit`, `_position`) carries items, units and
positions. Logs that do not say what was offered offer all of their items.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.records import PAD

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION = "1"


def write_dsjson(path: Path, log: ActionLog) -> int:
    """Write a log as one file.

    Returns:
        Events written.

    Raises:
        ConfigError: if the file is there, or is not named `.json`.
        ContextError: if the log cannot be said in dsjson: its probabilities are estimates, a name
            of a feature begins with an underscore, a page shows nothing or an item twice, or an
            empty slot earned.
    """
    if path.suffix != ".json" or path.exists():
        raise ConfigError(f"the file must end in .json and not be there yet, got {path}")
    count = 0
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        for line in action_lines(log):
            file.write(f"{line}\n")
            count += 1
    partial.replace(path)
    return count


def action_lines(log: ActionLog) -> Iterator[str]:
    """An event per row, in order; arguments and errors as `write_dsjson`."""
    if log.propensities != "logged":
        raise ContextError(
            f"dsjson has no place to say that probabilities are estimates ({log.propensities})"
        )
    hidden = [name for name in (*log.contexts, *log.features) if name.startswith("_")]
    if hidden:
        raise ContextError(f"names in dsjson must not begin with an underscore, got {hidden[0]!r}")
    for batch in log.stream():
        for row in range(len(batch)):
            yield json.dumps(_event(log, batch, row), allow_nan=False)


def _event(log: ActionLog, batch: ActionBatch, row: int) -> dict[str, Any]:
    shown = [slot for slot in range(log.slots) if batch.actions[row, slot] != PAD]
    number = batch.first + row
    if not shown:
        raise ContextError(f"row {number + 1}: a page of dsjson must show an item, got none")
    items = [int(batch.actions[row, slot]) for slot in shown]
    if len(set(items)) < len(items):
        raise ContextError(f"row {number + 1}: a page of dsjson must not show an item twice")
    earned = [slot for slot in range(log.slots) if slot not in shown and batch.rewards[row, slot]]
    if earned:
        raise ContextError(f"row {number + 1}: an empty slot of dsjson must earn 0")
    offered = np.arange(len(log.items)) if batch.offered is None else batch.offered[row]
    places = {int(item): place for place, item in enumerate(offered[offered != PAD].tolist())}
    head: dict[str, Any] = {"Version": _VERSION, "EventId": str(number)}
    if log.has_times:
        head["Timestamp"] = _time(int(batch.time[row]))
    context: dict[str, Any] = {}
    if log.has_units:
        context["_unit"] = int(batch.unit[row])
    if log.slots == 1:
        context["_position"] = int(batch.positions[row, 0]) + 1
    if batch.context is not None:
        context |= _named(log.contexts, batch.context[row])
    context["_multi"] = [_action(log, batch, row, item, offered) for item in places]
    chosen = [places[item] for item in items]
    chances = [float(batch.logged[row, slot]) for slot in shown]
    costs = [-float(batch.rewards[row, slot]) + 0.0 for slot in shown]
    if log.slots == 1:
        return {
            "_label_cost": costs[0],
            "_label_probability": chances[0],
            "_label_Action": chosen[0] + 1,
            "_labelIndex": chosen[0],
            **head,
            "a": [chosen[0] + 1],
            "p": chances,
            "c": context,
        }
    context["_slots"] = [{"_position": slot + 1} for slot in shown]
    outcomes = [
        {"_label_cost": cost, "_a": [place], "_p": [chance], "_o": []}
        for cost, place, chance in zip(costs, chosen, chances, strict=True)
    ]
    return {**head, "c": context, "_outcomes": outcomes}


def _action(
    log: ActionLog, batch: ActionBatch, row: int, item: int, offered: AnyArray
) -> dict[str, Any]:
    action: dict[str, Any] = {"_id": log.items[item]}
    if batch.features is not None and batch.offered is not None:
        place = int(np.argmax(offered == item))
        action |= _named(log.features, batch.features[row, place])
    return action


def _named(names: tuple[str, ...], values: AnyArray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _time(milliseconds: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}0000Z"
