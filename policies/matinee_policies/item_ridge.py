"""One ridge regression per item.

With the rows x_n and rewards r_n of item a, and the prior l2 I,

    A_a = l2 I + sum x_n x_n'      theta_a = A_a^-1 sum x_n r_n
    mean(x) = x' theta_a           width(x) = sqrt(x' A_a^-1 x)

Source: Li et al. 2010, "A contextual-bandit approach to personalized news article recommendation",
algorithm 1 (disjoint linear models); its arms are the items of the catalogue. An item never shown
has the prior: mean 0, width |x| / sqrt(l2).
"""

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, FloatArray, IndexArray
from matinee_policies.compiled import kernel
from matinee_policies.errors import ContextError
from matinee_policies.item_solve import solve_items
from matinee_policies.item_sums import ChangedItems, ItemSums, with_rows
from matinee_policies.records import ContextBatch, OutcomeBatch
from matinee_policies.snapshot import Snapshot


class ItemRidge:
    """The state: sums and solutions of the items shown so far.

    Memory and snapshot grow with their number n: about 16 n d^2 bytes and half of that. A call to
    `learn` costs O(d^3) per item that it touches.

    Args:
        dimension: of the features, at least 1.
        l2: weight of the prior that all coefficients are 0, above 0.
    """

    def __init__(self, dimension: int, *, l2: float) -> None:
        self.l2 = l2
        self.rows = 0
        self.sums = ItemSums(dimension, np.arange(dimension))
        self._theta = np.zeros((0, dimension))
        self._inverse = np.zeros((0, dimension, dimension))

    @property
    def theta(self) -> FloatArray:
        """Nothing is common to all items: zeros, `float64 [d]`."""
        return np.zeros(self.sums.cross.shape[2])

    def item_theta(self, items: IndexArray) -> FloatArray:
        """Coefficients of some items, 0 for one never shown, `float64 [n, d]`."""
        return rows_or_zeros(self._theta, self.sums.index.find(items))

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
        check_dimension(contexts, self.sums.cross.shape[2])
        mean = np.empty(contexts.candidates.shape)
        width = np.empty(contexts.candidates.shape if widths else (0, 0))
        _fill_item_moments(
            np.require(contexts.features, requirements=["C", "W"]),
            np.ascontiguousarray(self.sums.index.find(contexts.candidates)),
            self._theta,
            self._inverse,
            float(self.l2),
            mean,
            width,
        )
        return mean, width

    def learn(self, outcomes: OutcomeBatch) -> None:
        """Take in one matured component.

        Raises:
            ContextError: if outcomes break a rule; the state is then unchanged.
        """
        changed = self.sums.changed(outcomes)
        self._take(changed)
        self.rows += changed.rows

    def arrays(self) -> dict[str, AnyArray]:
        """The state by name; solutions follow from the sums."""
        return dict(self.sums.arrays())

    def restore(self, snapshot: Snapshot, *, rows: int) -> None:
        """Take over the state of a snapshot that counts `rows`.

        Raises:
            SnapshotError: if an array is missing or of another shape or type.
        """
        self._take(self.sums.restored(snapshot))
        self.rows = rows

    def _take(self, changed: ChangedItems) -> None:
        solved = solve_items(changed.cross, changed.moments, columns=self.sums.columns, l2=self.l2)
        self.sums.take(changed)
        size = len(changed.index)
        self._theta = with_rows(self._theta, changed.slots, solved.theta, size=size)
        self._inverse = with_rows(self._inverse, changed.slots, solved.inverse, size=size)


def check_dimension(contexts: ContextBatch, dimension: int) -> None:
    """Refuse features of another dimension."""
    if contexts.features.shape[2] != dimension:
        raise ContextError(
            f"features must have dimension {dimension}, got {contexts.features.shape[2]}"
        )


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
def fold_sum(terms: FloatArray, count: int) -> float:
    """Sum of the first `count` >= 1 terms, halves added to each other; overwrites `terms`.

    Adding halves vectorises, which adding one by one does not, and its order is as fixed.
    """
    while count > 1:
        half = (count + 1) // 2
        for i in range(count - half):
            terms[i] += terms[half + i]
        count = half
    total: float = terms[0]
    return total


@kernel
def add_product(x: FloatArray, matrix: FloatArray, slot: int, y: FloatArray) -> None:
    """Add x' matrix[slot] to `y`, four rows at a time.

    Args:
        x: `float64 [at least p]`.
        matrix: `float64 [n, p, d]`.
        slot: which of the `n`.
        y: `float64 [d]`.
    """
    p, d = matrix.shape[1], matrix.shape[2]
    for i in range(0, p - 3, 4):
        a, b, c, e = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(d):
            y[j] += (a * matrix[slot, i, j] + b * matrix[slot, i + 1, j]) + (
                c * matrix[slot, i + 2, j] + e * matrix[slot, i + 3, j]
            )
    for i in range(p - p % 4, p):
        for j in range(d):
            y[j] += x[i] * matrix[slot, i, j]


@kernel
def _fill_item_moments(
    features: Float32Array,
    slots: IndexArray,
    theta: FloatArray,
    inverse: FloatArray,
    l2: float,
    mean: FloatArray,
    width: FloatArray,
) -> None:
    """Mean and width of each candidate, one by one: each has a matrix of its own."""
    d = features.shape[2]
    widths = width.shape[0] > 0
    x = np.empty(d)
    y = np.empty(d)
    for b in range(features.shape[0]):
        for k in range(features.shape[1]):
            slot = slots[b, k]
            for i in range(d):
                x[i] = features[b, k, i]
            if slot < 0:
                mean[b, k] = 0.0
                if widths:
                    for i in range(d):
                        y[i] = x[i] * x[i]
                    width[b, k] = np.sqrt(fold_sum(y, d) / l2)
                continue
            for i in range(d):
                y[i] = theta[slot, i] * x[i]
            mean[b, k] = fold_sum(y, d)
            if not widths:
                continue
            for i in range(d):
                y[i] = 0.0
            add_product(x, inverse, slot, y)
            for i in range(d):
                y[i] *= x[i]
            width[b, k] = np.sqrt(max(fold_sum(y, d), 0.0))
