"""Read dsjson of contextual bandits (CB) and conditional ones (CCB) into arrays.

Whole files (`read_dsjson`) or, for logs that need not fit into memory, first their shape
(`dsjson_shape`) and then part by part (`events_as_arrays`). What a line means stands in
`dsjson_events.py`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matinee_platform.dsjson_events import DsjsonEvent, dsjson_events
from matinee_policies.arrays import (
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.records import PAD


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
        times: UTC, milliseconds since 1970, -1 without one, `int64 [n]`.
        units: as our exports name them, 0 without, `uint64 [n]`.
        positions: of each slot on its page, -1 at padding and without, `int32 [n, L]`.
        possible: actions that the logging law could choose, as far as it is known, `bool [n, K]`.
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
    times: Int64Array
    units: UInt64Array
    positions: IndexArray
    possible: BoolArray


@dataclass(frozen=True, slots=True)
class DsjsonShape:
    """How wide the arrays of some events have to be.

    Attributes:
        events: how many there are.
        actions: most of any event, K.
        slots: most of any event, L.
        names: of the features of actions, sorted.
        shared_names: of those that all actions of an event share, sorted.
        slot_names: of the features of slots, sorted.
    """

    events: int
    actions: int
    slots: int
    names: tuple[str, ...]
    shared_names: tuple[str, ...]
    slot_names: tuple[str, ...]


def read_dsjson(path: Path) -> DsjsonEvents:
    """Read a file of either form, one event per line; empty lines are skipped.

    Raises:
        DataError: with the line and the rule that it breaks.
    """
    events = list(dsjson_events(path))
    return events_as_arrays(events, dsjson_shape(events))


def dsjson_shape(events: Iterable[DsjsonEvent]) -> DsjsonShape:
    """The shape of some events, which are read once and not kept."""
    count = actions = slots = 0
    names: tuple[set[str], set[str], set[str]] = (set(), set(), set())
    for event in events:
        count += 1
        actions, slots = max(actions, len(event.actions)), max(slots, len(event.outcomes))
        for found, parts in zip(names, (event.actions, [event.shared], event.slots), strict=True):
            for part in parts:
                found.update(part)
    of_actions, shared, of_slots = (tuple(sorted(found)) for found in names)
    return DsjsonShape(count, actions, slots, of_actions, shared, of_slots)


def events_as_arrays(events: Sequence[DsjsonEvent], shape: DsjsonShape) -> DsjsonEvents:
    """Events as arrays as wide as a whole log has to be.

    Args:
        events: `n` of them.
        shape: of the log that they are of.
    """
    n, K, L = len(events), shape.actions, shape.slots
    items = np.full((n, K), PAD, dtype=np.int32)
    chosen = np.full((n, L), PAD, dtype=np.int32)
    costs, probabilities = np.zeros((n, L)), np.ones((n, L))
    positions = np.full((n, L), PAD, dtype=np.int32)
    possible = np.zeros((n, K), dtype=bool)
    for row, event in enumerate(events):
        items[row, : len(event.items)] = event.items
        possible[row, : len(event.items)] = True
        possible[row, list(event.ruled_out)] = False
        for slot, (place, cost, chance) in enumerate(event.outcomes):
            chosen[row, slot], costs[row, slot], probabilities[row, slot] = place, cost, chance
        if event.places:
            positions[row, : len(event.places)] = event.places
        elif event.position is not None:
            positions[row, 0] = event.position
    features = _table(events, lambda event: event.actions, names=shape.names, width=K)
    slots = _table(events, lambda event: event.slots, names=shape.slot_names, width=L)
    shared = _table(events, lambda event: [event.shared], names=shape.shared_names, width=1)
    return DsjsonEvents(
        ids=tuple(event.id for event in events),
        items=items,
        actions=np.array([len(event.actions) for event in events], dtype=np.int32),
        chosen=chosen,
        costs=costs,
        probabilities=probabilities,
        names=shape.names,
        features=features,
        shared_names=shape.shared_names,
        shared=shared[:, 0],
        slot_names=shape.slot_names,
        slots=slots,
        times=np.array([-1 if e.time is None else e.time for e in events], dtype=np.int64),
        units=np.array([e.unit or 0 for e in events], dtype=np.uint64),
        positions=positions,
        possible=possible,
    )


def _table(
    events: Sequence[DsjsonEvent],
    of: Callable[[DsjsonEvent], list[dict[str, float]]],
    *,
    names: tuple[str, ...],
    width: int,
) -> Float32Array:
    """Some features, `float32 [n, width, d]`."""
    column = {name: at for at, name in enumerate(names)}
    values = np.zeros((len(events), width, len(names)), dtype=np.float32)
    for row, event in enumerate(events):
        for place, part in enumerate(of(event)):
            for name, number in part.items():
                values[row, place, column[name]] = number
    return values
