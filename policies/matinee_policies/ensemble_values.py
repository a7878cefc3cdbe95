"""Values of candidates to the members of an ensemble that stands for a posterior.

    shared     member m has coefficients theta_m      value = x' theta_m
    by item    member m has a quantile of each item   value = mean(x) + scale width(x) g_am

Normal numbers g come from a key and the numbers of item, member and coefficient alone.
"""

import threading

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray, UInt64Array
from matinee_policies.compiled import kernel
from matinee_policies.errors import ContextError
from matinee_policies.item_sums import ItemIndex
from matinee_policies.philox import normal
from matinee_policies.records import PAD


class ItemDraws:
    """A normal number of each (item, member), worked out when first asked for.

    They are a pure function of the key; keeping them saves time and changes nothing.

    Args:
        key: of the stream.
        members: in the ensemble, `M`.
    """

    def __init__(self, key: np.uint64, *, members: int) -> None:
        self._key = key
        self._lock = threading.Lock()
        self._kept = (ItemIndex.of(np.zeros(0, dtype=np.int32)), np.zeros((0, members)))

    def of(self, items: IndexArray) -> tuple[IndexArray, FloatArray]:
        """Rows of a table for some items, and the table.

        Args:
            items: catalogue rows or `PAD`, of any shape.

        Returns:
            `int32` of that shape, -1 for `PAD`; and `float64 [at least n, M]`.
        """
        index, table = self._kept
        slots = index.find(items)
        if (slots < 0).any() and (missing := np.unique(items[(slots < 0) & (items > PAD)])).size:
            # One thread at a time adds; others go on with the tables they hold.
            with self._lock:
                index, table = self._kept
                new = missing[index.find(missing) < 0]
                draws = np.empty((len(new), table.shape[1]))
                _fill_normals(self._key, new.astype(np.uint64), draws)
                index, table = index.extended(new), np.concatenate([table, draws])
                self._kept = (index, table)
            slots = index.find(items)
        return slots, table


def coefficient_draws(key: np.uint64, *, members: int, dimension: int) -> FloatArray:
    """Standard normal numbers, `float64 [M, d]`."""
    draws = np.empty((members, dimension))
    _fill_normals(key, np.arange(members, dtype=np.uint64), draws)
    return draws


def linear_members(features: Float32Array, thetas: FloatArray) -> FloatArray:
    """Value of each candidate to each member.

    Args:
        features: `float32 [B, K, d]`.
        thetas: coefficients of the members, `float64 [M, d]`.

    Returns:
        `float64 [B, M, K]`; each decision depends on its own features only.

    Raises:
        ContextError: if the features have another dimension.
    """
    if features.shape[2] != thetas.shape[1]:
        raise ContextError(
            f"features must have dimension {thetas.shape[1]}, got {features.shape[2]}"
        )
    values = np.empty((len(features), len(thetas), features.shape[1]))
    _fill_linear_members(np.require(features, requirements=["C", "W"]), thetas, values)
    return values


def linear_members_reference(features: Float32Array, thetas: FloatArray) -> FloatArray:
    """The readable twin of `linear_members`."""
    values: FloatArray = np.einsum("md,bkd->bmk", thetas, features.astype(np.float64))
    return values


def item_members(
    mean: FloatArray, width: FloatArray, slots: IndexArray, draws: FloatArray
) -> FloatArray:
    """Mean plus width times the draw of (item, member).

    Args:
        mean: `float64 [B, K]`.
        width: `float64 [B, K]`.
        slots: row of `draws` of each candidate, -1 for padding, `int32 [B, K]`.
        draws: `float64 [n, M]`.

    Returns:
        `float64 [B, M, K]`; 0 at padding.
    """
    values = np.zeros((len(mean), draws.shape[1], mean.shape[1]))
    _fill_item_members(mean, width, np.ascontiguousarray(slots), draws, values)
    return values


def item_members_reference(
    mean: FloatArray, width: FloatArray, slots: IndexArray, draws: FloatArray
) -> FloatArray:
    """The readable twin of `item_members`."""
    values = mean[:, None, :] + width[:, None, :] * draws[slots].swapaxes(1, 2)
    return np.where(slots[:, None, :] < 0, 0.0, values)


@kernel
def _fill_normals(key: np.uint64, rows: UInt64Array, draws: FloatArray) -> None:
    for n in range(draws.shape[0]):
        for m in range(draws.shape[1]):
            draws[n, m] = normal(key, rows[n], np.uint64(m))


@kernel
def _fill_linear_members(features: Float32Array, thetas: FloatArray, values: FloatArray) -> None:
    """Inner loops run over candidates, four coefficients at a time."""
    K, d = features.shape[1], features.shape[2]
    X = np.empty((d, K))
    for b in range(features.shape[0]):
        for k in range(K):
            for i in range(d):
                X[i, k] = features[b, k, i]
        for m in range(thetas.shape[0]):
            for k in range(K):
                values[b, m, k] = 0.0
            for i in range(0, d - 3, 4):
                p, q, r, s = thetas[m, i], thetas[m, i + 1], thetas[m, i + 2], thetas[m, i + 3]
                for k in range(K):
                    values[b, m, k] += (p * X[i, k] + q * X[i + 1, k]) + (
                        r * X[i + 2, k] + s * X[i + 3, k]
                    )
            for i in range(d - d % 4, d):
                for k in range(K):
                    values[b, m, k] += thetas[m, i] * X[i, k]


@kernel
def _fill_item_members(
    mean: FloatArray, width: FloatArray, slots: IndexArray, draws: FloatArray, values: FloatArray
) -> None:
    for b in range(values.shape[0]):
        for k in range(values.shape[2]):
            slot = slots[b, k]
            if slot < 0:
                continue
            for m in range(values.shape[1]):
                values[b, m, k] = mean[b, k] + width[b, k] * draws[slot, m]
