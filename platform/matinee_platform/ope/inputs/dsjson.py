"""Logs of actions in Vowpal Wabbit's dsjson: an event of CB is a row, one of CCB a page.

Items are the catalogue rows or names that our exports write; in files of others, which name no
items, item `k` is the `k`-th action of its event. A reward is minus the cost. What an event offers
is what could be shown, but for actions that a whole logged law gives no chance.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from matinee_platform.dsjson_events import DsjsonEvent, dsjson_events
from matinee_platform.dsjson_read import DsjsonEvents, DsjsonShape, dsjson_shape, events_as_arrays
from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_policies.arrays import AnyArray, FloatArray, Int64Array
from matinee_policies.errors import DataError
from matinee_policies.records import PAD

SUFFIXES = (".json", ".dsjson")

_CELLS = 1 << 20
_MOST_ROWS = 4_096


def dsjson_log(path: Path | str) -> ActionLog:
    """Open a file, or a folder of files in the order of their names, as a log of actions.

    Raises:
        DataError: naming the file, the line and the rule that it breaks.
    """
    files = _files(Path(path))
    seen = _Seen()
    shape = dsjson_shape(seen.told(_events(files)))
    if not shape.events:
        raise DataError(path, rule="must hold at least one event")
    reader = _Reader(files, shape, seen.items(), seen.has_times, seen.has_units)
    return ActionLog(
        stream=reader.batches,
        rows=shape.events,
        items=reader.items,
        positions=max(shape.slots, seen.positions) if shape.slots == 1 else shape.slots,
        slots=shape.slots,
        contexts=shape.shared_names,
        features=shape.names,
        distinct=seen.is_ccb,
        has_units=seen.has_units,
        has_times=seen.has_times,
        rewards=(seen.low, seen.high),
    )


def is_dsjson(path: Path) -> bool:
    """Whether a path is meant as dsjson: a file by its name, a folder by its first line too.

    What is wrong in an event is for `dsjson_log` to say.
    """
    try:
        first = _files(path)[0]
        if first == path:
            return True
        with first.open(encoding="utf-8", newline="\n") as file:
            raw = json.loads(next((line for line in file if line.strip()), ""))
    except (DataError, OSError, ValueError, RecursionError):
        return False
    return isinstance(raw, dict) and "c" in raw


def _files(path: Path) -> tuple[Path, ...]:
    if not path.is_dir():
        if not path.name.lower().endswith(SUFFIXES):
            raise DataError(path, rule=f"name must end in one of {', '.join(SUFFIXES)}")
        return (path,)
    inside = tuple(child for child in sorted(path.iterdir()) if child.suffix.lower() in SUFFIXES)
    if not inside:
        raise DataError(path, rule=f"folder must hold files with a name in {', '.join(SUFFIXES)}")
    return inside


def _events(files: Sequence[Path]) -> Iterator[tuple[Path, DsjsonEvent]]:
    for path in files:
        for event in dsjson_events(path):
            yield path, event


class _Seen:
    """What is learned of a log when it is read for the first time, with its rules."""

    def __init__(self) -> None:
        self.rows: set[int] = set()
        self.names: set[str] = set()
        self.most = 0
        self.how = ""
        self.is_ccb = False
        self.has_times = False
        self.has_units = False
        self.positions = 1
        self.low, self.high = np.inf, -np.inf
        self._last = 0
        self._first = True

    def told(self, events: Iterator[tuple[Path, DsjsonEvent]]) -> Iterator[DsjsonEvent]:
        """The events, each looked at on the way."""
        for path, event in events:
            self._check_kind(path, event)
            self._check_items(path, event)
            if event.time is not None:
                if event.time < self._last:
                    rule = "Timestamp must not fall from event to event; sort the log"
                    raise DataError(path, rule=rule, line=event.line)
                self._last = event.time
            self.positions = max(self.positions, (event.position or 0) + 1, *event.places, 1)
            costs = [cost for _, cost, _ in event.outcomes]
            self.low, self.high = min(self.low, -max(costs)), max(self.high, -min(costs))
            yield event

    def items(self) -> tuple[str, ...]:
        """Names of all items, in order."""
        if self.how == "name":
            return tuple(sorted(self.names))
        numbers = sorted(self.rows) if self.how == "row" else range(1, self.most + 1)
        return tuple(str(number) for number in numbers)

    def _check_kind(self, path: Path, event: DsjsonEvent) -> None:
        kind = (event.is_ccb, event.time is not None, event.unit is not None, _how(event))
        if self._first:
            self.is_ccb, self.has_times, self.has_units, self.how = kind
            self._first = False
        words = ("outcomes of slots", "a Timestamp", "a unit", "items of one kind")
        first = (self.is_ccb, self.has_times, self.has_units, self.how)
        for word, one, other in zip(words, first, kind, strict=True):
            if one != other:
                rule = f"all events of a log must have {word}, or none"
                raise DataError(path, rule=rule, line=event.line)

    def _check_items(self, path: Path, event: DsjsonEvent) -> None:
        self.most = max(self.most, len(event.actions))
        self.names.update(event.names)
        self.rows.update(event.items)
        if self.how == "row" and len(set(event.items)) < len(event.items):
            raise DataError(path, rule="actions of an event must be distinct", line=event.line)


def _how(event: DsjsonEvent) -> str:
    if event.names:
        return "name"
    return "row" if min(event.items) != PAD else "place"


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads a log into batches."""

    files: tuple[Path, ...]
    shape: DsjsonShape
    items: tuple[str, ...]
    has_times: bool
    has_units: bool

    def batches(self) -> Iterator[ActionBatch]:
        """The log."""
        numbers = {name: k for k, name in enumerate(self.items)}
        width = self.shape.actions * max(len(self.shape.names), 1)
        rows = max(min(_CELLS // width, _MOST_ROWS), 1)
        events, first = (event for _, event in _events(self.files)), 0
        while part := list(islice(events, rows)):
            batch = self._batch(part, numbers, first)
            first += len(batch)
            yield batch

    def _batch(self, part: list[DsjsonEvent], numbers: dict[str, int], first: int) -> ActionBatch:
        arrays = events_as_arrays(part, self.shape)
        offered = self._offered(part, arrays, numbers)
        shown = arrays.chosen != PAD
        place = np.where(shown, arrays.chosen, 0)
        actions = np.where(shown, np.take_along_axis(offered, place, axis=1), PAD)
        rows = np.arange(first, first + len(part))
        batch = ActionBatch(
            first=first,
            unit=arrays.units if self.has_units else rows.astype(np.uint64),
            time=arrays.times if self.has_times else rows,
            actions=actions,
            # Adding zero makes no difference, but to the sign of a zero.
            rewards=-arrays.costs + 0.0,
            logged=arrays.probabilities,
            positions=np.tile(np.arange(self.shape.slots, dtype=np.int64), (len(part), 1)),
            context=arrays.shared.astype(np.float64) if self.shape.shared_names else None,
            offered=np.where(arrays.possible, offered, PAD),
            features=arrays.features if self.shape.names else None,
        )
        return _at_positions(batch, arrays)

    def _offered(
        self, part: list[DsjsonEvent], arrays: DsjsonEvents, numbers: dict[str, int]
    ) -> Int64Array:
        K = self.shape.actions
        offered = np.full((len(part), K), PAD, dtype=np.int64)
        for row, event in enumerate(part):
            count = len(event.actions)
            if event.names:
                offered[row, :count] = [numbers[name] for name in event.names]
            elif arrays.items[row, 0] != PAD:
                offered[row, :count] = [numbers[str(item)] for item in event.items]
            else:
                offered[row, :count] = np.arange(count)
        return offered


def _at_positions(batch: ActionBatch, arrays: DsjsonEvents) -> ActionBatch:
    """Slots at the positions that our exports note: rows of one slot, or slots of a page."""
    if (arrays.positions == PAD).all():
        return batch
    if batch.slots == 1:
        return replace(batch, positions=np.maximum(arrays.positions, 0).astype(np.int64))
    actions, rewards, logged = (
        _moved(values, arrays, empty=empty)
        for values, empty in ((batch.actions, PAD), (batch.rewards, 0.0), (batch.logged, 1.0))
    )
    return replace(batch, actions=actions.astype(np.int64), rewards=rewards, logged=logged)


def _moved(values: AnyArray, arrays: DsjsonEvents, *, empty: float) -> FloatArray:
    moved = np.full(values.shape, empty)
    row, slot = np.nonzero(arrays.chosen != PAD)
    to = arrays.positions[row, slot]
    moved[row, np.where(to == PAD, slot, to)] = values[row, slot]
    return moved
