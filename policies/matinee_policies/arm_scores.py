"""Upper bounds of many contexts for fixed arms at once, by matrix products.

With one ridge regression for each arm k (Li et al. 2010, algorithm 1),

    u_k(x) = x' theta_k + alpha sqrt(x' A_k^-1 x)

The form is linear in the products of x: one matrix product of their lower triangles with those of
all A_k^-1 costs half of K products X A_k^-1, and needs no second pass over the result.

For analysis, not for decisions: the bits of a matrix product depend on how many contexts there are.
Decisions go through `rounds` or the policies.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, FloatArray, IndexArray
from matinee_policies.compiled import kernel
from matinee_policies.config import check_range
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.quadratic_form import fill_products

_BLOCK_BYTES = 1 << 20
"""Products of one block of contexts: about half of a core's own cache."""

_PAD_TO = 16
"""Numbers in the widest vector."""

_LEAST_ROWS = 128
"""Contexts in a block, at least: every block reads the triangles of all arms once."""


@dataclass(frozen=True, slots=True)
class ArmScores:
    """Regressions of `K` arms, laid out for scoring; build with `of`.

    Attributes:
        triangles: lower triangle of A_k^-1 row by row, `[d (d + 1) / 2, K]`.
        theta: `[d, K]`, of the same type, float32 or float64.
    """

    triangles: AnyArray
    theta: AnyArray

    @classmethod
    def of(
        cls,
        inverse: FloatArray,
        theta: FloatArray,
        *,
        precision: Literal["float64", "float32"] = "float64",
    ) -> "ArmScores":
        """Take over solved regressions, e.g. of a `DisjointState`.

        Args:
            inverse: A_k^-1, symmetric, `float64 [K, d, d]`, finite.
            theta: `float64 [K, d]`, finite.
            precision: type to compute in. In float32, n = d (d + 1) / 2 terms of x' A^-1 x are each
                rounded three times and summed: the error is at most (n + 3) 2^-24 times
                sum_ij |x_i A^-1_ij x_j|, and in practice about sqrt(n) 2^-24 times it.

        Raises:
            ContextError: if the arrays do not fit or are not finite.
            ConfigError: if the precision is unknown.
        """
        if precision not in ("float64", "float32"):
            raise ConfigError(f"precision must be 'float64' or 'float32', got {precision!r}")
        if theta.ndim != 2 or inverse.shape != (*theta.shape, theta.shape[-1]):
            raise ContextError(
                "inverse and theta must have shapes [K, d, d] and [K, d], "
                f"got {inverse.shape} and {theta.shape}"
            )
        if not (np.isfinite(inverse).all() and np.isfinite(theta).all()):
            raise ContextError("inverse and theta must be finite")
        row, column = np.tril_indices(theta.shape[1])
        return cls(
            np.ascontiguousarray(inverse[:, row, column].T, dtype=precision),
            np.ascontiguousarray(theta.T, dtype=precision),
        )

    def upper_bounds(self, contexts: Float32Array, *, alpha: float) -> AnyArray:
        """Value plus `alpha` widths of each arm.

        Args:
            contexts: `float32 [B, d]`, finite.
            alpha: widths to add, at least 0.

        Returns:
            `[B, K]`, float32 or float64 as chosen in `of`.

        Raises:
            ContextError: if the contexts do not fit or are not finite.
            ConfigError: if alpha is out of range.
        """
        bounds: AnyArray = np.empty((len(contexts), self.theta.shape[1]), self.theta.dtype)
        self._score(contexts, alpha, bounds, np.empty(0, np.int32))
        return bounds

    def best_arms(self, contexts: Float32Array, *, alpha: float) -> IndexArray:
        """The arm with the largest upper bound, the first if several share it, `int32 [B]`.

        Arguments and errors as `upper_bounds`; bounds are kept for one block of contexts only.
        """
        best = np.empty(len(contexts), np.int32)
        self._score(contexts, alpha, np.empty((0, 0), self.theta.dtype), best)
        return best

    def _score(
        self, contexts: Float32Array, alpha: float, bounds: AnyArray, best: IndexArray
    ) -> None:
        """Fill `bounds` or, where it is empty, `best`, block by block."""
        check_range("alpha", alpha, low=0)
        d, arms = self.theta.shape
        if contexts.dtype != np.float32 or contexts.ndim != 2 or contexts.shape[1] != d:
            raise ContextError(
                f"contexts must be float32 [B, {d}], got {contexts.dtype} {contexts.shape}"
            )
        if not np.isfinite(contexts).all():
            raise ContextError("contexts must be finite")
        dtype = self.theta.dtype
        terms = len(self.triangles)
        width = -(-terms // _PAD_TO) * _PAD_TO + _PAD_TO
        rows = max(_BLOCK_BYTES // (width * dtype.itemsize), _LEAST_ROWS)
        rows = max(min(rows, len(contexts)), 1)
        X = np.zeros((rows, -(-d // _PAD_TO) * _PAD_TO), dtype)
        products = np.empty((rows if alpha > 0.0 else 0, width), dtype)
        means, forms = np.zeros((2, rows, arms), dtype)
        for start in range(0, len(contexts), rows):
            x = X[: len(contexts) - start]
            count = len(x)
            x[:, :d] = contexts[start : start + rows]
            mean, form = means[:count], forms[:count]
            np.matmul(x[:, :d], self.theta, out=mean)
            if alpha > 0.0:
                _fill_rows(x, d, products)
                np.matmul(products[:count, :terms], self.triangles, out=form)
            _finish(mean, form, alpha, bounds[start : start + count], best[start : start + count])


def upper_bounds_reference(
    inverse: FloatArray, theta: FloatArray, contexts: Float32Array, *, alpha: float
) -> FloatArray:
    """The formula of the module docstring: the readable twin of `ArmScores.upper_bounds`."""
    X = contexts.astype(np.float64)
    variance = np.einsum("bi,kij,bj->bk", X, inverse, X)
    bounds: FloatArray = X @ theta.T + alpha * np.sqrt(np.maximum(variance, 0.0))
    return bounds


@kernel
def _fill_rows(X: AnyArray, dimension: int, products: AnyArray) -> None:
    """Lower triangle of x x' of each row, off-diagonals twice."""
    flat = products.reshape(products.size)
    for b in range(X.shape[0]):
        fill_products(X[b], dimension, flat, b * products.shape[1])


@kernel
def _finish(
    means: AnyArray, forms: AnyArray, alpha: float, bounds: AnyArray, best: IndexArray
) -> None:
    """Write upper bounds into `bounds` or, where it is empty, the best arms into `best`."""
    K = means.shape[1]
    scores = np.empty(K, means.dtype)
    for b in range(means.shape[0]):
        for k in range(K):
            scores[k] = means[b, k] + alpha * np.sqrt(max(forms[b, k], 0.0))
        if bounds.size:
            for k in range(K):
                bounds[b, k] = scores[k]
            continue
        place = 0
        for k in range(1, K):
            if scores[k] > scores[place]:
                place = k
        best[b] = place
