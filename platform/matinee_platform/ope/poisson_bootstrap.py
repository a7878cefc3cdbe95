"""Replicates of every estimator in one pass over a log of any length: the Poisson bootstrap.

Each replicate counts every unit, with all its rows, a Poisson(1) number of times (Hanley and
MacGibbon 2006; Chamandy et al. 2012), which is the bootstrap over units as their number grows. The
log is read in order and once; memory depends on replicates and slots, never on rows or units.
"""

import numpy as np

from matinee_platform.ope.column_moments import grid_reference
from matinee_platform.ope.estimators import estimator_names, slot_values
from matinee_platform.ope.poisson_counts import count_table, fill_counts
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.row_blocks import RowBlocks
from matinee_platform.ope.row_columns import (
    BLOCK,
    COLUMNS,
    FORMS,
    WIDTH,
    batch_arrays,
    fill_columns,
)
from matinee_platform.ope.slot_sums import EstimatorPlan
from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.config import check_whole
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.philox import stream_key

_ROWS = 256


class PoissonBootstrap:
    """Sums of every replicate, fed part by part.

    The same rows in the same order give the same bits whatever the parts. Standard errors of
    replicates count rows of a unit as one draw.

    Args:
        plan: which weights and grid; points of the grid are replicated for the page alone.
        replicates: how many, a multiple of 4, at least 4.
        seed: of the draws.

    Raises:
        ConfigError: if the number of replicates breaks its rule.
    """

    def __init__(self, plan: EstimatorPlan, *, replicates: int = 400, seed: int = 0) -> None:
        check_whole("replicates", replicates, low=4)
        if replicates % 4:
            raise ConfigError(f"replicates must be a multiple of 4, got {replicates}")
        self.plan = plan
        self._key = stream_key(seed, "poisson bootstrap")
        self._table = count_table()
        self._words = np.zeros(replicates // 4, dtype=np.uint64)
        self._counts = np.zeros((_ROWS, replicates))
        self._blocks = RowBlocks()
        self._sums = np.zeros((0, replicates))
        self._slots, self._model, self._n = 0, False, 0

    def add(self, batch: LoggedBatch) -> None:
        """Add a part of the log.

        Raises:
            ContextError: if its arrays do not fit together or to the parts before it.
        """
        if not len(batch):
            return
        arrays = batch_arrays(batch, self.plan.weights)
        slots, model = arrays[0].shape[1], arrays[3].shape[0] > 0
        if not self._n:
            self._start(slots, model=model)
        if (slots, model) != (self._slots, self._model):
            raise ContextError(
                f"parts of a log must agree in slots and model, got {slots}, {model} after "
                f"{self._slots}, {self._model}"
            )
        self._n += len(batch)
        unit = np.ascontiguousarray(batch.unit, dtype=np.uint64)
        for part in self._blocks.whole((unit, *arrays)):
            self._add(part, self._sums)

    def draws(
        self, name: str, *, slot: int | None = None, value: float | None = None
    ) -> FloatArray:
        """Replicates of one estimate, `float64 [B]`; NaN where all weights of a replicate are 0.

        Args:
            name: of the estimator.
            slot: from 0; None for the page.
            value: of the hyper-parameter, for points of the grid.

        Raises:
            ConfigError: if the plan has no such estimate.
            ContextError: if nothing was added.
        """
        sums = self._finished()
        if value is not None:
            return self._point(sums, name, value, slot)
        if name not in estimator_names(self.plan.weights, model=self._model):
            raise ConfigError(f"{name!r} is no estimator of this plan and log")
        if slot is not None:
            check_whole("slot", slot, low=0, high=self._slots - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = np.zeros((4, self._slots, sums.shape[1]))
            columns = sums[1 : 1 + self._columns * self._slots] / sums[0]
            means[: self._columns] = columns.reshape(self._columns, self._slots, -1)
            values = slot_values(name, means, weights=self.plan.weights)
        draws: FloatArray = values.sum(axis=0) if slot is None else values[slot]
        return draws

    def _start(self, slots: int, *, model: bool) -> None:
        self._slots, self._model = slots, model
        self._columns = 4 if model else 2
        rows = 1 + self._columns * slots + len(self.plan.grid)
        self._sums = np.zeros((rows, self._counts.shape[1]))
        self._z = np.zeros((COLUMNS, slots, WIDTH))
        self._rows = np.zeros((rows, BLOCK))

    def _add(self, part: tuple[AnyArray, ...], sums: FloatArray) -> None:
        unit, rewards, logged, target, predicted, expected = part
        form, rows = FORMS[self.plan.weights], self._rows
        for first in range(0, unit.size, BLOCK):
            count = min(BLOCK, unit.size - first)
            fill_columns(rewards, logged, target, predicted, expected, form, first, count, self._z)
            self._z[:, :, count:] = 0.0
            z = self._z[:, :, :BLOCK]
            rows[0] = 1.0
            rows[1 : 1 + self._columns * self._slots] = z[: self._columns].reshape(-1, BLOCK)
            for h, point in enumerate(self.plan.grid):
                c, _ = grid_reference(z, point.form, model=point.needs_model, value=point.value)
                rows[len(rows) - len(self.plan.grid) + h] = c.sum(axis=0)
            for start in range(0, count, _ROWS):
                fill_counts(unit, first + start, self._key, self._table, self._words, self._counts)
                # Products of one shape always, so that their order of summation never changes.
                sums += rows[:, start : start + _ROWS] @ self._counts

    def _point(self, sums: FloatArray, name: str, value: float, slot: int | None) -> FloatArray:
        places = [h for h, p in enumerate(self.plan.grid) if (p.name, p.value) == (name, value)]
        if not places or (slot is not None and self._slots > 1):
            raise ConfigError(f"{name!r} with {value} is not replicated by this plan")
        with np.errstate(divide="ignore", invalid="ignore"):
            draws: FloatArray = sums[len(sums) - len(self.plan.grid) + places[0]] / sums[0]
        return draws

    def _finished(self) -> FloatArray:
        if not self._n:
            raise ContextError("a log must have at least one row, got none")
        sums = self._sums.copy()
        if self._blocks.held:
            self._add(self._blocks.rest(), sums)
        return sums
