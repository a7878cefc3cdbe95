"""Fold units into a factor model, each from its own observed history.

Per unit it keeps the sums of its normal equations (`FoldInRule`), so that an observation costs
O(f^2) and a solution O(f^3), however long the history is. A unit's sums are added in the order of
its observations, and each unit is solved alone: its vector does not depend on the batch.
"""

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray, Int64Array
from matinee_policies.candidates.cholesky import EIGHT, add_scaled, solve_eight
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.compiled import kernel, lean_kernel
from matinee_policies.config import check_whole
from matinee_policies.errors import ContextError
from matinee_policies.row_storage import InMemory, RowStorage


class FoldInStatistics:
    """Sums over the observed histories of `N` units, and the vectors that follow from them.

    Memory is 8 (f (f + 1) / 2 + f + 1) bytes a unit: 1.4 kB at f = 17, 4.5 kB at f = 32. Kinds
    whose observations leave the gram matrix alone (truncated SVD, popularity) need 8 (f + 1).

    Args:
        model: the item side.
        n_units: number of units N.
        storage: where the sums are kept.

    Attributes:
        model: the item side.
        gram: lower triangles of the sums of g q q', row by row, `float64 [N, f (f + 1) / 2]`, or
            `[N, 0]` where g is always 0.
        pull: sums of (h - g item_offset) q, `float64 [N, f]`.
        counts: observations of each unit, `int64 [N]`.
    """

    def __init__(
        self, model: FactorModel, n_units: int, *, storage: RowStorage | None = None
    ) -> None:
        check_whole("n_units", n_units, low=0)
        f = model.n_factors
        weights = model.rule.weights
        has_gram = weights.gram_constant != 0.0 or weights.gram_slope != 0.0
        self.model = model
        full = (storage or InMemory()).full
        triangle = f * (f + 1) // 2 if has_gram else 0
        self.gram: FloatArray = full("fold_in_gram", (n_units, triangle), 0, np.float64)
        self.pull: FloatArray = full("fold_in_pull", (n_units, f), 0, np.float64)
        self.counts: Int64Array = full("fold_in_counts", (n_units,), 0, np.int64)
        self._factors = np.ascontiguousarray(model.item_factors)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def nbytes(self) -> int:
        """Memory of the sums, in bytes."""
        return int(self.gram.nbytes + self.pull.nbytes + self.counts.nbytes)

    def add(self, units: IndexArray, items: IndexArray, values: Float32Array) -> None:
        """Fold observations in, in the given order.

        Args:
            units: rows of units, `int32 [n]`.
            items: rows of items, `int32 [n]`.
            values: stars (explicit feedback), or strengths above 0 (implicit), `float32 [n]`.

        Raises:
            ContextError: a row does not exist, or a value is not finite or not above 0; then
                nothing was added.
        """
        _check_rows("units", units, len(self))
        _check_rows("items", items, self.model.n_items)
        if values.dtype != np.float32 or not values.shape == units.shape == items.shape:
            raise ContextError(
                f"values must be float32 of the shape {units.shape} of units and items, got "
                f"{values.dtype} of shape {values.shape} with items of shape {items.shape}"
            )
        if not np.isfinite(values).all():
            raise ContextError(f"values must be finite, got {values[~np.isfinite(values)][0]}")
        if self.model.feedback == "implicit" and values.size and float(values.min()) <= 0.0:
            raise ContextError(f"strengths must be > 0, got {float(values.min())}")
        weights = self.model.rule.weights
        add_observations(
            np.ascontiguousarray(units),
            np.ascontiguousarray(items),
            np.ascontiguousarray(values),
            self._factors,
            self.model.item_offset,
            float(weights.gram_constant),
            float(weights.gram_slope),
            float(weights.pull_constant),
            float(weights.pull_slope),
            self.gram,
            self.pull,
            self.counts,
        )

    def solve(self, units: IndexArray) -> Float32Array:
        """Vectors of units; a unit without observations has exactly the model's prior.

        Args:
            units: rows of units, `int32 [n]`, in any order.

        Returns:
            `float32 [n, f]`.

        Raises:
            ContextError: a row does not exist.
        """
        _check_rows("units", units, len(self))
        rule = self.model.rule
        vectors = np.empty((units.size, self.model.n_factors), dtype=np.float32)
        solve_vectors(
            np.ascontiguousarray(units),
            self.gram,
            self.pull,
            self.counts,
            np.ascontiguousarray(rule.base),
            rule.ridge,
            rule.ridge_per_observation,
            self.model.prior,
            vectors,
        )
        return vectors


def fold_in_reference(model: FactorModel, items: IndexArray, values: Float32Array) -> Float32Array:
    """Vector of one unit with this history: the readable twin of `FoldInStatistics`.

    Args:
        model: the item side.
        items: rows of items, `int32 [n]`.
        values: as `FoldInStatistics.add`, `float32 [n]`.
    """
    if items.size == 0:
        return model.prior.copy()
    rule, weights = model.rule, model.rule.weights
    Q = model.item_factors[items].astype(np.float64)
    v = values.astype(np.float64)
    g = weights.gram_constant + weights.gram_slope * v
    h = weights.pull_constant + weights.pull_slope * v
    ridge = rule.ridge + rule.ridge_per_observation * items.size
    A = rule.base + np.diag(ridge) + (Q.T * g) @ Q
    b = ridge * model.prior + Q.T @ (h - g * model.item_offset[items])
    return np.linalg.solve(A, b).astype(np.float32)


def _check_rows(name: str, rows: IndexArray, n: int) -> None:
    if rows.dtype != np.int32 or rows.ndim != 1:
        raise ContextError(
            f"{name} must be int32 of one dimension, got {rows.dtype} with {rows.ndim}"
        )
    if rows.size and not (int(rows.min()) >= 0 and int(rows.max()) < n):
        raise ContextError(
            f"{name} must be within 0 and {n - 1}, got {int(rows.min())} to {int(rows.max())}"
        )


@kernel
def add_observations(
    units: IndexArray,
    items: IndexArray,
    values: Float32Array,
    factors: Float32Array,
    offset: Float32Array,
    gram_constant: float,
    gram_slope: float,
    pull_constant: float,
    pull_slope: float,
    gram: FloatArray,
    pull: FloatArray,
    counts: Int64Array,
) -> None:
    """Add observations to the sums of their units; arguments as `FoldInStatistics` keeps them."""
    f = factors.shape[1]
    q = np.empty(f)
    for t in range(units.size):
        unit, item, value = units[t], items[t], float(values[t])
        g = gram_constant + gram_slope * value
        h = pull_constant + pull_slope * value - g * offset[item]
        counts[unit] += 1
        for i in range(f):
            q[i] = factors[item, i]
            pull[unit, i] += h * q[i]
        if gram.shape[1] == 0:
            continue
        _add_triangle(gram[unit], q, g)


@lean_kernel
def _add_triangle(triangle: FloatArray, q: FloatArray, weight: float) -> None:
    """Add weight q q' to a lower triangle that is kept row by row."""
    start = 0
    for i in range(q.shape[0]):
        row = triangle[start : start + i + 1]
        add_scaled(row, q, weight * q[i], 0, i + 1)
        start += i + 1


@kernel
def solve_vectors(
    units: IndexArray,
    gram: FloatArray,
    pull: FloatArray,
    counts: Int64Array,
    base: FloatArray,
    ridge: FloatArray,
    ridge_per_observation: FloatArray,
    prior: Float32Array,
    vectors: Float32Array,
) -> None:
    """Solve for the vectors of some units; arguments as `FoldInStatistics` keeps them."""
    f = pull.shape[1]
    A, b = np.empty((f, f, EIGHT)), np.empty((f, EIGHT))
    column, negative = np.empty((f, EIGHT)), np.empty((f, EIGHT))
    for first in range(0, units.size, EIGHT):
        for lane in range(EIGHT):
            # Lanes without a unit repeat the last one.
            unit = units[min(first + lane, units.size - 1)]
            start = 0
            for i in range(f):
                penalty = ridge[i] + ridge_per_observation[i] * counts[unit]
                b[i, lane] = penalty * prior[i] + pull[unit, i]
                for k in range(i + 1):
                    A[i, k, lane] = base[i, k]
                if gram.shape[1] > 0:
                    for k in range(i + 1):
                        A[i, k, lane] += gram[unit, start + k]
                A[i, i, lane] += penalty
                start += i + 1
        solve_eight(A, b, column, negative)
        for t in range(first, min(first + EIGHT, units.size)):
            known = counts[units[t]] > 0
            for i in range(f):
                vectors[t, i] = b[i, t - first] if known else prior[i]
