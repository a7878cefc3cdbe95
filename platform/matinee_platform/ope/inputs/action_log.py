"""Logs of actions that others wrote: arrays in a fixed form, and what is known of the whole.

The items of a log are numbered from 0 in the order of `ActionLog.items`, its positions likewise. A
row has `L` slots; its slot `l` stands at position `positions[row, l]` of the page, which is `l`
itself where a row is a page, and any one position where a row is a single action of a page that the
log took apart. Laws and reward models are by item and position.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias, get_args

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.records import PAD

Propensities: TypeAlias = Literal["logged", "uniform", "empirical", "logistic"]
"""How the probabilities of a log came: as logged, or estimated by the named estimator."""

PROPENSITIES: tuple[str, ...] = get_args(Propensities)

_BY_SLOT = ("actions", "rewards", "logged", "positions", "target", "unreachable")


@dataclass(frozen=True, slots=True)
class ActionBatch:
    """Part of a log: `n` rows of `L` slots.

    Attributes:
        first: number of its first row, counted over the whole log from 0.
        unit: pseudonyms, `uint64 [n]`; the row's own number where the log names no unit.
        time: UTC, milliseconds since 1970, not falling, `int64 [n]`; the row's number where the
            log has no time.
        actions: items shown, -1 at an empty slot, `int64 [n, L]`.
        rewards: finite, `float64 [n, L]`.
        logged: probability of the item shown, given those of the slots above, under the policy
            that chose it, in (0, 1]; 1 at an empty slot, `float64 [n, L]`.
        positions: of each slot, from 0, `int64 [n, L]`.
        context: of the row, finite, `float64 [n, d]`; None where there is none.
        offered: items that could be shown, distinct, -1 pads, `int64 [n, C]`; None where the log
            does not say.
        features: of the items offered, `float32 [n, C, f]`; None where there are none.
        target: probability of the item shown under an evaluated policy that is known by this
            column alone, in [0, 1], `float64 [n, L]`; None where the log has no such column.
        unreachable: mass of that policy on items that could not be shown, in [0, 1], NaN where
            unknown, `float64 [n, L]`; None with `target`.

    Raises:
        ContextError: if shapes do not fit together.
    """

    first: int
    unit: UInt64Array
    time: Int64Array
    actions: Int64Array
    rewards: FloatArray
    logged: FloatArray
    positions: Int64Array
    context: FloatArray | None = None
    offered: Int64Array | None = None
    features: Float32Array | None = None
    target: FloatArray | None = None
    unreachable: FloatArray | None = None

    def __post_init__(self) -> None:
        n = self.unit.size
        for name, array in self.arrays().items():
            shape = self.actions.shape if name in _BY_SLOT else (n, *array.shape[1:])
            if array.shape != shape or array.shape[:1] != (n,):
                raise ContextError(f"{name} must be {[n, *shape[1:]]}, got {list(array.shape)}")
        if self.actions.ndim != 2 or self.time.ndim != 1 or self.unit.ndim != 1:
            raise ContextError(f"actions must be [n, L], got {list(self.actions.shape)}")

    def __len__(self) -> int:
        return int(self.unit.size)

    @property
    def slots(self) -> int:
        """Slots of a row."""
        return int(self.actions.shape[1])

    @property
    def shown(self) -> BoolArray:
        """Slots that hold an item, `bool [n, L]`."""
        return np.not_equal(self.actions, PAD)

    def arrays(self) -> dict[str, AnyArray]:
        """The arrays that there are, by name."""
        given = {one.name: getattr(self, one.name) for one in fields(self)[1:]}
        return {name: array for name, array in given.items() if array is not None}

    def rows(self, start: int, stop: int) -> "ActionBatch":
        """Some of its rows, as views."""
        part = {name: array[start:stop] for name, array in self.arrays().items()}
        return ActionBatch(first=self.first + start, **part)


ActionStream: TypeAlias = Callable[[], Iterator[ActionBatch]]
"""A log that can be read from its start as often as needed, a bounded part at a time."""


@dataclass(frozen=True, slots=True)
class ActionLog:
    """A log whose every value has been checked, so that reading it cannot fail half-way.

    Attributes:
        stream: its rows in order.
        rows: how many there are, at least 1.
        items: names by number; all items that a law can speak of, shown or not.
        positions: how many there are; slots and laws count them from 0.
        slots: of a row.
        contexts: names of the columns of `ActionBatch.context`.
        features: names of the columns of `ActionBatch.features`.
        propensities: how the probabilities of the log came.
        distinct: whether no page shows an item twice, so that items above a slot cannot be shown.
        has_units: whether rows are of units that the log names; else each row counts as its own.
        has_times: whether rows have times.
        rewards: smallest and largest reward in the log.
        notes: what every output has to say of the log, a sentence each.

    Raises:
        ConfigError: if the propensities came in no known way.
        ContextError: if there is no row, item, position or slot.
    """

    stream: ActionStream = field(repr=False)
    rows: int
    items: tuple[str, ...]
    positions: int
    slots: int
    contexts: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    propensities: Propensities = "logged"
    distinct: bool = False
    has_units: bool = False
    has_times: bool = False
    rewards: tuple[float, float] = (0.0, 1.0)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.propensities not in PROPENSITIES:
            known = ", ".join(PROPENSITIES)
            raise ConfigError(f"propensities must be one of {known}, got {self.propensities!r}")
        counts = (self.rows, len(self.items), self.positions, self.slots)
        if min(counts) < 1:
            got = ", ".join(str(count) for count in counts)
            raise ContextError(f"a log must have rows, items, positions and slots, got {got}")

    @property
    def flags(self) -> tuple[str, ...]:
        """What every output says of the log: where its propensities came from, whose rows are."""
        estimated = (
            f"the log has no propensities: they are estimated ({self.propensities}), and values "
            "hold only as far as that estimate does"
        )
        alone = (
            "no units are named, so each row counts as one of its own: where several are of one "
            "user, intervals are too narrow"
        )
        first = () if self.propensities == "logged" else (estimated,)
        return (*first, *(() if self.has_units else (alone,)), *self.notes)


def parts_within(log: ActionLog, cells: int) -> Iterator[ActionBatch]:
    """The rows of a log in parts of at most so many cells of row, slot and item.

    Args:
        log: to read.
        cells: `rows * slots * items` of a part, for tables that must fit into memory; a part has
            one row at least.
    """
    most = max(cells // (log.slots * len(log.items)), 1)
    for batch in log.stream():
        for start in range(0, len(batch), most):
            yield batch.rows(start, min(start + most, len(batch)))


def shown_counts(log: ActionLog) -> FloatArray:
    """How often a log shows each item at each position, `float64 [items, positions]`; one pass."""
    counts = np.zeros((len(log.items), log.positions))
    for batch in log.stream():
        add_shown(counts, batch)
    return counts


def add_shown(counts: FloatArray, batch: ActionBatch) -> None:
    """Add what a part of a log shows to counts, `float64 [items, positions]`."""
    shown = batch.shown
    np.add.at(counts, (batch.actions[shown], batch.positions[shown]), 1.0)
