"""Additive sums of a log, from which every estimator and its standard error follow."""

from dataclasses import dataclass, replace

import numpy as np

from matinee_platform.ope.action_rows import add_action_rows
from matinee_platform.ope.column_moments import EXTREMES, GRID_SUMS, SUMS, add_rows
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.row_blocks import RowBlocks
from matinee_platform.ope.row_columns import (
    BLOCK,
    COLUMNS,
    FORMS,
    WIDTH,
    BatchArrays,
    Weights,
    batch_arrays,
)
from matinee_platform.ope.weight_grid import GridPoint, grid_codes
from matinee_policies.arrays import AnyArray, FloatArray, Int64Array
from matinee_policies.errors import ConfigError, ContextError

_LANES_ROOM = 18 * 64


@dataclass(frozen=True, slots=True)
class EstimatorPlan:
    """What one pass over a log shall add up.

    Attributes:
        weights: of a slot, see `row_columns`.
        grid: estimators with a hyper-parameter, each point on its own.
        pages: whether standard errors of the sums over slots are wanted (and of `sndr` by slot with
            `cascade` weights); needs products of all pairs of slots. Points of the grid have theirs
            in any case.

    Raises:
        ConfigError: on unknown weights.
    """

    weights: Weights = "slot"
    grid: tuple[GridPoint, ...] = ()
    pages: bool = True

    def __post_init__(self) -> None:
        if self.weights not in FORMS:
            raise ConfigError(f"weights must be one of {', '.join(FORMS)}, got {self.weights!r}")


@dataclass(frozen=True, slots=True)
class Totals:
    """Finished sums over `n` rows of `L` slots.

    Attributes:
        plan: what was added up.
        n: rows.
        model: whether the log carried predictions.
        sums: by name of `SUMS`, each `float64 [L]`.
        extremes: by name of `EXTREMES`, each `float64 [L]`.
        pairs: products of the columns u, x, e, y (each of `L` slots), `float64 [4 L, 4 L]`,
            symmetric; None without pages, and of a single slot.
        grid: by name of `GRID_SUMS`, each `float64 [H, L]`.
        grid_largest: largest tamed weight, `float64 [H, L]`.
        grid_pages: sums of each row's terms over slots, and of their squares, `float64 [H, 2]`.
    """

    plan: EstimatorPlan
    n: int
    model: bool
    sums: dict[str, FloatArray]
    extremes: dict[str, FloatArray]
    pairs: FloatArray | None
    grid: dict[str, FloatArray]
    grid_largest: FloatArray
    grid_pages: FloatArray

    @property
    def slots(self) -> int:
        """Number of slots."""
        return int(self.sums["u"].size)

    def means(self) -> FloatArray:
        """Means of the columns u, x, e, y, `float64 [4, L]`."""
        return np.stack([self.sums[name] for name in "uxey"]) / self.n


class SlotSums:
    """Sums of one pass over a log, fed part by part; memory does not grow with rows.

    The same rows in the same order give the same bits whatever the parts. Merged sums, and other
    orders, agree with them to about 1e-13 of the sum of absolute values.

    Args:
        plan: what to add up.

    Example:
        >>> ones = np.ones((3, 2))
        >>> batch = LoggedBatch(
        ...     np.arange(3, dtype=np.uint64), np.arange(3), ones, ones / 4, ones / 2, 0 * ones
        ... )
        >>> sums = SlotSums(EstimatorPlan())
        >>> sums.add(batch)
        >>> sums.totals().sums["x"].tolist()
        [6.0, 6.0]
    """

    def __init__(self, plan: EstimatorPlan) -> None:
        self.plan = plan
        self._state: _State | None = None
        self._blocks = RowBlocks()

    def add(self, batch: LoggedBatch) -> None:
        """Add a part of the log.

        Raises:
            ContextError: if its arrays do not fit together or to the parts before it, a number is
                not finite, or a probability is out of its range. The sums are then of no more use.
        """
        self.add_arrays(batch_arrays(batch, self.plan.weights))

    def add_arrays(self, arrays: BatchArrays) -> None:
        """As `add`, of what `batch_arrays` gave."""
        slots, model = arrays[0].shape[1], arrays[3].shape[0] > 0
        if not arrays[0].shape[0]:
            return
        state = self._begun(slots=slots, model=model)
        for part in self._blocks.whole(arrays):
            state.add(part)
        state.check()

    @property
    def held(self) -> int:
        """Rows that wait for their block to fill."""
        return self._blocks.held

    def add_tables(
        self,
        actions: Int64Array,
        law: FloatArray,
        predictions: FloatArray,
        rewards: FloatArray,
        logged: FloatArray,
    ) -> int:
        """Add whole blocks of single actions while no row is held; see `action_sums.add_actions`.

        Returns:
            The first row with an action out of range, -1 if there is none.

        Raises:
            ContextError: as `add`.
        """
        state = self._begun(slots=1, model=predictions.shape[0] > 0)
        room = np.empty((3, BLOCK))
        form = FORMS[self.plan.weights]
        odd = add_action_rows(
            actions, law, predictions, rewards, logged, room, form, *state.arrays()
        )
        state.n += actions.size
        if odd < 0:
            state.check()
        return int(odd)

    def totals(self) -> Totals:
        """Finished sums; more rows may follow.

        Raises:
            ContextError: if nothing was added, or as `add`.
        """
        if self._state is None:
            raise ContextError("a log must have at least one row, got none")
        state = self._state.copy()
        if self._blocks.held:
            state.add(self._blocks.rest())
            state.check()
        return state.totals()

    def _begun(self, *, slots: int, model: bool) -> "_State":
        """The state, which the first part shapes."""
        if self._state is None:
            self._state = _State.empty(self.plan, slots=slots, model=model)
        if (slots, model) != (self._state.slots, self._state.model):
            raise ContextError(
                f"parts of a log must agree in slots and model, got {slots}, {model} after "
                f"{self._state.slots}, {self._state.model}"
            )
        return self._state

    def merge(self, other: "SlotSums") -> None:
        """Add the sums of another part of the log, summed by the same plan elsewhere.

        Raises:
            ContextError: if plans, slots or models differ.
        """
        if other.plan != self.plan:
            raise ContextError(f"plans must be equal to merge, got {other.plan} and {self.plan}")
        if other._state is None:
            return
        theirs = other._state.copy()
        if other._blocks.held:
            theirs.add(other._blocks.rest())
            theirs.check()
        if self._state is None:
            self._state = theirs
            return
        self._state.merge(theirs)


@dataclass(slots=True)
class _State:
    """Arrays that the kernel adds to, and its room to work in."""

    plan: EstimatorPlan
    model: bool
    n: int
    z: FloatArray
    lanes: FloatArray
    terms: FloatArray
    sums: FloatArray
    extremes: FloatArray
    pairs: FloatArray
    grid_sums: FloatArray
    grid_largest: FloatArray
    page_sums: FloatArray

    @classmethod
    def empty(cls, plan: EstimatorPlan, *, slots: int, model: bool) -> "_State":
        points = len(plan.grid)
        lacking = [point.name for point in plan.grid if point.needs_model and not model]
        if lacking:
            raise ContextError(f"{lacking[0]} needs predictions, got a log without")
        pairs = 4 * slots if plan.pages and slots > 1 else 0
        return cls(
            plan=plan,
            model=model,
            n=0,
            z=np.zeros((COLUMNS, slots, WIDTH)),
            lanes=np.zeros(_LANES_ROOM),
            terms=np.zeros((points, BLOCK)),
            sums=np.zeros((2, slots, len(SUMS))),
            extremes=np.tile([-np.inf, np.inf, -np.inf, np.inf], (slots, 1)),
            pairs=np.zeros((2, pairs, pairs)),
            grid_sums=np.zeros((2, points, slots, len(GRID_SUMS))),
            grid_largest=np.zeros((points, slots)),
            page_sums=np.zeros((2, points, 2)),
        )

    @property
    def slots(self) -> int:
        return int(self.sums.shape[1])

    def copy(self) -> "_State":
        return replace(
            self,
            z=np.zeros_like(self.z),
            sums=self.sums.copy(),
            extremes=self.extremes.copy(),
            pairs=self.pairs.copy(),
            grid_sums=self.grid_sums.copy(),
            grid_largest=self.grid_largest.copy(),
            page_sums=self.page_sums.copy(),
        )

    def add(self, part: tuple[AnyArray, ...]) -> None:
        rewards, logged, target, predicted, expected = part
        rows, form = rewards.shape[0], FORMS[self.plan.weights]
        add_rows(rewards, logged, target, predicted, expected, form, rows, *self.arrays())
        self.n += rows

    def arrays(self) -> tuple[AnyArray, ...]:
        """What kernels add to and work in, as `add_rows` takes it."""
        return (
            self.z,
            self.lanes,
            self.sums,
            self.extremes,
            self.pairs,
            *grid_codes(self.plan.grid),
            self.grid_sums,
            self.grid_largest,
            self.page_sums,
            self.terms,
        )

    def check(self) -> None:
        """Refuse what is no number or no probability; NaN and infinity end up in the sums.

        Products over slots may overflow on good logs; the estimates then say so.
        """
        single = self.plan.weights in ("slot", "marginal")
        if not np.isfinite(self.sums[0, :, : 5 if single else 0]).all() or not (
            np.isfinite(self.sums[0, :, SUMS.index("r")]).all()
        ):
            raise ContextError("rewards, probabilities and predictions must be finite numbers")
        low_u, (high_p, low_p) = self.extremes[:, 1], self.extremes[:, 2:].T
        if self.n and (low_p.min() <= 0.0 or high_p.max() > 1.0):
            worst = low_p.min() if low_p.min() <= 0.0 else high_p.max()
            raise ContextError(f"logged probabilities must lie in (0, 1], got {worst}")
        if self.n and low_u.min() < 0.0:
            raise ContextError(f"weights must be at least 0, got {low_u.min()}")

    def merge(self, other: "_State") -> None:
        if (other.slots, other.model) != (self.slots, self.model):
            raise ContextError(
                f"sums must agree in slots and model to merge, got {other.slots}, {other.model} "
                f"and {self.slots}, {self.model}"
            )
        for mine, theirs in (
            (self.sums, other.sums),
            (self.pairs, other.pairs),
            (self.grid_sums, other.grid_sums),
            (self.page_sums, other.page_sums),
        ):
            mine += theirs
        for column, better in enumerate((np.maximum, np.minimum, np.maximum, np.minimum)):
            self.extremes[:, column] = better(self.extremes[:, column], other.extremes[:, column])
        self.grid_largest = np.maximum(self.grid_largest, other.grid_largest)
        self.n += other.n

    def totals(self) -> Totals:
        sums, grid = self.sums.sum(axis=0), self.grid_sums.sum(axis=0)
        upper = self.pairs.sum(axis=0)
        return Totals(
            plan=self.plan,
            n=self.n,
            model=self.model,
            sums={name: sums[:, k] for k, name in enumerate(SUMS)},
            extremes={name: self.extremes[:, k] for k, name in enumerate(EXTREMES)},
            pairs=np.triu(upper) + np.triu(upper, 1).T if upper.size else None,
            grid={name: grid[:, :, k] for k, name in enumerate(GRID_SUMS)},
            grid_largest=self.grid_largest,
            grid_pages=self.page_sums.sum(axis=0),
        )
