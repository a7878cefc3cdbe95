"""Sums of one ridge regression per item, in tables that grow with the items shown.

For item a with rows x_n (features of its impressions), rewards r_n, and the part y_n of x_n that
the item's own regression reads,

    cross_a = sum y_n x_n'        moments_a = sum y_n r_n

An item's rows are added in the order of the log, so a table does not depend on how the rows were
batched. Learners that share the work split it by item, not by unit.
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import BoolArray, Float32Array, FloatArray, IndexArray, Int64Array
from matinee_policies.compiled import kernel
from matinee_policies.errors import ContextError, SnapshotError
from matinee_policies.feature_checks import check_dimension, check_sums
from matinee_policies.records import OutcomeBatch
from matinee_policies.snapshot import Snapshot, snapshot_array


@dataclass(frozen=True, slots=True)
class ItemIndex:
    """Where the numbers of each item stand in a table.

    Attributes:
        ids: catalogue rows, ascending, `int32 [n]`.
        slots: row of the table of each, a permutation of 0..n-1, `int32 [n]`.
    """

    ids: IndexArray
    slots: IndexArray

    @classmethod
    def of(cls, ids: IndexArray) -> "ItemIndex":
        """Items that stand in the order of their catalogue rows."""
        return cls(ids, np.arange(len(ids), dtype=np.int32))

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, items: IndexArray) -> IndexArray:
        """Row of the table of each item, -1 for an item that has none; same shape.

        Example:
            >>> index = ItemIndex.of(np.array([3, 8], dtype=np.int32))
            >>> index.find(np.array([8, 5, -1], dtype=np.int32))
            array([ 1, -1, -1], dtype=int32)
        """
        if not len(self.ids):
            return np.full(items.shape, -1, dtype=np.int32)
        places = np.minimum(np.searchsorted(self.ids, items), len(self.ids) - 1)
        return np.where(self.ids[places] == items, self.slots[places], np.int32(-1))

    def extended(self, items: IndexArray) -> "ItemIndex":
        """With items that it lacks at the end of the table, in the order given; all distinct."""
        new = items[self.find(items) < 0]
        ids = np.concatenate([self.ids, new])
        slots = np.concatenate([self.slots, np.arange(len(self), len(ids), dtype=np.int32)])
        order = np.argsort(ids, kind="stable")
        return ItemIndex(ids[order], slots[order])


@dataclass(frozen=True, slots=True)
class ChangedItems:
    """New sums of the items that a batch touches, not yet in the table.

    Attributes:
        index: of the table with its new items.
        slots: where the sums belong, `int32 [t]`.
        cross: `float64 [t, p, d]`.
        moments: of first components and of later ones, `float64 [t, 2, p]`.
        rows: impressions that entered `cross`.
    """

    index: ItemIndex
    slots: IndexArray
    cross: FloatArray
    moments: FloatArray
    rows: int


class ItemSums:
    """A growing table of sums.

    Args:
        dimension: of the features, `d`.
        columns: features that an item's own regression reads, `int64 [p]`.

    Attributes:
        index: where items stand.
        cross: `float64 [at least n, p, d]`.
        moments: of first components, and of later ones, kept apart so that the order in which
            the two arrive leaves no trace; `float64 [at least n, 2, p]`.
    """

    def __init__(self, dimension: int, columns: Int64Array) -> None:
        self.columns = columns
        self.index = ItemIndex.of(np.zeros(0, dtype=np.int32))
        self.cross = np.zeros((0, len(columns), dimension))
        self.moments = np.zeros((0, 2, len(columns)))

    def changed(self, outcomes: OutcomeBatch) -> ChangedItems:
        """Add one matured component of many slates; the table itself stays as it is.

        The first component of a slate adds its features and its rewards, a later one its rewards
        only; an item whose later component comes first is taken up, too.

        Raises:
            ContextError: if there are no `items`, or features of a shown slot are not finite or
                have another dimension.
        """
        check_dimension(outcomes.features, self.cross.shape[2])
        if outcomes.items is None:
            raise ContextError("items must be given to learn a model per item, got None")
        touched = np.unique(outcomes.items[outcomes.shown])
        index = self.index.extended(touched)
        slots = index.find(touched)
        known = slots < len(self.index)
        cross = np.zeros((len(touched), *self.cross.shape[1:]))
        moments = np.zeros((len(touched), *self.moments.shape[1:]))
        cross[known] = self.cross[slots[known]]
        moments[known] = self.moments[slots[known]]
        rows = _add_item_rows(
            np.require(outcomes.features, requirements=["C", "W"]),
            np.require(outcomes.rewards, requirements=["C", "W"]),
            np.require(outcomes.shown, requirements=["C", "W"]),
            np.searchsorted(touched, outcomes.items).astype(np.int32),
            self.columns,
            outcomes.first,
            cross,
            moments,
        )
        check_sums(outcomes, cross, moments)
        return ChangedItems(index, slots, cross, moments, rows)

    def take(self, changed: ChangedItems) -> None:
        """Put changed sums into the table."""
        self.index = changed.index
        self.cross = with_rows(self.cross, changed.slots, changed.cross, size=len(self.index))
        self.moments = with_rows(self.moments, changed.slots, changed.moments, size=len(self.index))

    def arrays(self) -> dict[str, FloatArray | IndexArray]:
        """The state by name, items ascending."""
        return {
            "items": self.index.ids,
            "item_cross": self.cross[self.index.slots],
            "item_moments": self.moments[self.index.slots],
        }

    def restored(self, snapshot: Snapshot) -> ChangedItems:
        """All sums of a snapshot, for an empty table.

        Raises:
            SnapshotError: if an array is missing or of another shape or type.
        """
        ids = snapshot.arrays.get("items")
        rising = ids is not None and ids.dtype == np.int32 and ids.ndim == 1
        if ids is None or not rising or (ids < 0).any() or (np.diff(ids) <= 0).any():
            raise SnapshotError("snapshot array 'items' must be ascending int32 rows of items")
        index = ItemIndex.of(ids.copy())
        n = len(index)
        return ChangedItems(
            index,
            index.slots,
            snapshot_array(snapshot, "item_cross", shape=(n, *self.cross.shape[1:])),
            snapshot_array(snapshot, "item_moments", shape=(n, *self.moments.shape[1:])),
            0,
        )


def with_rows(table: FloatArray, slots: IndexArray, rows: FloatArray, *, size: int) -> FloatArray:
    """A table with some rows replaced: the same array, or a larger copy if it is too short.

    Args:
        table: `float64 [capacity, ...]`.
        slots: rows to replace, `int32 [t]`.
        rows: their new content, `float64 [t, ...]`.
        size: rows that the table must hold.
    """
    if len(table) < size:
        # Doubling keeps the cost of a growing table linear.
        larger = np.zeros((max(size, 2 * len(table)), *table.shape[1:]))
        larger[: len(table)] = table
        table = larger
    table[slots] = rows
    return table


def item_sums_reference(
    outcomes: OutcomeBatch, item: int, columns: Int64Array
) -> tuple[FloatArray, FloatArray]:
    """Sums of one item over one batch, `[p, d]` and `[p]`: the twin of the compiled loop."""
    mine = outcomes.shown & (np.asarray(outcomes.items) == item)
    X = outcomes.features[mine].astype(np.float64)
    Y = X[:, columns]
    return outcomes.first * (Y.T @ X), Y.T @ outcomes.rewards[mine]


@kernel
def _add_item_rows(
    features: Float32Array,
    rewards: FloatArray,
    shown: BoolArray,
    places: IndexArray,
    columns: Int64Array,
    first: bool,
    cross: FloatArray,
    moments: FloatArray,
) -> int:
    """Add rows to the sums of their items, in order; gives the number that entered `cross`."""
    d = features.shape[2]
    part = 0 if first else 1
    x = np.empty(d)
    added = 0
    for n in range(features.shape[0]):
        for slot in range(features.shape[1]):
            if not shown[n, slot]:
                continue
            place = places[n, slot]
            for j in range(d):
                x[j] = features[n, slot, j]
            if first:
                added += 1
                for i in range(columns.shape[0]):
                    y = x[columns[i]]
                    for j in range(d):
                        cross[place, i, j] += y * x[j]
            for i in range(columns.shape[0]):
                moments[place, part, i] += x[columns[i]] * rewards[n, slot]
    return added
