"""One ridge regression per item.

With the rows x_n and rewards r_n of item a, and the prior l2 I,

    A_a = l2 I + sum x_n x_n'      theta_a = A_a^-1 sum x_n r_n
    mean(x) = x' theta_a           width(x) = sqrt(x' A_a^-1 x)

Source: Li et al. 2010, "A contextual-bandit approach to personalized news article recommendation",
algorithm 1 (disjoint linear models); its arms are the items of the catalogue. An item never shown
has the prior: mean 0, width |x| / sqrt(l2).
"""

import functools
import math

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, FloatArray, IndexArray
from matinee_policies.compiled import kernel
from matinee_policies.feature_checks import check_dimension
from matinee_policies.item_solve import ItemSolutions, solve_items, whole_vectors
from matinee_policies.item_sums import ChangedItems, ItemSums, with_rows
from matinee_policies.lanes import lanes_of
from matinee_policies.learning import Change
from matinee_policies.quadratic_form import dot_lanes, fill_products
from matinee_policies.records import ContextBatch, OutcomeBatch
from matinee_policies.snapshot import Snapshot


class ItemRidge:
    """The state: sums and solutions of the items shown so far.

    Memory and snapshot grow with their number n: about 12 n d^2 bytes and 8 n d^2. A call to
    `learn` costs O(d^3) per item that it touches.

    Args:
        dimension: of the features, at least 1.
        l2: weight of the prior that all coefficients are 0, above 0.
    """

    def __init__(self, dimension: int, *, l2: float) -> None:
        self.l2 = l2
        self.rows = 0
        self.sums = ItemSums(dimension, np.arange(dimension))
        self._dimension = dimension
        self._theta = np.zeros((0, whole_vectors(dimension)))
        self._triangles = np.zeros((0, whole_vectors(dimension * (dimension + 1) // 2)))

    @property
    def theta(self) -> FloatArray:
        """Nothing is common to all items: zeros, `float64 [d]`."""
        return np.zeros(self._dimension)

    def item_theta(self, items: IndexArray) -> FloatArray:
        """Coefficients of some items, 0 for one never shown, `float64 [n, d]`."""
        return rows_or_zeros(self._theta, self.sums.index.find(items))[:, : self._dimension]

    def values(self, contexts: ContextBatch, *, alpha: float) -> FloatArray:
        """Mean plus `alpha` widths, `float64 [B, K]`."""
        mean, width = self.moments(contexts, widths=alpha != 0.0)
        return mean + alpha * width if alpha != 0.0 else mean

    def moments(
        self, contexts: ContextBatch, *, widths: bool = True
    ) -> tuple[FloatArray, FloatArray]:
        """Mean and width of each candidate, each `float64 [B, K]`; widths `[0, 0]` if not wanted.

        Raises:
            ContextError: if the features have another dimension.
        """
        check_dimension(contexts.features, self._dimension)
        mean = np.empty(contexts.candidates.shape)
        width = np.empty(contexts.candidates.shape if widths else (0, 0))
        _fill_item_moments(
            np.require(contexts.features, requirements=["C", "W"]),
            np.ascontiguousarray(self.sums.index.find(contexts.candidates)),
            self._theta,
            self._triangles,
            float(self.l2),
            mean,
            width,
        )
        return mean, width

    def prepared(self, outcomes: OutcomeBatch) -> Change:
        """Work out what one matured component changes.

        Raises:
            ContextError: if outcomes break a rule.
        """
        return self._change(self.sums.changed(outcomes), rows=self.rows)

    def learn(self, outcomes: OutcomeBatch) -> None:
        """Take in one matured component; unchanged if it breaks a rule (`ContextError`)."""
        self.prepared(outcomes).take()

    def arrays(self) -> dict[str, AnyArray]:
        """The state by name; solutions follow from the sums."""
        return dict(self.sums.arrays())

    def restore(self, snapshot: Snapshot, *, rows: int) -> None:
        """Take over the state of a snapshot that counts `rows`.

        Raises:
            SnapshotError: if an array is missing or of another shape or type.
            ContextError: if no rows give these sums.
        """
        self._change(self.sums.restored(snapshot), rows=rows).take()

    def _change(self, changed: ChangedItems, *, rows: int) -> Change:
        solved = solve_items(changed.cross, changed.moments, columns=self.sums.columns, l2=self.l2)
        after = rows + changed.rows
        return Change(after, functools.partial(self._take, changed, solved, after))

    def _take(self, changed: ChangedItems, solved: ItemSolutions, rows: int) -> None:
        self.sums.take(changed)
        self.rows = rows
        size = len(changed.index)
        self._theta = with_rows(self._theta, changed.slots, solved.theta, size=size)
        self._triangles = with_rows(self._triangles, changed.slots, solved.triangles, size=size)


def rows_or_zeros(table: FloatArray, slots: IndexArray) -> FloatArray:
    """Rows of a table, zeros where the slot is -1; copies."""
    rows = np.zeros((len(slots), *table.shape[1:]))
    rows[slots >= 0] = table[slots[slots >= 0]]
    return rows


def item_moments_reference(
    X: FloatArray, r: FloatArray, x: FloatArray, *, l2: float
) -> tuple[float, float]:
    """Mean and width of `x` for an item with rows `X [n, d]` and rewards `r [n]`: the twin."""
    A = l2 * np.eye(len(x)) + X.T @ X
    return float(x @ np.linalg.solve(A, X.T @ r)), float(np.sqrt(x @ np.linalg.solve(A, x)))


@kernel
def _fill_item_moments(
    features: Float32Array,
    slots: IndexArray,
    theta: FloatArray,
    triangles: FloatArray,
    l2: float,
    mean: FloatArray,
    width: FloatArray,
) -> None:
    """Mean and width of each candidate, one by one: each has a matrix of its own."""
    d, D, T = features.shape[2], theta.shape[1], triangles.shape[1]
    widths = width.shape[0] > 0
    x = np.zeros(D)
    products = np.zeros(T + lanes_of(x))
    for b in range(features.shape[0]):
        for k in range(features.shape[1]):
            slot = slots[b, k]
            for i in range(d):
                x[i] = features[b, k, i]
            if slot < 0:
                square = dot_lanes(x, 0, x, 0, D)
                # 0, but not a number if the features are not.
                mean[b, k] = 0.0 * square
                if widths:
                    width[b, k] = math.sqrt(square / l2)
                continue
            mean[b, k] = dot_lanes(theta, slot * D, x, 0, D)
            if widths:
                fill_products(x, d, products, 0)
                form = dot_lanes(triangles, slot * T, products, 0, T)
                width[b, k] = math.sqrt(max(form, 0.0))
