"""Ridge regression with coefficients of all items and coefficients of each item.

An impression of item a with features z (all of them) and x (those of the item's own part) has the
mean z' beta + x' theta_a. With the prior l2 I on beta and on every theta_a,

    A_a = l2 I + sum x x'      B_a = sum x z'      b_a = sum x r      C_a = A_a^-1 B_a
    A_0 = l2 I + sum z z' - sum_a B_a' C_a         b_0 = sum z r - sum_a C_a' b_a
    beta = A_0^-1 b_0          theta_a = A_a^-1 (b_a - B_a beta)
    width^2 = w' A_0^-1 w + x' A_a^-1 x            w = z - C_a' x

Source: Li et al. 2010, "A contextual-bandit approach to personalized news article recommendation",
algorithm 2 (hybrid linear models), whose updates of A_0 and b_0 are these sums written one
impression at a time; the width is its line 13, regrouped. An item never shown has the prior:
C_a = 0, A_a = l2 I.
"""

import functools
import math

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, FloatArray, IndexArray, Int64Array
from matinee_policies.compiled import kernel
from matinee_policies.errors import ConfigError
from matinee_policies.feature_checks import check_dimension
from matinee_policies.inverse_root import inverse_root
from matinee_policies.item_ridge import rows_or_zeros
from matinee_policies.item_solve import ItemSolutions, solve_items, whole_vectors
from matinee_policies.item_sums import ChangedItems, ItemSums, with_rows
from matinee_policies.lanes import aligned_zeros, lanes_of
from matinee_policies.learning import Change
from matinee_policies.linear import (
    RidgeState,
    RidgeSums,
    normal_equations,
    ridge_accumulate,
    solution,
)
from matinee_policies.quadratic_form import (
    ROWS,
    blocks_size,
    dot_lanes,
    fill_blocks,
    fill_products,
    row_forms,
)
from matinee_policies.records import ContextBatch, OutcomeBatch
from matinee_policies.shared_ridge import restored_sums
from matinee_policies.snapshot import Snapshot

_BLOCK = 256
"""Items whose sums are brought together at a time."""


class HybridRidge:
    """The state: sums over all items, sums of each item, and the solution that follows.

    Tables grow with the items shown, n: 8 n (2 p d + p^2 / 2 + 5 p) bytes for p features of their
    own, up to twice that as they double to make room, with the old and the new one side by side
    while they are copied. A call to `learn` needs as much again for the items that it touches, and
    for 256 items more. It solves those that it touches in O(p^3 + p^2 d) each, and A_0 in O(n p
    d^2), from all items in ascending order: fewer, larger batches cost less and give the same bits.

    Args:
        dimension: of the features, at least 1.
        l2: weight of the prior that all coefficients are 0, above 0.
        item_features: columns of an item's own part; empty means all.

    Attributes:
        shared: A_0^-1 and beta.
    """

    def __init__(self, dimension: int, *, l2: float, item_features: tuple[int, ...] = ()) -> None:
        if any(column >= dimension for column in item_features):
            raise ConfigError(
                f"item_features must be below the dimension {dimension}, got {max(item_features)}"
            )
        columns = np.array(item_features or range(dimension), dtype=np.int64)
        p = len(columns)
        self.l2 = l2
        self.shared = RidgeState.prior(dimension, l2=l2)
        self._all = RidgeSums.empty(dimension)
        self._sums = ItemSums(dimension, columns)
        self._own = ItemSolutions(
            np.zeros((0, whole_vectors(p * (p + 1) // 2))),
            np.zeros((0, whole_vectors(p))),
            np.zeros((0, p, dimension)),
        )
        self._theta = np.zeros((0, whole_vectors(p)))

    @property
    def rows(self) -> int:
        """Impressions learned from."""
        return self._all.rows

    @property
    def theta(self) -> FloatArray:
        """Coefficients of all items, beta, a copy, `float64 [d]`."""
        return self.shared.theta.copy()

    def item_theta(self, items: IndexArray) -> FloatArray:
        """Coefficients of some items' own, 0 for one never shown, `float64 [n, p]`."""
        p = len(self._sums.columns)
        return rows_or_zeros(self._theta, self._sums.index.find(items))[:, :p]

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
        check_dimension(contexts.features, len(self.shared.theta))
        mean = np.empty(contexts.candidates.shape)
        width = np.empty(contexts.candidates.shape if widths else (0, 0))
        _fill_hybrid_moments(
            np.require(contexts.features, requirements=["C", "W"]),
            np.ascontiguousarray(self._sums.index.find(contexts.candidates)),
            self._sums.columns,
            self.shared.theta,
            self.shared.inverse,
            self._theta,
            self._own.triangles,
            self._own.link,
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
        changed = self._sums.changed(outcomes)
        return self._change(ridge_accumulate(self._all, outcomes), changed)

    def learn(self, outcomes: OutcomeBatch) -> None:
        """Take in one matured component; unchanged if it breaks a rule (`ContextError`)."""
        self.prepared(outcomes).take()

    def arrays(self) -> dict[str, AnyArray]:
        """The state by name; solutions follow from the sums."""
        return {
            "gram": self._all.gram,
            "moments": self._all.moments,
            **self._sums.arrays(),
        }

    def restore(self, snapshot: Snapshot, *, rows: int) -> None:
        """Take over the state of a snapshot that counts `rows`.

        Raises:
            SnapshotError: if an array is missing or of another shape or type.
            ContextError: if no rows give these sums.
        """
        sums = restored_sums(snapshot, dimension=len(self.shared.theta), rows=rows)
        self._change(sums, self._sums.restored(snapshot)).take()

    def _change(self, sums: RidgeSums, changed: ChangedItems) -> Change:
        solved = solve_items(
            changed.cross,
            changed.moments,
            columns=self._sums.columns,
            l2=self.l2,
            link=True,
        )
        parts = _Overlay(changed.slots, size=len(changed.index))
        # Always in ascending order of the items, so that batches leave no trace in the sum.
        blocks = [
            changed.index.slots[start : start + _BLOCK]
            for start in range(0, len(changed.index), _BLOCK)
        ]
        d = len(self.shared.theta)
        A, b = normal_equations(sums, l2=self.l2)
        sizes = A.diagonal().copy()
        for slots in blocks:
            link = parts.rows(self._own.link, solved.link, slots).reshape(-1, d)
            cross = parts.rows(self._sums.cross, changed.cross, slots).reshape(-1, d)
            moments = parts.rows(self._sums.moments, changed.moments, slots).sum(axis=1)
            A -= link.T @ cross
            b -= link.T @ moments.ravel()
        shared = solution(inverse_root((A + A.T) / 2.0, l2=self.l2, sizes=sizes), b)
        theta = np.zeros((len(changed.index), self._theta.shape[1]))
        old = min(len(theta), len(self._own.theta))
        theta[:old] = _own_theta(self._own.theta[:old], self._own.link[:old], shared)
        theta[changed.slots] = _own_theta(solved.theta, solved.link, shared)
        take = functools.partial(self._take, sums, changed, solved, shared, theta)
        return Change(sums.rows, take)

    def _take(
        self,
        sums: RidgeSums,
        changed: ChangedItems,
        solved: ItemSolutions,
        shared: RidgeState,
        theta: FloatArray,
    ) -> None:
        size = len(changed.index)
        self._own = ItemSolutions(
            with_rows(self._own.triangles, changed.slots, solved.triangles, size=size),
            with_rows(self._own.theta, changed.slots, solved.theta, size=size),
            with_rows(self._own.link, changed.slots, solved.link, size=size),
        )
        self._sums.take(changed)
        self._all, self.shared, self._theta = sums, shared, theta


def _own_theta(alone: FloatArray, link: FloatArray, shared: RidgeState) -> FloatArray:
    """theta_a = A_a^-1 b_a - C_a beta of each item, then zeros, `float64 [n, P]`."""
    theta = alone.copy()
    theta[:, : link.shape[1]] -= link @ shared.theta
    return theta


class _Overlay:
    """Tables as they will be, a few rows at a time, without a copy of them.

    Args:
        slots: rows that change, `int32 [t]`.
        size: rows that the tables will hold.
    """

    def __init__(self, slots: IndexArray, *, size: int) -> None:
        self._place = np.full(size, -1, dtype=np.int32)
        self._place[slots] = np.arange(len(slots), dtype=np.int32)

    def rows(self, table: FloatArray, changed: FloatArray, slots: IndexArray) -> FloatArray:
        """Some rows of `table [n, ...]`, where `changed [t, ...]` replaces those that change."""
        place = self._place[slots]
        new = place >= 0
        rows = np.empty((len(slots), *table.shape[1:]))
        rows[new] = changed[place[new]]
        rows[~new] = table[slots[~new]]
        return rows


def hybrid_moments_reference(
    Z: FloatArray,
    items: IndexArray,
    r: FloatArray,
    *,
    z: FloatArray,
    item: int,
    columns: Int64Array,
    l2: float,
) -> tuple[float, float]:
    """Mean and width from one ordinary ridge regression on [z; x of item 1; x of item 2; ...].

    The twin of the block elimination.

    Args:
        Z: features of the impressions, `float64 [n, d]`.
        items: their items, `int32 [n]`.
        r: their rewards, `float64 [n]`.
        z: features of a candidate, `float64 [d]`.
        item: the candidate.
        columns: of an item's own part.
        l2: weight of the prior.
    """
    known = sorted({*items.tolist(), item})

    def stacked(features: FloatArray, which: int) -> FloatArray:
        own = np.zeros((len(known), len(columns)))
        own[known.index(which)] = features[columns]
        return np.concatenate([features, own.ravel()])

    d = len(z) + len(known) * len(columns)
    X = np.array([stacked(row, int(which)) for row, which in zip(Z, items, strict=True)])
    X = X.reshape(len(Z), d)
    x = stacked(z, item)
    A = l2 * np.eye(d) + X.T @ X
    return float(x @ np.linalg.solve(A, X.T @ r)), float(np.sqrt(x @ np.linalg.solve(A, x)))


@kernel
def _subtract_product(x: FloatArray, link: FloatArray, slot: int, W: FloatArray, row: int) -> None:
    """Subtract x' link[slot] from a row of `W`, four rows of the link at a time.

    Args:
        x: `float64 [at least p]`.
        link: `float64 [n, p, d]`.
        slot: which of the `n`.
        W: `float64 [rows, at least d]`.
        row: of `W`.
    """
    p, d = link.shape[1], link.shape[2]
    for i in range(0, p - 3, 4):
        e, f, g, h = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(d):
            W[row, j] -= (e * link[slot, i, j] + f * link[slot, i + 1, j]) + (
                g * link[slot, i + 2, j] + h * link[slot, i + 3, j]
            )
    for i in range(p - p % 4, p):
        for j in range(d):
            W[row, j] -= x[i] * link[slot, i, j]


@kernel
def _fill_hybrid_moments(
    features: Float32Array,
    slots: IndexArray,
    columns: Int64Array,
    beta: FloatArray,
    inverse: FloatArray,
    theta: FloatArray,
    triangles: FloatArray,
    link: FloatArray,
    l2: float,
    mean: FloatArray,
    width: FloatArray,
) -> None:
    """Mean and width of each candidate: the item's part one by one, then w' A_0^-1 w of eight."""
    K, d, p = features.shape[1], features.shape[2], columns.shape[0]
    P, T = theta.shape[1], triangles.shape[1]
    widths = width.shape[0] > 0
    lanes: int = lanes_of(beta)
    D = (d + lanes - 1) // lanes * lanes
    weights = aligned_zeros(D, beta)
    for i in range(d):
        weights[i] = beta[i]
    blocks = aligned_zeros(blocks_size(D, lanes) if widths else 0, beta)
    if widths:
        padded = np.zeros((D, D))
        for i in range(d):
            for j in range(d):
                padded[i, j] = inverse[i, j]
        fill_blocks(padded, blocks)
    x = np.zeros(P)
    products = np.zeros(T + lanes)
    W = aligned_zeros(ROWS * D, beta).reshape(ROWS, D)
    variance = np.zeros(ROWS)
    forms = np.zeros(ROWS)
    for b in range(features.shape[0]):
        for first in range(0, K, ROWS):
            rows = min(ROWS, K - first)
            for row in range(rows):
                slot = slots[b, first + row]
                for j in range(d):
                    W[row, j] = features[b, first + row, j]
                for i in range(p):
                    x[i] = W[row, columns[i]]
                value = dot_lanes(W, row * D, weights, 0, D)
                if slot >= 0:
                    value += dot_lanes(theta, slot * P, x, 0, P)
                mean[b, first + row] = value
                if not widths:
                    continue
                if slot >= 0:
                    fill_products(x, p, products, 0)
                    variance[row] = dot_lanes(triangles, slot * T, products, 0, T)
                    _subtract_product(x, link, slot, W, row)
                else:
                    variance[row] = dot_lanes(x, 0, x, 0, P) / l2
            if widths:
                row_forms(W, blocks, forms, 0)
                for row in range(rows):
                    form = variance[row] + forms[row]
                    width[b, first + row] = math.sqrt(max(form, 0.0))
