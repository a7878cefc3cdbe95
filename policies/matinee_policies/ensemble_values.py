"""Values of candidates to the members of an ensemble that stands for a posterior.

    shared     member m has coefficients theta_m      value = x' theta_m
    by item    member m has a quantile of each item   value = mean(x) + scale width(x) g_am

Normal numbers g come from a key and the numbers of item, member and coefficient alone.
"""

import threading

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray, UInt64Array
from matinee_policies.compiled import kernel
from matinee_policies.feature_checks import check_dimension
from matinee_policies.philox import normal
from matinee_policies.records import PAD

MOST_KEPT = 2**22
"""Normal numbers that a table of draws keeps, 32 MiB; at least those of one item."""

MOST_PLACES = 2**16
"""Items whose draws a table keeps; a power of two."""


class ItemDraws:
    """A normal number of each (item, member) under a key that changes with the state.

    They are a pure function of the key and the two numbers. Those of the items seen last are kept,
    each at a place of its own in a table of fixed size, so that memory is bounded, a new key costs
    next to nothing, and a decision costs O(K M) whatever was asked before.

    Args:
        members: in the ensemble, `M`.
    """

    def __init__(self, members: int) -> None:
        places = 1
        while 2 * places * members <= MOST_KEPT and places < MOST_PLACES:
            places *= 2
        self._members = members
        self._key = np.uint64(0)
        self._lock = threading.Lock()
        self._owner = np.full(places, PAD, dtype=np.int32)
        # Pages that are never written take no memory.
        self._table = np.empty((places, members))

    def use(self, key: np.uint64) -> None:
        """Draw under another key from now on."""
        with self._lock:
            self._key = key
            self._owner.fill(PAD)

    def values(self, mean: FloatArray, width: FloatArray, items: IndexArray) -> FloatArray:
        """Mean plus width times the draw of (item, member).

        Args:
            mean: `float64 [B, K]`.
            width: `float64 [B, K]`.
            items: catalogue rows or `PAD`, `int32 [B, K]`.

        Returns:
            `float64 [B, M, K]`; 0 at padding.
        """
        values = np.zeros((len(mean), self._members, mean.shape[1]))
        wanted = np.require(items, requirements=["C", "W"])
        # Kernels drop the GIL.
        with self._lock:
            _fill_item_members(self._key, mean, width, wanted, self._owner, self._table, values)
        return values


def item_members_reference(
    key: np.uint64, mean: FloatArray, width: FloatArray, items: IndexArray, *, members: int
) -> FloatArray:
    """The readable twin of `ItemDraws.values`."""
    values = np.zeros((len(mean), members, mean.shape[1]))
    for (b, k), item in np.ndenumerate(items):
        for m in range(members):
            if item != PAD:
                g = normal(key, np.uint64(item), np.uint64(m))
                values[b, m, k] = mean[b, k] + width[b, k] * g
    return values


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
    check_dimension(features, thetas.shape[1])
    values = np.empty((len(features), len(thetas), features.shape[1]))
    _fill_linear_members(np.require(features, requirements=["C", "W"]), thetas, values)
    return values


def linear_members_reference(features: Float32Array, thetas: FloatArray) -> FloatArray:
    """The readable twin of `linear_members`."""
    values: FloatArray = np.einsum("md,bkd->bmk", thetas, features.astype(np.float64))
    return values


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
    key: np.uint64,
    mean: FloatArray,
    width: FloatArray,
    items: IndexArray,
    owner: IndexArray,
    table: FloatArray,
    values: FloatArray,
) -> None:
    """Rows of the table belong to `owner`; an item drives out the one that has its place."""
    for b in range(values.shape[0]):
        for k in range(values.shape[2]):
            item = items[b, k]
            if item == PAD:
                continue
            place = item & (owner.shape[0] - 1)
            if owner[place] != item:
                for m in range(values.shape[1]):
                    table[place, m] = normal(key, np.uint64(item), np.uint64(m))
                owner[place] = item
            for m in range(values.shape[1]):
                values[b, m, k] = mean[b, k] + width[b, k] * table[place, m]
