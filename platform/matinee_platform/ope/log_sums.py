"""Everything that one pass over a log adds up, for all estimators, intervals and diagnostics."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from matinee_platform.ope.anytime import AnytimeSums
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.page_terms import PageTerms
from matinee_platform.ope.poisson_bootstrap import PoissonBootstrap
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.row_columns import Weights, batch_arrays, weights_reference
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_platform.ope.unit_sums import BUCKETS, UnitSums
from matinee_platform.ope.weight_grid import GridPoint
from matinee_platform.ope.weighted_sums import page_rows
from matinee_policies.arrays import BoolArray, FloatArray
from matinee_policies.errors import ContextError

LARGEST_WEIGHT = 1e100
"""Of a slot: squares and their sums stay within double precision."""


@dataclass(slots=True)
class FamilySums:
    """Sums under one kind of weights.

    Attributes:
        weights: of a slot.
        slots: sums by slot.
        units: sums by unit.
        bootstrap: replicates; None where they are not asked for.
        positives: pages with a reward above 0 at a weight above 0.
    """

    weights: Weights
    slots: SlotSums
    units: UnitSums
    bootstrap: PoissonBootstrap | None
    positives: int = 0

    @classmethod
    def empty(
        cls, weights: Weights, *, grid: tuple[GridPoint, ...], replicates: int, seed: int
    ) -> "FamilySums":
        """No rows; `replicates` of 0 for no bootstrap."""
        plan = EstimatorPlan(weights, grid)
        bootstrap = PoissonBootstrap(plan, replicates=replicates, seed=seed) if replicates else None
        return cls(weights, SlotSums(plan), UnitSums(plan, buckets=BUCKETS), bootstrap)

    def add(self, batch: LoggedBatch) -> None:
        """Add a part of the log."""
        self.slots.add(batch)
        self.units.add(batch)
        if self.bootstrap is not None:
            self.bootstrap.add(batch)
        rewards, _, target, _, _ = batch_arrays(batch, self.weights)
        possible: BoolArray = np.greater(target, 0)
        # A product is above 0 where all its factors are, however small it is.
        if self.weights == "slate":
            possible = np.broadcast_to(possible.all(axis=1, keepdims=True), target.shape)
        elif self.weights == "cascade":
            possible = np.logical_and.accumulate(possible, axis=1)
        self.positives += int((possible & (rewards > 0)).any(axis=1).sum())


@dataclass(slots=True)
class LogSums:
    """Sums of a log under one target.

    Attributes:
        families: by kind of weights.
        current: with weights of 1: the mean of the policy that logged.
        anytime: of weighted rewards; not of residuals, whose predictions know later rows.
        anytime_current: of rewards.
        pages: terms of whole pages as weighted rewards, see `page_terms`.
        unreachable: sum over rows by slot, `float64 [L]`; NaN where a row does not say.
        unreachable_page: sum over rows of the mass on slates with any such item.
        largest: largest weight that was possible, by slot, `float64 [L]`; infinity if unknown.
        rows: added so far.
    """

    families: dict[Weights, FamilySums]
    current: FamilySums
    anytime: AnytimeSums
    anytime_current: AnytimeSums
    pages: PageTerms
    unreachable: FloatArray
    unreachable_page: float
    largest: FloatArray
    rows: int = 0
    _limits: FloatArray = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def empty(
        cls,
        families: Sequence[Weights],
        *,
        grid: tuple[GridPoint, ...],
        slots: int,
        model: bool,
        rewards: RewardRange,
        largest: float,
        replicates: dict[Weights, int],
        seed: int,
    ) -> "LogSums":
        """No rows.

        Args:
            families: kinds of weights that are wanted.
            grid: points of the estimators with a hyper-parameter, of `slot` weights.
            slots: of a page.
            model: whether rows carry predictions.
            rewards: what a slot can earn.
            largest: known largest weight of a slot; infinity if the rows are to say.
            replicates: of the bootstrap, by kind of weights; 0 for none.
            seed: of the bootstrap; equal seeds draw equal units.
        """
        page = rewards.times(slots)
        return cls(
            families={
                weights: FamilySums.empty(
                    weights,
                    grid=grid if weights == "slot" else (),
                    replicates=replicates.get(weights, 0),
                    seed=seed,
                )
                for weights in families
            },
            current=FamilySums.empty(
                "slot", grid=(), replicates=max(replicates.values(), default=0), seed=seed
            ),
            anytime=AnytimeSums.none(largest=largest, rewards=page),
            anytime_current=AnytimeSums.none(largest=1.0, rewards=page),
            pages=PageTerms(rewards, slots=slots, cascade="cascade" in families, largest=largest),
            unreachable=np.zeros(slots),
            unreachable_page=0.0,
            largest=np.ones(slots),
            _limits=np.full(slots, largest),
        )

    def add(self, batch: LoggedBatch) -> None:
        """Add a part of the log.

        Raises:
            ContextError: if it breaks a rule, or a weight exceeds what is known to be the largest.
        """
        if not len(batch):
            return
        slots = self.largest.size
        if batch.rewards.shape[1:] != (slots,):
            raise ContextError(f"a log of {slots} slots must have them throughout")
        _check_weights(batch)
        # Products over the slots of long pages may overflow; what comes of them is refused.
        with np.errstate(over="ignore", invalid="ignore"):
            self._add(batch, slots)

    def _add(self, batch: LoggedBatch, slots: int) -> None:
        for family in self.families.values():
            family.add(batch)
        plain = replace(batch, target=batch.logged, predicted=None, expected=None)
        self.current.add(plain)
        self._add_anytime(batch)
        self.pages.add(batch)
        self.unreachable = self.unreachable + batch.unreachable.sum(axis=0)
        self.unreachable_page += float((1.0 - np.prod(1.0 - batch.unreachable, axis=1)).sum())
        possible = np.full(slots, np.inf)
        if batch.largest is not None:
            possible = batch.largest.max(axis=0)
        self.largest = np.minimum(np.maximum(self.largest, possible), self._limits)
        self.rows += len(batch)

    def _add_anytime(self, batch: LoggedBatch) -> None:
        weights, _ = weights_reference(batch.logged, batch.target, "slot")
        self.anytime = self.anytime.then(*page_rows(weights, batch.rewards))
        ones = np.ones_like(weights)
        self.anytime_current = self.anytime_current.then(*page_rows(ones, batch.rewards))


def _check_weights(batch: LoggedBatch) -> None:
    """Refuse weights whose squares leave double precision: nothing that they are part of holds."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        large = (batch.target > LARGEST_WEIGHT * batch.logged) & (batch.logged > 0.0)
    if large.any():
        p, q = batch.logged[large][0], batch.target[large][0]
        raise ContextError(
            f"weights must be at most {LARGEST_WEIGHT:.0e}: a logged probability of {p:.3g}, where "
            f"the policy has {q:.3g}, is too small to be weighed"
        )
