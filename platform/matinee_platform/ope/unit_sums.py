"""Sums of the columns by unit, for standard errors that take a unit as one draw.

The variance of `g' mean` over `m` independent groups is `m / (m - 1) sum_k (g' (S_k - n_k mean))^2
/ n^2` (Liang and Zeger 1986; for functions of means by their gradient `g`), where `S_k` sums the
rows of group `k`. Groups are units, one set of sums each, or buckets of units by a hash: any number
of units in fixed memory, at a relative error of about `1 / sqrt(2 buckets)` of the standard error.
"""

import math
from dataclasses import dataclass

import numpy as np

from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.row_columns import (
    BLOCK,
    COLUMNS,
    FORMS,
    WIDTH,
    E,
    U,
    X,
    Y,
    batch_arrays,
    fill_columns,
)
from matinee_platform.ope.slot_sums import EstimatorPlan
from matinee_platform.ope.weight_grid import factor, grid_codes
from matinee_policies.arrays import FloatArray, Int64Array, UInt64Array
from matinee_policies.compiled import kernel
from matinee_policies.config import check_whole
from matinee_policies.errors import ContextError

BUCKETS = 1024

_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class UnitTotals:
    """Finished sums of `m` groups.

    Attributes:
        plan: what was added up.
        n: rows.
        slots: number of slots.
        rows: of each group, `float64 [m]`.
        columns: of each group: u, x, e, y by slot, `float64 [m, 4 L]`, then the terms of each point
            of the grid summed over slots, `float64 [m, H]`.
    """

    plan: EstimatorPlan
    n: int
    slots: int
    rows: FloatArray
    columns: FloatArray

    def error(self, slopes: FloatArray) -> float | None:
        """Standard error of what changes with the means by `slopes`, `float64 [4, L]`."""
        return self._error(slopes.ravel(), self.columns[:, : 4 * self.slots])

    def point_error(self, h: int) -> float | None:
        """Standard error of one point of the grid on the page."""
        return self._error(np.ones(1), self.columns[:, 4 * self.slots + h :][:, :1])

    def influence(self, slopes: FloatArray) -> FloatArray:
        """What each group adds to it, `float64 [m]`; those of two values on one log subtract."""
        return self._influence(slopes.ravel(), self.columns[:, : 4 * self.slots])

    def point_influence(self, h: int) -> FloatArray:
        """As `influence`, of one point of the grid on the page."""
        return self._influence(np.ones(1), self.columns[:, 4 * self.slots + h :][:, :1])

    def _error(self, g: FloatArray, columns: FloatArray) -> float | None:
        return influence_error(self._influence(g, columns)) if np.isfinite(g).all() else None

    def _influence(self, g: FloatArray, columns: FloatArray) -> FloatArray:
        used = np.flatnonzero(g)
        with np.errstate(all="ignore"):
            share = columns[:, used] - np.outer(self.rows, columns[:, used].sum(axis=0) / self.n)
            influence: FloatArray = share @ g[used] / self.n
        return influence


def influence_error(influence: FloatArray) -> float | None:
    """Standard error from what each group adds, `float64 [m]`; None below two groups."""
    groups = influence.size
    if groups < 2:
        return None
    # Of weights whose squares overflow the error has no bound.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = float(influence @ influence)
    return math.sqrt(groups / (groups - 1) * squares)


class UnitSums:
    """Sums by unit or by buckets of units, fed part by part.

    The same rows in the same order give the same bits whatever the parts.

    Args:
        plan: as of the `SlotSums` that go with it.
        buckets: number of groups that units are hashed into, at least 2, `BUCKETS` unless told;
            None for one group per unit: exact, and memory grows with units.

    Raises:
        ConfigError: on fewer than 2 buckets.
    """

    def __init__(self, plan: EstimatorPlan, *, buckets: int | None = BUCKETS) -> None:
        if buckets is not None:
            check_whole("buckets of units", buckets, low=2)
        self.plan = plan
        self._buckets = buckets
        self._places: dict[int, int] = {}
        self._sums = np.zeros((0, 0))
        self._n, self._slots = 0, 0
        self._z = np.zeros((0, 0, 0))

    def add(self, batch: LoggedBatch) -> None:
        """Add a part of the log.

        Raises:
            ContextError: if its arrays do not fit together or to the parts before it.
        """
        if not len(batch):
            return
        arrays = batch_arrays(batch, self.plan.weights)
        slots = arrays[0].shape[1]
        if not self._n:
            self._slots, self._z = slots, np.zeros((COLUMNS, slots, WIDTH))
            self._sums = np.zeros((self._buckets or 0, 1 + 4 * slots + len(self.plan.grid)))
        if slots != self._slots:
            raise ContextError(f"parts of a log must agree in slots, got {slots}, {self._slots}")
        places = self._groups(np.ascontiguousarray(batch.unit, dtype=np.uint64))
        add_groups(
            *arrays,
            FORMS[self.plan.weights],
            places,
            self._z,
            *grid_codes(self.plan.grid),
            self._sums,
        )
        self._n += len(batch)

    def totals(self) -> UnitTotals:
        """Finished sums of all groups that have rows; more rows may follow.

        Raises:
            ContextError: if nothing was added.
        """
        if not self._n:
            raise ContextError("a log must have at least one row, got none")
        filled = self._sums[self._sums[:, 0] > 0]
        return UnitTotals(self.plan, self._n, self._slots, filled[:, 0], filled[:, 1:])

    def _groups(self, unit: UInt64Array) -> Int64Array:
        if self._buckets is not None:
            return bucket_of(unit, self._buckets)
        distinct, inverse = np.unique(unit, return_inverse=True)
        places = self._places
        of = [places.setdefault(key, len(places)) for key in distinct.tolist()]
        if len(places) > self._sums.shape[0]:
            more = max(len(places), 2 * self._sums.shape[0]) - self._sums.shape[0]
            self._sums = np.concatenate([self._sums, np.zeros((more, self._sums.shape[1]))])
        return np.array(of, dtype=np.int64)[inverse]


def bucket_of(unit: UInt64Array, buckets: int) -> Int64Array:
    """Bucket of each pseudonym, in `[0, buckets)`, `int64 [n]`: splitmix64 (Steele et al. 2014).

    Example:
        >>> bucket_of(np.arange(4, dtype=np.uint64), 8).tolist() == bucket_of(
        ...     np.arange(4, dtype=np.uint64), 8
        ... ).tolist()
        True
    """
    with np.errstate(over="ignore"):
        z = unit + _MIX
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z % np.uint64(buckets)).astype(np.int64)


@kernel
def add_groups(
    rewards: FloatArray,
    logged: FloatArray,
    target: FloatArray,
    predicted: FloatArray,
    expected: FloatArray,
    form: int,
    places: Int64Array,
    z: FloatArray,
    grid_forms: Int64Array,
    grid_models: Int64Array,
    grid_values: FloatArray,
    sums: FloatArray,
) -> None:
    """Add each row to the sums of its group, in the order of the log.

    Args:
        rewards: `float64 [n, L]`, as the four that follow, see `fill_columns`.
        logged: of the policy that chose.
        target: of the evaluated policy.
        predicted: without rows if there is no model.
        expected: likewise.
        form: of the weights.
        places: group of each row, `[n]`.
        z: room, `[COLUMNS, L, WIDTH]`.
        grid_forms: `[H]`, see `grid_codes`.
        grid_models: `[H]`.
        grid_values: `[H]`.
        sums: `[m, 1 + 4 L + H]`: rows, columns u, x, e, y by slot, terms of pages.
    """
    slots = rewards.shape[1]
    for first in range(0, rewards.shape[0], BLOCK):
        count = min(BLOCK, rewards.shape[0] - first)
        fill_columns(rewards, logged, target, predicted, expected, form, first, count, z)
        for i in range(count):
            group = places[first + i]
            sums[group, 0] += 1.0
            for column in range(4):
                for slot in range(slots):
                    sums[group, 1 + column * slots + slot] += z[column, slot, i]
            for h in range(grid_forms.shape[0]):
                c = 0.0
                for slot in range(slots):
                    f = factor(grid_forms[h], z[U, slot, i], grid_values[h])
                    if grid_models[h]:
                        c += z[E, slot, i] + f * z[Y, slot, i]
                    else:
                        c += f * z[X, slot, i]
                sums[group, 1 + 4 * slots + h] += c


def groups_reference(z: FloatArray, places: Int64Array, *, groups: int) -> FloatArray:
    """The plain twin, without a grid: `float64 [m, 1 + 4 L]` from columns `[COLUMNS, L, n]`."""
    rows = np.concatenate([np.ones((1, z.shape[2])), z[:4].reshape(-1, z.shape[2])])
    sums = np.zeros((groups, rows.shape[0]))
    np.add.at(sums, places, rows.T)
    return sums
